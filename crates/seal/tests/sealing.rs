//! Sealing through the public interface: what opens, and everything that must
//! not (invariant 2: sealed to what was attested).
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Session, TestRng, description, session};
use soundproof_protocol::{
    cbor,
    description::JobDescription,
    digest::Digest,
    sealed::{CHUNK, SealedHeader},
    suite::Suite,
};
use soundproof_seal::{
    Addressee, DataKey, JobKeys, Opener, Padding, Prologue, SealError, Sealer, open_header,
    recipient::wrap, seal_header,
};

fn addressee(session: &Session) -> Addressee<'_> {
    Addressee {
        suite: session.transcript.suite,
        public_key: session.recipient.public_key(),
        transcript: &session.digest,
    }
}

/// Header, keys and chunks of a plaintext of `len` bytes, each its index.
fn seal(
    seed: u64,
    description: &JobDescription,
    sessions: &[&Session],
    len: usize,
) -> (SealedHeader, JobKeys, Vec<Vec<u8>>) {
    let mut rng = TestRng(seed);
    let data_key = DataKey::generate(&mut rng);
    let addressees: Vec<_> = sessions.iter().map(|s| addressee(s)).collect();
    let (header, keys) =
        seal_header(&mut rng, &data_key, description, &addressees, len as u64).unwrap();
    let sealer = Sealer::new(&keys, &header).unwrap();
    let chunks = (0..header.chunks().unwrap())
        .map(|index| {
            let left = len - index as usize * CHUNK;
            let mut buffer = vec![index as u8; left.min(CHUNK)];
            sealer.seal(index, &mut buffer).unwrap();
            buffer
        })
        .collect();
    (header, keys, chunks)
}

#[test]
fn what_was_sealed_opens_for_every_recipient() {
    let (xwing, x25519) = (session(Suite::XWing, 1), session(Suite::X25519, 2));
    let description = description(&[&xwing, &x25519]);
    let len = 2 * CHUNK + 17;
    let (header, sent, chunks) = seal(50, &description, &[&xwing, &x25519], len);
    let bytes = cbor::to_vec(&header);
    let header = SealedHeader::from_slice(&bytes).unwrap();
    for session in [&xwing, &x25519] {
        let keys = open_header(&session.recipient, &session.digest, &description, &header).unwrap();
        assert_eq!(keys.outcome, sent.outcome);
        assert_eq!(keys.access, sent.access);
        let opener = Opener::new(&keys, &header).unwrap();
        // In any order.
        for index in [2, 0, 1] {
            let plain = opener.open(index, chunks[index as usize].clone()).unwrap();
            assert!(plain.iter().all(|byte| *byte == index as u8));
        }
    }
}

/// Broken if the description were not HPKE's aad and an ingredient of every
/// key: each of these would open.
#[test]
fn another_program_mode_or_job_opens_nothing() {
    for suite in Suite::ALL {
        let session = session(suite, 1);
        let honest = description(&[&session]);
        let (header, _, _) = seal(50, &honest, &[&session], 100);
        let mut program = honest.clone();
        program.parts[0].digest = Digest([6; 32]);
        let mut mode = honest.clone();
        mode.mode = "plonk".into();
        let mut job = honest.clone();
        job.job.0[15] ^= 1;
        let mut limits = honest.clone();
        limits.limits.time_ms = 1;
        let mut late = honest.clone();
        late.not_after_ms += 1;
        for other in [program, mode, job, limits, late] {
            let opened = open_header(&session.recipient, &session.digest, &other, &header);
            assert_eq!(opened.unwrap_err(), SealError::DataKey);
        }
    }
}

/// Broken if the transcript were not HPKE's info.
#[test]
fn another_session_or_key_opens_nothing() {
    for suite in Suite::ALL {
        let (mine, other) = (session(suite, 1), session(suite, 2));
        let description = description(&[&mine]);
        let (header, _, _) = seal(50, &description, &[&mine], 100);
        // Another key under the same transcript, as a host would replay it.
        let opened = open_header(&other.recipient, &mine.digest, &description, &header);
        assert_eq!(opened.unwrap_err(), SealError::DataKey);
        // The right key under another transcript.
        let opened = open_header(&mine.recipient, &other.digest, &description, &header);
        assert_eq!(opened.unwrap_err(), SealError::Recipients);
        let mut renamed_header = header.clone();
        renamed_header.recipients[0].transcript = other.digest;
        let mut renamed = description.clone();
        renamed.recipients[0] = other.digest;
        let opened = open_header(&mine.recipient, &other.digest, &renamed, &renamed_header);
        assert_eq!(opened.unwrap_err(), SealError::DataKey);
    }
}

/// Broken if nothing committed to the data key: each recipient would open its
/// own, and a job could have two different inputs.
#[test]
fn two_recipients_with_different_data_keys_are_found_out() {
    let (first, second) = (session(Suite::XWing, 1), session(Suite::XWing, 2));
    let description = description(&[&first, &second]);
    let mut rng = TestRng(50);
    let (one, other) = (DataKey::generate(&mut rng), DataKey::generate(&mut rng));
    let (mut header, _) = seal_header(
        &mut rng,
        &one,
        &description,
        &[addressee(&first), addressee(&second)],
        100,
    )
    .unwrap();
    header.recipients[1] = wrap(
        &mut rng,
        &other,
        Suite::XWing,
        second.recipient.public_key(),
        &second.digest,
        &description.digest(),
    )
    .unwrap();
    header.commitment = JobKeys::derive(
        &one,
        &description.digest(),
        &header.recipients_digest(),
        100,
    )
    .commitment;
    assert!(open_header(&first.recipient, &first.digest, &description, &header).is_ok());
    assert_eq!(
        open_header(&second.recipient, &second.digest, &description, &header).unwrap_err(),
        SealError::Commitment
    );
}

