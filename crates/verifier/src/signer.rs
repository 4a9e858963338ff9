//! Attestation results: verdicts, signed with this service's own key.

use crate::{api::Key, request::Asked};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
pub use p256::ecdsa::SigningKey;
use soundproof_evidence::{
    Policy, Verdict,
    ear::{Ear, Issue},
};
use soundproof_protocol::digest::Digest;

/// A fresh key, and its 32 bytes in hexadecimal, as files keep it.
///
/// # Errors
/// If the machine has no randomness.
pub fn generate() -> std::io::Result<(SigningKey, String)> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        // All but one in 2^32 numbers of this length are keys.
        if let Ok(key) = SigningKey::from_slice(&bytes) {
            return Ok((key, hex::encode(bytes)));
        }
    }
}

/// From the text of a file.
pub fn from_hex(text: &str) -> Option<SigningKey> {
    let bytes = hex::decode(text.trim()).ok()?;
    SigningKey::from_slice(&bytes).ok()
}

/// See the module.
pub struct Signer {
    key: SigningKey,
    kid: String,
    issuer: String,
    lifetime_s: u64,
}

impl Signer {
    pub(crate) fn new(key: SigningKey, issuer: &str, lifetime_s: u64) -> Self {
        let point = key.verifying_key().to_sec1_point(false);
        let digest = hex::encode(Digest::of(point.as_bytes()).0);
        Self {
            kid: digest.chars().take(16).collect(),
            key,
            issuer: issuer.to_owned(),
            lifetime_s,
        }
    }

    /// `None` if there is no such result, which a request that was read has.
    pub(crate) fn sign(
        &self,
        verdict: &Verdict,
        policy: &Policy,
        asked: &Asked,
        now_ms: u64,
    ) -> Option<String> {
        let issue = Issue {
            issuer: &self.issuer,
            audience: &asked.audience,
            nonce: Some(&asked.nonce),
            now_s: now_ms / 1000,
            lifetime_s: self.lifetime_s,
            kid: Some(&self.kid),
        };
        let ear = Ear::new(verdict, policy, &issue).ok()?;
        Some(ear.sign(&self.key, Some(&self.kid)))
    }

    /// The public key, as JSON has it.
    pub(crate) fn key(&self) -> Key {
        let point = self.key.verifying_key().to_sec1_point(false);
        // 0x04, x, y.
        let half = |at: usize| {
            let half = point.as_bytes().get(at..at + 32);
            URL_SAFE_NO_PAD.encode(half.unwrap_or_default())
        };
        Key {
            kty: "EC",
            crv: "P-256",
            alg: "ES256",
            purpose: "sig",
            kid: self.kid.clone(),
            x: half(1),
            y: half(33),
        }
    }
}
