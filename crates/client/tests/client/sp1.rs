//! SP1 jobs: what must be acknowledged, what a receipt must say where this
//! library cannot verify the proof itself, and the direct path's own client.

use crate::{
    QUICK, client,
    fake::{Fake, PROOF, PUBLIC, Twist, VK_HASH},
};
use axum::http::Method;
use soundproof::{
    Beside, Client, ELF, Error, Input, JobOptions, MAX_ELF, Observer, Policy, Program, ProofCheck,
    Proven, Sp1Mode, VERIFYING_KEY,
    protocol::{
        digest::Digest,
        error::Code,
        id::JobId,
        ticket::{MAX_TICKET, Ticket},
    },
    verify_bundle,
};

const STDIN: &[u8] = b"bincode of an SP1Stdin";

fn elf() -> Vec<u8> {
    [b"\x7fELF".as_slice(), &[0; 60]].concat()
}

fn sp1(mode: Sp1Mode, key: Option<[u8; 32]>) -> Program {
    Program::sp1(elf(), mode, key).unwrap()
}

fn aware() -> JobOptions {
    JobOptions {
        acknowledges_not_hiding: true,
        ..JobOptions::default()
    }
}

async fn prove(client: &Client, program: &Program, options: &JobOptions) -> Result<Proven, Error> {
    let input = Input::bytes(STDIN.to_vec());
    client
        .prove_with(program, &input, options, Observer::NONE)
        .await
}

#[test]
fn a_program_has_its_elf_and_maybe_its_key() {
    let program = sp1(Sp1Mode::Core, Some(VK_HASH));
    let parts: Vec<_> = program.parts().collect();
    let (elf_digest, key_digest) = (Digest::of(&elf()), Digest::of(&VK_HASH));
    assert_eq!(
        parts,
        [(ELF, &elf_digest, 64), (VERIFYING_KEY, &key_digest, 32)]
    );
    assert_eq!(sp1(Sp1Mode::Core, None).parts().count(), 1);
    assert_eq!(program.public_count(), None);
    let unverified = program.verify(PROOF, PUBLIC).unwrap_err();
    assert_eq!(unverified.code(), Code::ModeUnavailable);
    for (mode, name, hides) in [
        (Sp1Mode::Core, "core", false),
        (Sp1Mode::Compressed, "compressed", false),
        (Sp1Mode::Plonk, "plonk", true),
        (Sp1Mode::Groth16, "groth16", true),
    ] {
        assert_eq!((mode.name(), mode.hides()), (name, hides));
    }

    for wrong in [vec![], b"\x7fEL".to_vec(), b"#!/bin/sh".to_vec()] {
        let error = Program::sp1(wrong, Sp1Mode::Core, None).unwrap_err();
        assert_eq!(error.code(), Code::ElfInvalid);
    }
    let mut long = elf();
    long.resize(MAX_ELF + 1, 0);
    let error = Program::sp1(long, Sp1Mode::Core, None).unwrap_err();
    assert_eq!(error.code(), Code::ElfInvalid);
    let error = Program::sp1("/nowhere/at/all", Sp1Mode::Core, None).unwrap_err();
    assert_eq!(error.code(), Code::FileUnreadable);
}

/// Broken if somebody could have a proof made that may reveal its input
/// without having said so; even the program would be sent.
#[tokio::test]
async fn a_mode_that_does_not_hide_is_acknowledged_or_nothing_is_sent() {
    let fake = Fake::new();
    let client = client(&fake).await;
    for mode in [Sp1Mode::Core, Sp1Mode::Compressed] {
        let program = sp1(mode, Some(VK_HASH));
        let error = prove(&client, &program, &JobOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::ModeNotHiding);
        assert!(error.to_string().contains("nothing was sent"), "{error}");
        assert!(fake.seen.lock().unwrap().is_empty());
        let session = std::sync::Arc::new(client.open_session().await.unwrap());
        let input = Input::bytes(STDIN.to_vec());
        let sealed = client.upload(&session, &program, &input, &JobOptions::default());
        assert_eq!(sealed.err().unwrap().code(), Code::ModeNotHiding);
        fake.seen.lock().unwrap().clear();
    }
    prove(&client, &sp1(Sp1Mode::Core, None), &aware())
        .await
        .unwrap();
    prove(
        &client,
        &sp1(Sp1Mode::Groth16, None),
        &JobOptions::default(),
    )
    .await
    .unwrap();
    let jobs = fake.jobs.lock().unwrap();
    let mut asked: Vec<_> = jobs
        .values()
        .map(|job| {
            let description = &job.description;
            (
                description.mode.as_str(),
                description.acknowledges_not_hiding,
            )
        })
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [("core", true), ("groth16", false)]);
}

