#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_evidence::Policy;
use soundproof_fuzz::NOW_MS;
use soundproof_protocol::{cbor, receipt::SessionEvidence};
use std::sync::LazyLock;

// A session, and the policy that accepts it.
static SESSION: LazyLock<SessionEvidence> = LazyLock::new(|| {
    cbor::from_slice(include_bytes!("../seeds/session_evidence/one"), 1 << 22).unwrap()
});
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::from_toml(include_str!("../seeds/policy/software.toml")).unwrap());

// No other transcript is ever accepted, and nothing by a policy that accepts
// nothing.
fuzz_target!(|bytes: &[u8]| {
    let judge = |policy| soundproof_evidence::fuzz::session(bytes, policy, NOW_MS);
    let Some(verdict) = judge(&POLICY) else {
        return;
    };
    if verdict.accept().is_ok() {
        let accepted: SessionEvidence = cbor::from_slice(bytes, 1 << 22).unwrap();
        assert_eq!(accepted.transcript, SESSION.transcript);
        assert_eq!(accepted.trust, SESSION.trust);
    }
    assert!(judge(&Policy::default()).unwrap().accept().is_err());
});
