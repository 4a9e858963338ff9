//! Entry points for fuzzing: every parser of outside bytes in this crate.
//! They return what they return; none may panic, hang or take memory out of
//! proportion to its input.

use crate::{Policy, Verdict, appraise, explain, tdx::Quote, verify_session};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE},
    cbor,
    receipt::{MAX_BUNDLE, SessionEvidence},
    trust::TrustConfiguration,
};

/// A quote alone.
pub fn quote(bytes: &[u8]) -> bool {
    Quote::parse(bytes).is_ok()
}

/// A file that may hold evidence.
pub fn container(bytes: &[u8]) -> bool {
    crate::container::open(bytes).is_ok()
}

/// A token, read under a key that signed none.
pub fn ear(bytes: &[u8]) -> bool {
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]);
    let expected = crate::ear::Expected {
        issuer: "",
        audience: "",
        nonce: None,
        now_s: 0,
        clock_skew_s: 0,
    };
    let (Ok(token), Ok(key)) = (core::str::from_utf8(bytes), key) else {
        return false;
    };
    crate::ear::Ear::verify(token, key.verifying_key(), &expected).is_ok()
}

/// A policy; if it reads, it must read again as itself after being written.
pub fn policy(bytes: &[u8]) -> bool {
    let Some(policy) = core::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Policy::from_toml(text).ok())
    else {
        return false;
    };
    let again = policy.to_toml().map(|text| Policy::from_toml(&text));
    assert!(
        again.is_err() || again == Ok(Ok(policy)),
        "a policy must survive being written"
    );
    true
}

/// Encoded evidence and endorsements, explained.
pub fn evidence(evidence: &[u8], endorsements: &[u8], now_ms: u64) -> Option<Verdict> {
    let evidence: Evidence = cbor::from_slice(evidence, MAX_EVIDENCE).ok()?;
    let endorsements: Endorsements = cbor::from_slice(endorsements, MAX_ENDORSEMENTS).ok()?;
    Some(explain(&evidence, &endorsements, now_ms))
}

/// An encoded session, judged as a client judges it.
pub fn session(bytes: &[u8], policy: &Policy, now_ms: u64) -> Option<Verdict> {
    let session: SessionEvidence = cbor::from_slice(bytes, MAX_BUNDLE).ok()?;
    let (_, binding) = verify_session(&session).ok()?;
    let trust = TrustConfiguration::from_slice(&session.trust.0).ok()?;
    Some(appraise(
        &session.evidence,
        &session.endorsements,
        &binding,
        &trust,
        policy,
        now_ms,
    ))
}
