//! Outcomes and receipts: only what the enclave made, only about this job.

use crate::{
    client,
    fake::{Fake, PROOF, PUBLIC, Twist},
    program,
};
use soundproof::{
    Beside, Error, Policy, ProofCheck, claimed_end_ms,
    protocol::{error::Code, receipt::Bundle},
    verify_bundle,
};

/// Invariant 6, the client's half. Each case would pass if the client left
/// out the one comparison that it is about.
#[tokio::test]
async fn an_outcome_that_is_not_all_right_is_refused() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let cases = [
        (Twist::Forged, Code::OutcomeForged),
        (Twist::OtherJob, Code::OutcomeForged),
        (Twist::OtherDescription, Code::OutcomeForged),
        (Twist::ReceiptForged, Code::ReceiptInvalid),
        (Twist::ReceiptUnderOtherKey, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherJob, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherDescription, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherProgram, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherProof, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherPublic, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherInput, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherCommitment, Code::ReceiptInvalid),
        (Twist::ReceiptOfOtherEnclave, Code::ReceiptInvalid),
        (Twist::ReceiptOfTwoEnclaves, Code::ReceiptInvalid),
        (Twist::ReceiptOfUnlistedProver, Code::ReceiptInvalid),
        (Twist::ReceiptNotAppraised, Code::ReceiptInvalid),
        (Twist::ReceiptWithoutSandbox, Code::ReceiptInvalid),
        (Twist::ReceiptWithKey, Code::ReceiptInvalid),
        (Twist::OtherPublicValues, Code::ProofRejected),
        (Twist::Failed, Code::ConstraintFailed),
    ];
    for (twist, code) in cases {
        fake.twist(twist);
        let error = client.prove(&program(), b"{}".to_vec()).await.unwrap_err();
        assert_eq!(error.code(), code, "{twist:?}: {error}");
        assert!(!error.retryable());
    }
    fake.twist(Twist::Failed);
    let error = client.prove(&program(), b"{}".to_vec()).await.unwrap_err();
    assert!(matches!(&error, Error::Failed(f) if f.detail == "line 42"));
}

#[tokio::test]
async fn a_good_outcome_comes_with_a_bundle_that_anybody_can_check() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let proven = client.prove(&program(), b"{}".to_vec()).await.unwrap();
    assert_eq!(proven.proof, PROOF);
    assert_eq!(proven.public_values, PUBLIC);
    assert_eq!(proven.proof_verified, ProofCheck::ByClient);
    assert_eq!(proven.phase("prove").as_micros(), 1234);
    assert!(proven.resubmissions.is_empty());

    let bundle = Bundle::from_slice(&proven.bundle_bytes()).unwrap();
    let at = claimed_end_ms(&bundle).unwrap();
    let all = Beside {
        proof: Some(PROOF),
        public_values: Some(PUBLIC),
        ..Beside::default()
    };
    let report = verify_bundle(&bundle, &all, &fake.policy(), at).unwrap();
    assert!(report.accepted && report.problems.is_empty() && report.unchecked.is_empty());

    // Without them it says so, and another proof is a problem.
    let report = verify_bundle(&bundle, &Beside::default(), &fake.policy(), at).unwrap();
    assert!(report.accepted);
    assert_eq!(report.unchecked.len(), 2);
    let other = Beside {
        proof: Some(b"another"),
        ..all
    };
    let report = verify_bundle(&bundle, &other, &fake.policy(), at).unwrap();
    assert!(!report.accepted && report.problems.len() == 1);

    // Another policy, or another time, is another verdict.
    let report = verify_bundle(&bundle, &all, &Policy::default(), at).unwrap();
    assert!(!report.accepted && report.problems.is_empty());
    let years = 40 * 365 * 24 * 3600 * 1000;
    let report = verify_bundle(&bundle, &all, &fake.policy(), at + years).unwrap();
    assert!(!report.accepted);
}

#[tokio::test]
async fn a_bundle_that_was_changed_is_none() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let proven = client.prove(&program(), b"{}".to_vec()).await.unwrap();
    let policy = fake.policy();
    let at = claimed_end_ms(&proven.bundle).unwrap();
    let accepted = |bundle: &Bundle| {
        verify_bundle(bundle, &Beside::default(), &policy, at).is_ok_and(|r| r.accepted)
    };
    assert!(accepted(&proven.bundle));
    let changes: [fn(&mut Bundle); 8] = [
        |b| b.version += 1,
        |b| b.receipt.0[40] ^= 1,
        |b| *b.receipt.0.last_mut().unwrap() ^= 1,
        |b| b.receipt_key.0[10] ^= 1,
        |b| b.session.transcript.0[20] ^= 1,
        |b| b.session.path.index = 0,
        |b| b.session.trust.0[3] ^= 1,
        |b| b.session.evidence.statement.0[700] ^= 1,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut bundle = proven.bundle.clone();
        change(&mut bundle);
        assert!(!accepted(&bundle), "change {index}");
    }
    let mut bytes = proven.bundle_bytes();
    bytes.push(0);
    assert!(Bundle::from_slice(&bytes).is_err());
}
