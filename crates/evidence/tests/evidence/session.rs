//! From a session's transcript to the binding: every rule it may break.

use crate::common::Case;
use soundproof_evidence::{SessionError, verify_session};
use soundproof_protocol::{
    attestation::Role,
    cbor::{self, Bytes},
    digest::Digest,
    error::Code,
    id::Nonce,
    receipt::SessionEvidence,
    suite::Suite,
    transcript::{KeyAlgorithm, KeyPurpose, Transcript, VouchedKey},
};
use soundproof_testkit::session::{self, attest};

#[test]
fn every_leaf_of_every_tree_leads_to_its_binding() {
    let case = Case::sound();
    let trust = session::trust();
    let transcript = session::transcript(Nonce([1; 32]), &trust);
    for (index, leaves) in [
        (0, 1),
        (0, 2),
        (1, 2),
        (4, 5),
        (12, 13),
        (31, 32),
        (999, 1000),
    ] {
        let session = attest(&case.pki.platform, &transcript, &trust, index, leaves).unwrap();
        let (read, binding) = verify_session(&session).unwrap();
        assert_eq!(read, transcript);
        let quote = soundproof_evidence::tdx::Quote::parse(&session.evidence.statement.0).unwrap();
        assert_eq!(quote.report_data(), binding.as_bytes());
    }
}

/// Whatever the host changes in a session, either nothing can be computed or
/// another binding comes out, which the evidence does not carry.
#[test]
fn a_change_is_an_error_or_another_binding() {
    let case = Case::sound();
    let sound = verify_session(&case.session).unwrap().1;
    let changed = |change: fn(&mut Transcript)| {
        let mut session = case.session.clone();
        let mut transcript = Transcript::from_slice(&session.transcript.0).unwrap();
        change(&mut transcript);
        session.transcript = Bytes(cbor::to_vec(&transcript));
        verify_session(&session)
    };
    // Somebody else's nonce, key, session, instance, or a suite stripped from
    // the offer: another leaf, so another root.
    let others: [fn(&mut Transcript); 6] = [
        |t| t.nonce = Nonce([1; 32]),
        |t| t.keys[0].digest = Digest([1; 32]),
        |t| t.keys[1].digest = Digest([1; 32]),
        |t| t.offered.truncate(1),
        |t| t.lifetime_s = 3600,
        |t| t.instance.0[0] ^= 1,
    ];
    for other in others {
        let (_, binding) = changed(other).unwrap();
        assert_ne!(binding, sound);
    }
    let rules: [fn(&mut Transcript); 11] = [
        |t| t.version = 2,
        |t| t.role = Role::Worker,
        |t| t.lifetime_s = 0,
        |t| t.lifetime_s = 3601,
        |t| t.offered = vec![Suite::X25519.code()],
        |t| t.offered = vec![Suite::XWing.code(); 17],
        |t| t.keys.clear(),
        |t| t.keys.truncate(1),
        |t| t.keys.push(t.keys[0]),
        |t| t.keys[0].algorithm = KeyAlgorithm::X25519,
        |t| {
            let tls = VouchedKey {
                purpose: KeyPurpose::Tls,
                algorithm: KeyAlgorithm::Spki,
                digest: Digest([1; 32]),
            };
            t.keys.extend([tls, tls]);
        },
    ];
    for (index, rule) in rules.into_iter().enumerate() {
        assert!(changed(rule).is_err(), "rule {index}");
    }
    assert_eq!(
        changed(|t| t.version = 2).unwrap_err().code(),
        Code::VersionUnsupported
    );
    assert_eq!(
        changed(|t| t.trust = Digest([1; 32])),
        Err(SessionError::TrustMismatch)
    );
}

#[test]
fn the_parts_around_the_transcript_are_checked() {
    let sound = Case::sound().session;
    let with = |change: fn(&mut SessionEvidence)| {
        let mut session = sound.clone();
        change(&mut session);
        verify_session(&session).map(|(_, binding)| binding)
    };
    let binding = with(|_| {}).unwrap();
    assert!(matches!(
        with(|s| s.transcript.0.push(0)),
        Err(SessionError::Transcript(_))
    ));
    assert!(matches!(
        with(|s| s.transcript.0.clear()),
        Err(SessionError::Transcript(_))
    ));
    assert!(matches!(
        with(|s| s.transcript.0 = vec![0; 5000]),
        Err(SessionError::Transcript(_))
    ));
    assert!(matches!(
        with(|s| s.trust.0.push(0)),
        Err(SessionError::Trust(_))
    ));
    assert_eq!(with(|s| s.path.leaves = 1 << 20), Err(SessionError::Path));
    assert_eq!(with(|s| s.path.index = 11), Err(SessionError::Path));
    assert_eq!(
        with(|s| s.path.siblings.truncate(1)),
        Err(SessionError::Path)
    );
    assert_eq!(
        with(|s| s.path.siblings = vec![Digest([0; 32]); 100_000]),
        Err(SessionError::Path)
    );
    assert_ne!(with(|s| s.path.siblings[0] = Digest([0; 32])), Ok(binding));
    assert_ne!(with(|s| s.path.index = 2), Ok(binding));
    // Evidence beside the quote is bound by its digest.
    assert_ne!(with(|s| s.evidence.gpu = Some(Bytes(vec![1]))), Ok(binding));
    assert_ne!(
        with(|s| s.evidence.runtime = Some(Bytes(vec![1]))),
        Ok(binding)
    );
}

/// A trust configuration with a key that this version does not know may say
/// anything; it is refused, not ignored.
#[test]
fn an_unknown_key_in_the_trust_configuration_is_refused() {
    let case = Case::sound();
    let mut session = case.session.clone();
    // A map of 8 becomes one of 9, with key 9 → true at the end.
    let bytes = &mut session.trust.0;
    assert_eq!(bytes[0] & 0xe0, 0xa0, "a map of fewer than 24 entries");
    bytes[0] += 1;
    bytes.extend([0x09, 0xf5]);
    assert!(matches!(
        verify_session(&session),
        Err(SessionError::Trust(_))
    ));
}
