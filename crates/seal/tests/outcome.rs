//! Outcomes and progress: only whoever opened the witness can have made them,
//! and their size tells nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{TestRng, description, session};
use soundproof_protocol::{
    error::{Code, Failure},
    outcome::{End, Outcome, Progress, Proved, Salt},
    suite::Suite,
};
use soundproof_seal::{DataKey, JobKeys, SealError, outcome, progress};

fn keys(seed: u64) -> (JobKeys, soundproof_protocol::description::JobDescription) {
    let description = description(&[&session(Suite::X25519, 1)]);
    let data_key = DataKey::generate(&mut TestRng(seed));
    let keys = JobKeys::derive(
        &data_key,
        &description.digest(),
        &soundproof_protocol::digest::Digest([1; 32]),
        100,
    );
    (keys, description)
}

fn failed(description: &soundproof_protocol::description::JobDescription) -> Outcome {
    Outcome {
        version: 1,
        job: description.job,
        description: description.digest(),
        end: End::Failed(Failure::new(Code::ConstraintFailed, "line 7")),
    }
}

#[test]
fn failure_and_success_have_one_size_and_open() {
    let (keys, description) = keys(1);
    let digest = description.digest();
    let failure = failed(&description);
    let success = Outcome {
        end: End::Proved(Proved {
            proof: vec![1; 800].into(),
            public_values: vec![2; 400].into(),
            receipt: vec![3; 1200].into(),
            receipt_key: vec![4; 65].into(),
            phases: vec![],
        }),
        ..failure.clone()
    };
    let sealed: Vec<_> = [&failure, &success]
        .iter()
        .map(|o| outcome::seal(&keys.outcome, &digest, Salt([7; 32]), o).unwrap())
        .collect();
    assert_eq!(
        sealed[0].len(),
        sealed[1].len(),
        "size must not tell failure from success"
    );
    assert!(outcome::open(&keys.outcome, &digest, &sealed[0]).unwrap() == failure);
    assert!(outcome::open(&keys.outcome, &digest, &sealed[1]).unwrap() == success);
}

#[test]
fn large_outcomes_open() {
    let (keys, description) = keys(1);
    let digest = description.digest();
    let large = Outcome {
        end: End::Proved(Proved {
            proof: vec![1; 3_000_000].into(),
            public_values: vec![].into(),
            receipt: vec![].into(),
            receipt_key: vec![].into(),
            phases: vec![],
        }),
        ..failed(&description)
    };
    let sealed = outcome::seal(&keys.outcome, &digest, Salt([7; 32]), &large).unwrap();
    assert!(outcome::open(&keys.outcome, &digest, &sealed).unwrap() == large);
    // Cut after a chunk: the last-chunk flag is missing.
    let cut = &sealed[..36 + 2 * (1024 * 1024 + 16)];
    assert!(outcome::open(&keys.outcome, &digest, cut).is_err());
}

/// Broken if outcomes were not bound to key and description.
#[test]
fn a_forged_or_moved_outcome_is_refused() {
    let (mine, description) = keys(1);
    let (other, _) = keys(2);
    let digest = description.digest();
    let sealed =
        outcome::seal(&mine.outcome, &digest, Salt([7; 32]), &failed(&description)).unwrap();
    let refused = |key, digest, bytes: &[u8]| {
        assert_eq!(
            outcome::open(key, digest, bytes).unwrap_err(),
            SealError::Outcome
        );
    };
    refused(&other.outcome, &digest, &sealed);
    refused(
        &mine.outcome,
        &soundproof_protocol::digest::Digest([9; 32]),
        &sealed,
    );
    for at in [0, 3, 4, 35, 36, sealed.len() - 1] {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        refused(&mine.outcome, &digest, &flipped);
    }
    for len in [0, 4, 36, 37, 52, sealed.len() - 1] {
        refused(&mine.outcome, &digest, &sealed[..len]);
    }
}

#[test]
fn progress_opens_for_its_job_only_and_has_one_size() {
    let (mine, description) = keys(1);
    let (other, _) = keys(2);
    let digest = description.digest();
    let mut sealer = progress::Sealer::new(&mine.outcome, &digest, Salt([7; 32]));
    let event = |phase: &str| Progress {
        phase: phase.into(),
        permille: 500,
        attempt: 1,
    };
    let first = sealer.seal(&event("witness")).unwrap();
    let second = sealer.seal(&event("p")).unwrap();
    assert_ne!(first.sequence, second.sequence);
    assert_eq!(first.ciphertext.0.len(), second.ciphertext.0.len());
    assert_eq!(
        progress::open(&mine.outcome, &digest, &first),
        Ok(event("witness"))
    );
    assert!(progress::open(&other.outcome, &digest, &first).is_err());
    let mut moved = first;
    moved.sequence = 1;
    assert!(progress::open(&mine.outcome, &digest, &moved).is_err());
    assert!(sealer.seal(&event(&"x".repeat(300))).is_none());
}
