//! Whatever is not the one encoding of a message is refused, without a panic
//! and without memory that the input did not pay for.
#![allow(missing_docs, clippy::unwrap_used)]

mod samples;

use proptest::prelude::*;
use soundproof_protocol::{
    api::{CreateJob, MAX_CREATE_JOB, MAX_OPEN_SESSION, OpenSession},
    cbor,
    description::JobDescription,
    link::Frame,
    merkle::Path,
    outcome::{MAX_OUTCOME, Outcome},
    receipt::{Bundle, Receipt, ReceiptError},
    sealed::SealedHeader,
    ticket::Ticket,
    transcript::Transcript,
    trust::TrustConfiguration,
};

/// Decodes as everything; says how many accepted.
fn decode_all(bytes: &[u8]) -> usize {
    usize::from(Transcript::from_slice(bytes).is_ok())
        + usize::from(TrustConfiguration::from_slice(bytes).is_ok())
        + usize::from(JobDescription::from_slice(bytes).is_ok())
        + usize::from(SealedHeader::from_slice(bytes).is_ok())
        + usize::from(Ticket::from_slice(bytes).is_ok())
        + usize::from(Bundle::from_slice(bytes).is_ok())
        + usize::from(Frame::from_slice(bytes).is_ok())
        + usize::from(cbor::from_slice::<OpenSession>(bytes, MAX_OPEN_SESSION).is_ok())
        + usize::from(cbor::from_slice::<CreateJob>(bytes, MAX_CREATE_JOB).is_ok())
        + usize::from(cbor::from_slice::<Outcome>(bytes, MAX_OUTCOME).is_ok())
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_trouble(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    #[test]
    fn a_changed_byte_is_another_message_or_none(at in any::<prop::sample::Index>(), flip in 1u8..) {
        for (_, bytes) in samples::all() {
            let mut changed = bytes.clone();
            let at = at.index(changed.len());
            changed[at] ^= flip;
            decode_all(&changed);
            // Whatever still decodes is not the same message in other bytes.
            if let (Ok(a), Ok(b)) = (Frame::from_slice(&bytes), Frame::from_slice(&changed)) {
                prop_assert_ne!(a.to_vec(), b.to_vec());
            }
        }
    }
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    for (name, bytes) in samples::all() {
        if name == "signed-receipt" {
            continue; // not a message of this encoding; see below
        }
        for len in 0..bytes.len() {
            assert_eq!(decode_all(&bytes[..len]), 0, "{name} cut to {len}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode_all(&longer), 0, "{name} with a trailing byte");
    }
}

/// Nested far deeper than any message of ours: refused, no stack is used up.
#[test]
fn deep_nesting_is_refused() {
    for opener in [0x81u8, 0xa1, 0xc1, 0x9f, 0xbf] {
        assert_eq!(decode_all(&vec![opener; 60_000]), 0);
    }
}

#[test]
fn an_oversize_merkle_path_is_refused() {
    let mut path = samples::session().path;
    path.siblings = vec![soundproof_protocol::digest::Digest([0; 32]); 17];
    let decoded: Path = cbor::from_slice(&cbor::to_vec(&path), 4096).unwrap();
    assert_eq!(decoded.root_from(b"leaf"), None);
}

#[test]
fn a_receipt_verifies_under_its_key_only() {
    let (signed, key) = samples::signed_receipt();
    assert_eq!(Receipt::verify(&signed, &key), Ok(samples::receipt()));
    for at in 0..signed.len() {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert!(Receipt::verify(&changed, &key).is_err(), "byte {at}");
    }
    for len in 0..signed.len() {
        assert!(Receipt::verify(&signed[..len], &key).is_err());
    }
    let other = p256::ecdsa::SigningKey::from_slice(&[99; 32]).unwrap();
    let other = other
        .verifying_key()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec();
    assert_eq!(
        Receipt::verify(&signed, &other),
        Err(ReceiptError::Signature)
    );
    assert_eq!(Receipt::verify(&signed, &[0; 65]), Err(ReceiptError::Key));
}

/// A receipt that admits that nothing was verified, or names no enclave, is
/// none, whoever signed it (invariant 6).
#[test]
fn a_receipt_without_verification_or_holder_is_refused() {
    let key = samples::receipt_key();
    let public = samples::signed_receipt().1;
    let mut unverified = samples::receipt();
    unverified.verified = false;
    let mut nobody = samples::receipt();
    nobody.holders.clear();
    for receipt in [unverified, nobody] {
        let signed = receipt.sign(&key);
        assert!(matches!(
            Receipt::verify(&signed, &public),
            Err(ReceiptError::Rule(_))
        ));
    }
}
