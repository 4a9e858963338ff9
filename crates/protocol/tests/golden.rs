//! The encodings, byte by byte. A change of a golden file is a change of
//! protocol version.
#![allow(missing_docs, clippy::unwrap_used)]

mod samples;

use soundproof_protocol::cbor;
use std::fmt::Write as _;

#[test]
fn every_message_has_the_bytes_it_always_had() {
    let mut text = String::new();
    for (name, bytes) in samples::all() {
        writeln!(text, "{name} {}", hex::encode(bytes)).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/messages.txt");
    if std::env::var_os("SOUNDPROOF_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

#[test]
fn digests_of_tagged_structures_stay() {
    let text = format!(
        "transcript {}\ntrust {}\ndescription {}\nrecipients {}\nevidence {}\nendorsements {}\nbinding {}\n",
        samples::transcript().digest(),
        samples::trust().digest(),
        samples::description().digest(),
        samples::header().recipients_digest(),
        samples::evidence().digest(),
        samples::endorsements().digest(),
        hex::encode(samples::binding().as_bytes()),
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/digests.txt");
    if std::env::var_os("SOUNDPROOF_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

/// The error codes are an interface: their names, faults and retryability.
#[test]
fn error_codes_stay() {
    let mut text = String::new();
    for code in soundproof_protocol::error::Code::ALL {
        let (name, status) = (code.name(), code.status());
        writeln!(
            text,
            "{name} {status} {} retryable={}",
            code.fault().name(),
            code.retryable()
        )
        .unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/codes.txt");
    if std::env::var_os("SOUNDPROOF_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

/// Every single-byte change of a description changes its digest or makes it
/// unreadable: nothing in it is malleable.
#[test]
fn a_description_is_not_malleable() {
    use soundproof_protocol::description::JobDescription;
    let description = samples::description();
    let bytes = cbor::to_vec(&description);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            if let Ok(other) = JobDescription::from_slice(&changed) {
                assert_ne!(other.digest(), description.digest());
            }
        }
    }
}
