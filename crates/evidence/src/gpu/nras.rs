//! What NVIDIA's remote attestation service says of a report: a token about
//! the whole, and one about each GPU whose digest the first has (Entity
//! Attestation Tokens; NVIDIA Remote Attestation Service, claims version 3).
//!
//! It counts in the place of manifests only: report and chain are verified, and
//! revocation is looked up, here all the same; and it must be about this very
//! GPU and nonce.

use super::{device::Device, spdm::Report};
use crate::{json, jwt::Claims, policy::Issuer, reason::Reason, refusal::Refusal, results};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use soundproof_protocol::binding::GpuNonce;

/// GPUs in one answer at most.
const MAX_SUBMODULES: usize = super::MAX_GPUS;

/// An answer's tokens, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    overall: String,
    each: Vec<(String, String)>,
}

impl Answer {
    /// Reads `[["JWT", token], {"GPU-0": token, …}]`; `None` if it is not that.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let answer = json::value(bytes)?;
        let [head, each] = answer.as_array()?.as_slice() else {
            return None;
        };
        let [kind, overall] = head.as_array()?.as_slice() else {
            return None;
        };
        let each = each.as_object()?;
        if kind.as_str()? != "JWT" || !(1..=MAX_SUBMODULES).contains(&each.len()) {
            return None;
        }
        Some(Self {
            overall: overall.as_str()?.to_owned(),
            each: each
                .iter()
                .map(|(name, token)| Some((name.clone(), token.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
        })
    }

    /// Whether it says, by an issuer that the policy names, that this GPU is
    /// as it should be.
    pub(super) fn check(
        &self,
        issuer: &Issuer,
        device: &Device,
        report: &Report<'_>,
        nonce: &GpuNonce,
        clock: crate::module::Clock,
    ) -> Result<String, Refusal> {
        let verify = |token: &str| {
            let claims = results::verify(token.as_bytes(), issuer, clock)?;
            let nonce = hex::encode(nonce.as_bytes());
            match claims.text("eat_nonce") {
                Some(found) if found.eq_ignore_ascii_case(&nonce) => Ok(claims),
                _ => Err(refused("eat_nonce", "it is of another session")),
            }
        };
        let overall = verify(&self.overall)?;
        wants(&overall, "x-nvidia-overall-att-result", &true.into())?;
        let serial = device.leaf().map(|leaf| decimal(leaf.serial()));
        let mut last = refused("ueid", "none of its tokens is of this GPU");
        for (name, token) in &self.each {
            let claims = verify(token)?;
            let digest = hex::encode(Sha256::digest(token.as_bytes()));
            let listed = overall.get(["submods", name]);
            if listed != Some(&serde_json::json!(["DIGEST", ["SHA-256", digest]])) {
                return Err(refused("submods", "it lists another token"));
            }
            if claims.text("ueid") != serial.as_deref() {
                continue;
            }
            match about(&claims, issuer, report) {
                Ok(()) => return Ok(format!("{name}: as {} says", issuer.issuer)),
                Err(refusal) => last = refusal,
            }
        }
        Err(last)
    }
}

/// What one GPU's token must say, and what else the policy wants it to.
fn about(claims: &Claims, issuer: &Issuer, report: &Report<'_>) -> Result<(), Refusal> {
    wants(claims, "measres", &"success".into())?;
    wants(claims, "secboot", &true.into())?;
    wants(claims, "dbgstat", &"disabled".into())?;
    let opaque = report.opaque();
    for (name, found) in [
        (
            "x-nvidia-gpu-driver-version",
            opaque.driver().map(str::to_owned),
        ),
        ("x-nvidia-gpu-vbios-version", opaque.vbios()),
    ] {
        if claims.text(name) != found.as_deref() {
            return Err(refused(name, "not what the report says"));
        }
    }
    results::claims(claims, issuer)
}

fn wants(claims: &Claims, name: &str, value: &Value) -> Result<(), Refusal> {
    match claims.get([name]) {
        Some(found) if found == value => Ok(()),
        Some(found) => Err(refused(name, &found.to_string())),
        None => Err(refused(name, "not said")),
    }
}

fn refused(claim: &str, found: &str) -> Refusal {
    Refusal::new(Reason::ResultClaims, format!("{claim}: {found}"))
}

/// A big-endian number in decimal digits.
fn decimal(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = vec![0]; // least significant first
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) * 256;
            *digit = u8::try_from(carry % 10).unwrap_or_default();
            carry /= 10;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 10).unwrap_or_default());
            carry /= 10;
        }
    }
    digits
        .iter()
        .rev()
        .map(|digit| char::from(b'0' + digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_decimal() {
        assert_eq!(decimal(&[]), "0");
        assert_eq!(decimal(&[0, 0]), "0");
        assert_eq!(decimal(&[1, 0]), "256");
        let serial = hex::decode("53c22ba15e5d68088282da074ed9fb37aa585771").unwrap();
        assert_eq!(
            decimal(&serial),
            "478176379286082186618948445787393647364802107249"
        );
    }

    #[test]
    fn an_answer_has_one_form() {
        let good = br#"[["JWT","a"],{"GPU-0":"b"}]"#;
        assert!(Answer::parse(good).is_some());
        for bad in [
            &br#"[["JWS","a"],{"GPU-0":"b"}]"#[..],
            br#"[["JWT","a"],{}]"#,
            br#"[["JWT","a"],{"GPU-0":1}]"#,
            br#"[["JWT","a"],{"GPU-0":"b","GPU-0":"b"}]"#,
            br#"[["JWT"],{"GPU-0":"b"}]"#,
            br#"[["JWT","a"],{"GPU-0":"b"},1]"#,
            br#"{"JWT":"a"}"#,
        ] {
            assert!(Answer::parse(bad).is_none());
        }
    }
}
