//! A verdict as an EAT Attestation Result (draft-ietf-rats-ear-03): a JWT
//! signed with ES256, for whoever relies on this verifier. Whoever accepts one
//! trusts the holder of the key, and learns no more than it says.
//!
//! Claims: `eat_profile`, `iss`, `aud`, `iat`, `exp`, `eat_nonce`,
//! `ear_status`, `ear_verifier_id`, and one submodule, labelled with the
//! platform's name, with `ear_status`, `ear_trustworthiness_vector`,
//! `ear_appraisal_policy_ids` (the policy's digest as RFC 6920 writes it) and
//! an extension, `soundproof`, with what the vector cannot say.
//!
//! The status is `contraindicated` unless the verdict was accepted; and even
//! then on a software platform, which protects nothing.

mod jws;

pub use jws::{JwsError, MAX_TOKEN};

use crate::{
    policy::Policy,
    vector::{Tier, TrustVector},
    verdict::{Outcome, Verdict},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use soundproof_protocol::digest::Digest;
use std::collections::BTreeMap;

/// `eat_profile` (section 3).
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#03";
/// Bytes of a nonce (section 3).
pub const NONCE: core::ops::RangeInclusive<usize> = 8..=64;

/// The claims-set. What this reads is what this writes: a claim that is not
/// known is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Ear {
    /// [`PROFILE`].
    pub eat_profile: String,
    /// Who appraised.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// Since when; seconds since 1970.
    pub iat: u64,
    /// Until when.
    pub exp: u64,
    /// The nonce of whoever asked, base64url; none if they sent none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eat_nonce: Option<String>,
    /// The worst of all submodules.
    pub ear_status: Tier,
    /// Which program appraised.
    pub ear_verifier_id: VerifierId,
    /// One, labelled with the platform's name.
    pub submods: BTreeMap<String, Appraisal>,
}

/// `ear_verifier_id` (draft-ietf-rats-ar4si, 3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierId {
    /// Whose program.
    pub developer: String,
    /// Which.
    pub build: String,
}

/// One attester's appraisal (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Appraisal {
    /// How far it can be relied on.
    pub ear_status: Tier,
    /// By what.
    pub ear_trustworthiness_vector: TrustVector,
    /// The policy's digest: `ni:///sha-256;…`.
    pub ear_appraisal_policy_ids: Vec<String>,
    /// What the vector cannot say.
    pub soundproof: Details,
}

/// The extension `soundproof`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Details {
    /// Whether the policy accepted the evidence, for this binding.
    pub accepted: bool,
    /// Whether the platform is a software platform: it protects nothing.
    pub software: bool,
    /// The time that was judged at; ms since 1970.
    pub judged_at_ms: u64,
    /// The release that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The binding that the evidence carries, in hex: of accepted evidence
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
    /// SHA-256 of the evidence, of accepted evidence only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
    /// Reason codes of the checks that failed.
    pub failed: Vec<String>,
    /// Reason codes of the checks that passed with a warning.
    pub warned: Vec<String>,
}

/// What goes into an attestation result beside the verdict.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// Who appraised: a URI or name that relying parties know the key by.
    pub issuer: &'a str,
    /// For whom.
    pub audience: &'a str,
    /// The nonce of whoever asked; 8 to 64 bytes.
    pub nonce: Option<&'a [u8]>,
    /// Seconds since 1970.
    pub now_s: u64,
    /// How long it may be relied on, in seconds.
    pub lifetime_s: u64,
    /// The name of the key, for those who know several.
    pub kid: Option<&'a str>,
}

/// What a relying party expects.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who must have appraised.
    pub issuer: &'a str,
    /// For whom it must be.
    pub audience: &'a str,
    /// The nonce that was sent; none if none was.
    pub nonce: Option<&'a [u8]>,
    /// Seconds since 1970, by the relying party's clock.
    pub now_s: u64,
    /// How far that may be behind the verifier's, in seconds.
    pub clock_skew_s: u64,
}

/// Why an attestation result is not relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EarError {
    /// Not a token that the key signed.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Signed, but not these claims.
    #[error("not an attestation result of this profile")]
    Claims,
    /// A nonce of another length.
    #[error("a nonce of {0} bytes; 8 to 64 are allowed")]
    NonceLength(usize),
    /// Of another verifier.
    #[error("it was issued by another verifier")]
    Issuer,
    /// For somebody else.
    #[error("it is meant for another audience")]
    Audience,
    /// For another question.
    #[error("it answers another nonce, or none")]
    Nonce,
    /// Used after its end.
    #[error("it has expired")]
    Expired,
    /// Of the future.
    #[error("it is not valid yet")]
    NotYetValid,
}