#[tokio::test]
async fn a_receipt_names_the_verifying_key_and_the_enclave_verified() {
    let fake = Fake::new();
    let client = client(&fake).await;
    for key in [None, Some(VK_HASH)] {
        let program = sp1(Sp1Mode::Core, key);
        let proven = prove(&client, &program, &aware()).await.unwrap();
        assert_eq!(proven.proof, PROOF);
        assert_eq!(proven.proof_verified, ProofCheck::ByEnclaveOnly);
        assert_eq!(proven.receipt.verifying_key.as_ref().unwrap().0, VK_HASH);
        assert!(proven.receipt.client_appraised);

        let at = proven.receipt.claimed_end_ms;
        let check = |beside: &Beside<'_>| {
            verify_bundle(&proven.bundle, beside, &fake.policy(), at).unwrap()
        };
        let report = check(&Beside::default());
        assert!(report.accepted && report.client_appraised);
        assert_eq!(
            (report.system.as_str(), report.mode.as_str()),
            ("sp1", "core")
        );
        assert_eq!(report.verifying_key, Some("5a".repeat(32)));
        let given = |key| Beside {
            verifying_key: Some(key),
            ..Beside::default()
        };
        assert!(check(&given(VK_HASH)).accepted);
        let report = check(&given([1; 32]));
        assert!(!report.accepted && report.problems.len() == 1);
    }
}

/// Broken if a prover that was handed another program could pass off its
/// proof: the receipt is all that this client checks it by.
#[tokio::test]
async fn a_receipt_for_another_verifying_key_or_for_none_is_refused() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let named = sp1(Sp1Mode::Core, Some(VK_HASH));
    for twist in [
        Twist::ReceiptWithoutKey,
        Twist::ReceiptOfOtherKey,
        Twist::ReceiptOfOtherProgram,
        Twist::ReceiptOfOtherProof,
        Twist::ReceiptOfOtherPublic,
        Twist::ReceiptForged,
    ] {
        fake.twist(twist);
        let error = prove(&client, &named, &aware()).await.unwrap_err();
        assert_eq!(error.code(), Code::ReceiptInvalid, "{twist:?}");
    }
    // Without a key of the client's own there is none to compare with, and the
    // receipt says which it was.
    fake.twist(Twist::ReceiptOfOtherKey);
    let unnamed = sp1(Sp1Mode::Core, None);
    let proven = prove(&client, &unnamed, &aware()).await.unwrap();
    assert_eq!(proven.receipt.verifying_key.unwrap().0, [9; 32]);
    fake.twist(Twist::ReceiptWithoutKey);
    let error = prove(&client, &unnamed, &aware()).await.unwrap_err();
    assert_eq!(error.code(), Code::ReceiptInvalid);
}

#[tokio::test]
async fn a_ticket_is_claimed_without_any_program_part() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let job_id = JobId::new(1_790_000_000_000, [3; 10]);
    let options = JobOptions {
        job_id: Some(job_id),
        ..aware()
    };
    let program = sp1(Sp1Mode::Core, Some(VK_HASH));
    let input = Input::bytes(STDIN.to_vec());
    let submitted = client
        .submit(&program, &input, &options, Observer::NONE)
        .await
        .unwrap();
    assert_eq!(submitted.job(), job_id);
    let bytes = submitted.ticket_bytes();
    assert!(bytes.len() < MAX_TICKET);
    let ticket = Ticket::from_slice(&bytes).unwrap();
    fake.blobs.lock().unwrap().clear();
    let fetched = client.fetch(&ticket, Observer::NONE).await.unwrap();
    assert_eq!(
        (fetched.job, fetched.proof_verified),
        (job_id, ProofCheck::ByEnclaveOnly)
    );
    assert_eq!(fake.calls(&Method::GET, "/v1/blobs/"), 0);
    fake.twist(Twist::ReceiptOfOtherKey);
    let error = client.fetch(&ticket, Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::ReceiptInvalid);
}