#[test]
fn recipients_that_are_not_the_descriptions_are_refused() {
    let (first, second) = (session(Suite::XWing, 1), session(Suite::XWing, 2));
    let both = description(&[&first, &second]);
    let (header, _, _) = seal(50, &both, &[&first, &second], 100);
    let mut stripped = header.clone();
    stripped.recipients.pop();
    let mut swapped = header;
    swapped.recipients.swap(0, 1);
    for bad in [stripped, swapped] {
        let opened = open_header(&first.recipient, &first.digest, &both, &bad);
        assert_eq!(opened.unwrap_err(), SealError::Recipients);
    }
}

#[test]
fn an_altered_header_opens_nothing() {
    let session = session(Suite::X25519, 1);
    let description = description(&[&session]);
    let (header, _, _) = seal(50, &description, &[&session], 100);
    let mut length = header.clone();
    length.padded_len += 1;
    let mut commitment = header.clone();
    commitment.commitment.0[0] ^= 1;
    for bad in [length, commitment] {
        let opened = open_header(&session.recipient, &session.digest, &description, &bad);
        assert_eq!(opened.unwrap_err(), SealError::Commitment);
    }
    let mut encapsulation = header.clone();
    encapsulation.recipients[0].encapsulation.0[0] ^= 1;
    let mut wrapped = header;
    wrapped.recipients[0].ciphertext.0[0] ^= 1;
    for bad in [encapsulation, wrapped] {
        let opened = open_header(&session.recipient, &session.digest, &description, &bad);
        assert_eq!(opened.unwrap_err(), SealError::DataKey);
    }
}

/// Broken if position and end were not in the nonce.
#[test]
fn truncated_reordered_duplicated_dropped_spliced_and_flipped_chunks_are_refused() {
    let session = session(Suite::XWing, 1);
    let description = description(&[&session]);
    let (header, keys, chunks) = seal(50, &description, &[&session], 3 * CHUNK);
    let opener = Opener::new(&keys, &header).unwrap();
    let refused = |index: u32, bytes: Vec<u8>, why: &str| {
        assert_eq!(
            opener.open(index, bytes).unwrap_err(),
            SealError::Chunk,
            "{why}"
        );
    };
    refused(0, chunks[1].clone(), "reordered");
    refused(1, chunks[0].clone(), "duplicated");
    refused(1, chunks[2].clone(), "dropped");
    refused(0, chunks[0][..CHUNK].to_vec(), "truncated");
    refused(0, [chunks[0].as_slice(), &[0]].concat(), "prolonged");
    refused(3, chunks[2].clone(), "past the end");
    for byte in [0, CHUNK / 2, CHUNK, CHUNK + 15] {
        let mut flipped = chunks[0].clone();
        flipped[byte] ^= 1;
        refused(0, flipped, "flipped");
    }
    // Spliced from another job under another data key.
    let (_, _, others) = seal(60, &description, &[&session], 3 * CHUNK);
    refused(0, others[0].clone(), "spliced");
    // The stream cut at a chunk's end: what was a middle chunk is no last one.
    let mut shorter = header.clone();
    shorter.padded_len = 2 * CHUNK as u64;
    let opener = Opener::new(&keys, &shorter).unwrap();
    assert!(opener.open(0, chunks[0].clone()).is_ok());
    assert_eq!(
        opener.open(1, chunks[1].clone()).unwrap_err(),
        SealError::Chunk
    );
}

#[test]
fn a_sealer_takes_only_the_headers_shape() {
    let session = session(Suite::X25519, 1);
    let description = description(&[&session]);
    let (header, keys, _) = seal(50, &description, &[&session], CHUNK + 5);
    let sealer = Sealer::new(&keys, &header).unwrap();
    for (index, len) in [(0, CHUNK - 1), (0, CHUNK + 1), (1, 4), (1, 6), (2, 0)] {
        assert!(
            sealer.seal(index, &mut vec![0; len]).is_err(),
            "{index} {len}"
        );
    }
}

/// The formats, byte by byte. A change here is a change of protocol version.
#[test]
fn golden() {
    for suite in Suite::ALL {
        let session = session(suite, 1);
        let description = description(&[&session]);
        let mut rng = TestRng(50);
        let data_key = DataKey::generate(&mut rng);
        let padded = Padding::Padme.padded_len(20).unwrap();
        let (header, keys) = seal_header(
            &mut rng,
            &data_key,
            &description,
            &[addressee(&session)],
            padded,
        )
        .unwrap();
        let prologue = Prologue {
            witness_len: 20,
            client_ms: 1_700_000_000_000,
            entropy: [8; 32],
        };
        let mut chunk = prologue.to_bytes().to_vec();
        chunk.extend_from_slice(b"a witness of 20 byte");
        chunk.resize(padded as usize, 0);
        Sealer::new(&keys, &header)
            .unwrap()
            .seal(0, &mut chunk)
            .unwrap();
        let text = format!(
            "transcript {}\ndescription {}\nheader {}\nchunk {}\noutcome-key {}\naccess-secret {}\n",
            hex::encode(session.transcript.leaf()),
            hex::encode(cbor::to_vec(&description)),
            hex::encode(cbor::to_vec(&header)),
            hex::encode(&chunk),
            hex::encode(keys.outcome.0),
            hex::encode(keys.access.0),
        );
        let path = format!(
            "{}/tests/golden/{}.txt",
            env!("CARGO_MANIFEST_DIR"),
            suite.name()
        );
        if std::env::var_os("SOUNDPROOF_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{path}");
    }
}
