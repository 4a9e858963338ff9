//! What no bytes may do: be accepted after a change, or make the judge panic.

use crate::common::Case;
use proptest::prelude::*;
use soundproof_evidence::{fuzz, tdx::Quote};
use soundproof_protocol::cbor;
use std::sync::LazyLock;

static CASE: LazyLock<Case> = LazyLock::new(Case::sound);
/// Header, body, length, signature, attestation key, certification header, QE
/// report and its signature, authentication data: everything before the
/// certificates.
const SIGNED: usize = 48 + 584 + 4 + 64 + 64 + 6 + 384 + 64 + 2 + 32 + 6;

#[test]
fn a_quote_that_is_cut_anywhere_is_an_error() {
    let bytes = &CASE.evidence.statement.0;
    for len in 0..bytes.len() {
        assert!(Quote::parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(Quote::parse(bytes).is_ok());
}

/// Some firmware hands out a buffer of fixed size; what follows the quote is
/// no part of it. But no length inside may leave bytes over.
#[test]
fn a_quote_has_one_form() {
    let mut padded = CASE.evidence.statement.0.clone();
    padded.extend([0, 1, 2]);
    assert!(Quote::parse(&padded).is_ok());
    // Every length, made one longer or shorter.
    for at in [
        632,
        636 + 130,
        636 + 134 + 448,
        636 + 134 + 448 + 2 + 32 + 2,
    ] {
        for change in [1_u8, 0xff] {
            let mut bytes = CASE.evidence.statement.0.clone();
            bytes[at] = bytes[at].wrapping_add(change);
            bytes.extend([0; 4]);
            assert!(Quote::parse(&bytes).is_err(), "length at {at}");
        }
    }
}

/// Not one bit of what is signed can be changed. Fails if any part of the
/// quote before the certificates were not covered by a signature or a rule.
#[test]
fn no_bit_of_the_signed_part_can_be_changed() {
    let mut case = Case::sound();
    let sound = case.evidence.statement.0.clone();
    assert!(sound.len() > SIGNED);
    // One bit of each byte, another one in each.
    for at in 0..SIGNED {
        case.evidence.statement.0.clone_from(&sound);
        case.evidence.statement.0[at] ^= 1 << (at % 8);
        assert!(case.judge().accept().is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bit_of_the_signed_part(at in 0..SIGNED, bit in 0..8_u32) {
        let mut evidence = CASE.evidence.clone();
        evidence.statement.0[at] ^= 1_u8 << bit;
        let verdict = soundproof_evidence::appraise(
            &evidence, &CASE.endorsements, &CASE.binding, &CASE.trust, &CASE.policy, CASE.now_ms,
        );
        prop_assert!(verdict.accept().is_err());
    }

    #[test]
    fn any_change_to_the_collateral_is_survived(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut endorsements = CASE.endorsements.clone();
        let at = at.index(endorsements.body.0.len());
        endorsements.body.0[at] = with;
        let _ = soundproof_evidence::appraise(
            &CASE.evidence, &endorsements, &CASE.binding, &CASE.trust, &CASE.policy, CASE.now_ms,
        );
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000), now in any::<u64>()) {
        fuzz::quote(&bytes);
        fuzz::container(&bytes);
        prop_assert!(!fuzz::ear(&bytes));
        fuzz::policy(&bytes);
        fuzz::evidence(&bytes, &cbor::to_vec(&CASE.endorsements), now);
        fuzz::evidence(&cbor::to_vec(&CASE.evidence), &bytes, now);
        fuzz::session(&bytes, &CASE.policy, now);
    }

    #[test]
    fn a_sound_session_is_survived_at_any_time(now in any::<u64>()) {
        let verdict = fuzz::session(&cbor::to_vec(&CASE.session), &CASE.policy, now).unwrap();
        let lasts = CASE.now_ms - 86_400_000..=CASE.now_ms + 29 * 86_400_000;
        prop_assert!(verdict.accept().is_err() || lasts.contains(&now));
    }
}