impl Ear {
    /// The claims for a verdict.
    ///
    /// # Errors
    /// [`EarError::NonceLength`].
    pub fn new(verdict: &Verdict, policy: &Policy, issue: &Issue<'_>) -> Result<Self, EarError> {
        let eat_nonce = issue.nonce.map(nonce_text).transpose()?;
        let vector = verdict.vector;
        let accepted = verdict.compared.is_some();
        let warned = verdict.warnings().next().is_some();
        let status = match (accepted, warned) {
            (false, _) => Tier::Contraindicated,
            (true, true) => Tier::Warning,
            (true, false) => Tier::Affirming,
        }
        .max(vector.worst());
        let codes = |result: Outcome| {
            verdict
                .checks
                .iter()
                .filter(|check| check.result == result)
                .map(|check| check.code.code().to_owned())
                .collect()
        };
        let compared = verdict.compared.as_ref();
        let appraisal = Appraisal {
            ear_status: status,
            ear_trustworthiness_vector: vector,
            ear_appraisal_policy_ids: vec![policy_id(policy)],
            soundproof: Details {
                accepted,
                software: verdict.platform.is_software(),
                judged_at_ms: verdict.judged_at_ms,
                release: verdict.release.clone(),
                binding: compared.map(|compared| hex::encode(compared.binding.as_bytes())),
                evidence: compared.map(|compared| compared.evidence),
                failed: codes(Outcome::Fail),
                warned: codes(Outcome::Warn),
            },
        };
        Ok(Self {
            eat_profile: PROFILE.into(),
            iss: issue.issuer.into(),
            aud: issue.audience.into(),
            iat: issue.now_s,
            exp: issue.now_s.saturating_add(issue.lifetime_s),
            eat_nonce,
            ear_status: status,
            ear_verifier_id: VerifierId {
                developer: env!("CARGO_PKG_REPOSITORY").into(),
                build: concat!("soundproof-evidence ", env!("CARGO_PKG_VERSION")).into(),
            },
            submods: BTreeMap::from([(verdict.platform.name().to_owned(), appraisal)]),
        })
    }

    /// As a signed token. Deterministic: no randomness is needed.
    pub fn sign(&self, key: &SigningKey, kid: Option<&str>) -> String {
        // Strings, numbers and maps with string keys are always JSON.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        jws::sign(&payload, key, kid)
    }

    /// Reads a token that `key` signed for `expected`.
    ///
    /// # Errors
    /// [`EarError`].
    pub fn verify(
        token: &str,
        key: &VerifyingKey,
        expected: &Expected<'_>,
    ) -> Result<Self, EarError> {
        let payload = jws::verify(token, key)?;
        let ear: Self = serde_json::from_slice(&payload).map_err(|_| EarError::Claims)?;
        if ear.eat_profile != PROFILE || ear.submods.is_empty() {
            return Err(EarError::Claims);
        }
        // A status may not be better than what it is made of.
        let contradicts = |appraisal: &Appraisal| {
            appraisal.ear_status < appraisal.ear_trustworthiness_vector.worst()
                || ear.ear_status < appraisal.ear_status
        };
        if ear.submods.values().any(contradicts) {
            return Err(EarError::Claims);
        }
        if ear.iss != expected.issuer {
            return Err(EarError::Issuer);
        }
        if ear.aud != expected.audience {
            return Err(EarError::Audience);
        }
        if ear.eat_nonce != expected.nonce.map(nonce_text).transpose()? {
            return Err(EarError::Nonce);
        }
        if expected.now_s >= ear.exp {
            return Err(EarError::Expired);
        }
        if expected.now_s.saturating_add(expected.clock_skew_s) < ear.iat {
            return Err(EarError::NotYetValid);
        }
        Ok(ear)
    }
}

fn nonce_text(nonce: &[u8]) -> Result<String, EarError> {
    if NONCE.contains(&nonce.len()) {
        Ok(URL_SAFE_NO_PAD.encode(nonce))
    } else {
        Err(EarError::NonceLength(nonce.len()))
    }
}

/// A policy's digest as a URI (RFC 6920).
pub fn policy_id(policy: &Policy) -> String {
    format!(
        "ni:///sha-256;{}",
        URL_SAFE_NO_PAD.encode(policy.digest().0)
    )
}