/// Broken if a client that was told to skip appraisal could be pointed at
/// another machine, or took a receipt for appraised that was not.
#[tokio::test]
async fn unappraised_is_for_this_machine_and_says_so() {
    let fake = Fake::new();
    let url = fake.listen().await;
    let danger = |url: &str| {
        Client::builder(url, Policy::default())
            .retry(QUICK)
            .danger_unappraised()
    };
    for elsewhere in [
        "https://127.0.0.1:1",
        "https://prover.example",
        "http://192.0.2.1:1",
    ] {
        let built = danger(elsewhere).danger_plain_http().build();
        assert_eq!(built.unwrap_err().code(), Code::UrlRefused, "{elsewhere}");
    }
    let client = danger(&url).build().unwrap();
    let session = client.open_session().await.unwrap();
    assert!(session.verdict().clone().accept().is_err());

    let program = sp1(Sp1Mode::Core, Some(VK_HASH));
    let error = prove(&client, &program, &aware()).await.unwrap_err();
    assert_eq!(
        error.code(),
        Code::ReceiptInvalid,
        "nobody appraised: {error}"
    );
    fake.twist(Twist::ReceiptNotAppraised);
    let proven = prove(&client, &program, &aware()).await.unwrap();
    assert!(!proven.receipt.client_appraised);
    assert!(proven.verdict.clone().accept().is_err());

    // Offline, such a receipt is a problem unless one says that it is not.
    let at = proven.receipt.claimed_end_ms;
    let check =
        |beside: &Beside<'_>| verify_bundle(&proven.bundle, beside, &fake.policy(), at).unwrap();
    let report = check(&Beside::default());
    assert!(!report.accepted && !report.client_appraised);
    assert_eq!(report.problems.len(), 1);
    let report = check(&Beside {
        danger_unappraised: true,
        ..Beside::default()
    });
    assert!(report.accepted && !report.client_appraised);

    // All else is checked as ever.
    fake.twist(Twist::OtherSealKey);
    client.forget_session().await;
    let error = client.open_session().await.unwrap_err();
    assert_eq!(error.code(), Code::TranscriptMismatch);
}

/// What a server offers is the host's word, and read as such.
#[tokio::test]
async fn what_a_server_offers_is_read() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let info = client.info().await.unwrap();
    assert!(info.refuse_not_hiding);
    let modes: Vec<_> = info
        .modes
        .iter()
        .map(|offer| (offer.system.as_str(), offer.mode.offered()))
        .collect();
    assert_eq!(modes, [("groth16", true), ("sp1", false)]);
    assert_eq!(
        info.modes[1].mode.unavailable.as_deref(),
        Some("no circuit files")
    );
}

/// A job whose id the caller chose is not submitted anew behind its back: the
/// id is taken.
#[tokio::test]
async fn a_lost_key_is_told_where_the_id_is_the_callers() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let program = sp1(Sp1Mode::Core, Some(VK_HASH));
    let options = JobOptions {
        job_id: Some(JobId::new(1_790_000_000_000, [4; 10])),
        ..aware()
    };
    fake.mishaps.lock().unwrap().key_lost = 1;
    let error = prove(&client, &program, &options).await.unwrap_err();
    assert_eq!(error.code(), Code::KeyLost);
    assert_eq!(fake.calls(&Method::POST, "/v1/jobs"), 1);
    // With an id of the library's making it is.
    fake.mishaps.lock().unwrap().key_lost = 1;
    let proven = prove(&client, &program, &aware()).await.unwrap();
    assert_eq!(proven.resubmissions, [Code::KeyLost]);
}
