//! Attestation results of others: what a token must be to count at all (RFC
//! 7519, 4.1), and the claims that the policy wants.
//!
//! A token proves that its issuer said what the policy names, about the
//! session that the token is bound to, and nothing more.

use crate::{
    jwt::{Claims, JwtError},
    module::{Case, Clock},
    policy::Issuer,
    reason::Reason,
    refusal::Refusal,
    verdict::Verdict,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use soundproof_protocol::binding::Binding;

/// Results in one session's endorsements at most.
const MAX_RESULTS: usize = 16;

/// Checks that there is a result of each issuer that the policy requires one
/// of. It is required beside the evidence, and stands for none of it.
pub(crate) fn judge(verdict: &mut Verdict, case: &Case<'_>, issuers: &[Issuer]) {
    let results = match &case.endorsements.results {
        None => Vec::new(),
        Some(results) if results.len() <= MAX_RESULTS => results.iter().collect(),
        Some(_) => {
            verdict.fail(
                "result",
                Reason::EndorsementsMalformed,
                format!("at most {MAX_RESULTS} results"),
                "more",
            );
            return;
        }
    };
    for issuer in issuers.iter().filter(|issuer| issuer.required) {
        let expected = format!("what {} must say of this session", issuer.name);
        let mut last = Refusal::new(Reason::ResultMissing, "no result");
        let found = results.iter().find_map(|token| {
            let result = verify(&token.0, issuer, case.clock).and_then(|found| {
                claims(&found, issuer)?;
                case.expected
                    .map_or(Ok(()), |binding| bound(&found, issuer, binding))
            });
            result.map_err(|refusal| last = refusal).ok()
        });
        match found {
            Some(()) => verdict.pass("result", expected, format!("{} says so", issuer.issuer)),
            None => verdict.refuse("result", expected, last),
        }
    }
}

/// Verifies a token's signature, issuer, audience and times.
///
/// # Errors
/// A refusal.
pub(crate) fn verify(token: &[u8], issuer: &Issuer, clock: Clock) -> Result<Claims, Refusal> {
    let claims = Claims::verify(token, &issuer.jwks).map_err(|error| {
        let reason = match error {
            JwtError::TooLong(_) | JwtError::Malformed(_) => Reason::ResultMalformed,
            JwtError::Algorithm(_) | JwtError::Critical => Reason::ResultAlgorithm,
            _ => Reason::ResultSignature,
        };
        Refusal::new(reason, error.to_string())
    })?;
    let said = claims.text("iss").unwrap_or_default();
    if said != issuer.issuer {
        return Err(Refusal::new(
            Reason::ResultIssuer,
            format!("issued by {said:?}"),
        ));
    }
    if let Some(audience) = &issuer.audience {
        let named = match claims.get(["aud"]) {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        };
        if !named {
            return Err(Refusal::new(Reason::ResultAudience, "for somebody else"));
        }
    }
    times(&claims, issuer, clock)?;
    Ok(claims)
}

fn times(claims: &Claims, issuer: &Issuer, clock: Clock) -> Result<(), Refusal> {
    let unsaid = |name| Refusal::new(Reason::ResultClaims, format!("{name}: not said"));
    let until_s = claims.seconds("exp").ok_or_else(|| unsaid("exp"))?;
    let issued_s = claims.seconds("iat").ok_or_else(|| unsaid("iat"))?;
    let from_s = match claims.get(["nbf"]) {
        Some(_) => claims.seconds("nbf").ok_or_else(|| unsaid("nbf"))?,
        None => issued_s,
    };
    let from_s = from_s.max(issued_s);
    let until_s = until_s.min(issued_s.saturating_add(issuer.max_age_s));
    let at = clock.at(from_s);
    let date = crate::verdict::date;
    if at < from_s {
        Err(Refusal::new(
            Reason::ResultNotYetValid,
            format!("from {}, now {}", date(from_s), date(at)),
        ))
    } else if at > until_s {
        Err(Refusal::new(
            Reason::ResultExpired,
            format!("until {}, now {}", date(until_s), date(at)),
        ))
    } else {
        Ok(())
    }
}

/// Whether a token says what the policy wants of its issuer's: each named
/// claim, with objects compared by the members that are named.
///
/// # Errors
/// A refusal.
pub(crate) fn claims(claims: &Claims, issuer: &Issuer) -> Result<(), Refusal> {
    // Pairs that are still to be compared.
    let mut left: Vec<(String, &Value, Option<&Value>)> = issuer
        .claims
        .iter()
        .map(|(name, value)| (name.clone(), value, claims.all().get(name)))
        .collect();
    while let Some((name, expected, found)) = left.pop() {
        match (expected, found) {
            (Value::Object(members), Some(Value::Object(found))) => {
                for (member, expected) in members {
                    left.push((format!("{name}.{member}"), expected, found.get(member)));
                }
            }
            (expected, Some(found)) if expected == found => {}
            (_, found) => {
                let found = found.map_or("not said".to_owned(), Value::to_string);
                return Err(Refusal::new(
                    Reason::ResultClaims,
                    format!("{name}: {found}"),
                ));
            }
        }
    }
    Ok(())
}

/// Whether a token is about the session: the claim that the policy names has
/// the session's binding, or the nonce of its virtual TPM or its GPUs, in hex
/// or base64url.
///
/// # Errors
/// A refusal.
pub(crate) fn bound(claims: &Claims, issuer: &Issuer, expected: &Binding) -> Result<(), Refusal> {
    let found = claims
        .get(issuer.bound_by.iter().map(String::as_str))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bytes = hex::decode(found)
        .ok()
        .or_else(|| URL_SAFE_NO_PAD.decode(found.trim_end_matches('=')).ok())
        .unwrap_or_default();
    let of_session = bytes == expected.as_bytes()
        || bytes == expected.tpm_nonce().as_bytes()
        || bytes == expected.gpu_nonce().as_bytes();
    if of_session && !issuer.bound_by.is_empty() {
        Ok(())
    } else {
        Err(Refusal::new(
            Reason::ResultClaims,
            format!("{}: it is of another session", issuer.bound_by.join(".")),
        ))
    }
}
