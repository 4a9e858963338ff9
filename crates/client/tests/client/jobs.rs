//! Uploads that are cut, jobs whose keys are lost, tickets.

use crate::{
    QUICK, client,
    fake::{Fake, Mishaps},
    program,
};
use axum::http::Method;
use soundproof::{
    Client, Error, Event, Input, JobAccess, JobOptions, Observer,
    protocol::{error::Code, ticket::Ticket},
};
use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

/// Two chunks in a part, so that a small file has several.
const SMALL_PARTS: JobOptions = JobOptions {
    limits: soundproof::protocol::description::Limits {
        memory_bytes: 0,
        time_ms: 0,
        cycles: 0,
        gas: 0,
    },
    start_within: std::time::Duration::from_secs(60),
    padding: soundproof::Padding::Padme,
    part_chunks: 2,
    parts_in_flight: 2,
    acknowledges_not_hiding: false,
    job_id: None,
};

fn file(mib: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
    let bytes: Vec<u8> = (0..mib * 1024 * 1024 + 77)
        .map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    file.flush().unwrap();
    (file, bytes)
}

fn the_witness(fake: &Fake) -> Vec<u8> {
    let jobs = fake.jobs.lock().unwrap();
    assert_eq!(jobs.len(), 1);
    jobs.values().next().unwrap().open()
}

#[tokio::test]
async fn a_large_input_goes_up_in_parts_and_arrives_as_it_was() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let (file, bytes) = file(9);
    let uploaded = Mutex::new(Vec::new());
    let observe = |event: &Event<'_>| {
        if let Event::Uploaded { bytes, of } = event {
            uploaded.lock().unwrap().push((*bytes, *of));
        }
    };
    let submitted = client
        .submit(
            &program(),
            &Input::file(file.path()),
            &SMALL_PARTS,
            Observer::new(&observe),
        )
        .await
        .unwrap();
    assert_eq!(the_witness(&fake), bytes);
    let uploaded = uploaded.into_inner().unwrap();
    assert_eq!(uploaded.len(), 5, "parts of two chunks");
    assert_eq!(uploaded.last().map(|(bytes, of)| bytes == of), Some(true));
    submitted.wait(Observer::NONE).await.unwrap();
    // Program parts went up once, and not again for the next job.
    client
        .submit(
            &program(),
            &Input::bytes(vec![1]),
            &SMALL_PARTS,
            Observer::NONE,
        )
        .await
        .unwrap();
    assert_eq!(fake.calls(&Method::PUT, "/v1/blobs/"), 3);
    assert_eq!(fake.calls(&Method::HEAD, "/v1/blobs/"), 3);
}

#[tokio::test]
async fn replies_that_are_lost_are_made_up_for() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let (file, bytes) = file(5);
    *fake.mishaps.lock().unwrap() = Mishaps {
        lost_replies: 2,
        refused_parts: 1,
        ..Mishaps::default()
    };
    client
        .submit(
            &program(),
            &Input::file(file.path()),
            &SMALL_PARTS,
            Observer::NONE,
        )
        .await
        .unwrap();
    assert_eq!(the_witness(&fake), bytes);
}

#[tokio::test]
async fn an_upload_that_was_cut_is_resumed_where_it_was() {
    let fake = Fake::new();
    let client = Client::builder(fake.listen().await, fake.policy())
        .retry(soundproof::Retry::NEVER)
        .build()
        .unwrap();
    let (file, bytes) = file(9);
    let session = Arc::new(client.open_session().await.unwrap());
    let mut upload = client
        .upload(
            &session,
            &program(),
            &Input::file(file.path()),
            &SMALL_PARTS,
        )
        .unwrap();
    for _ in 0..3 {
        fake.mishaps.lock().unwrap().lost_replies = 1;
        let error = upload.run(Observer::NONE).await.unwrap_err();
        assert_eq!(error.code(), Code::Unreachable);
    }
    let submitted = upload.run(Observer::NONE).await.unwrap();
    assert_eq!(the_witness(&fake), bytes);
    submitted.wait(Observer::NONE).await.unwrap();
    // What the server held was not sent again: five parts, five calls but for
    // those that were under way when the connection was cut.
    assert!(fake.calls(&Method::PUT, "/v1/jobs/") <= 5 + 3);
}

/// A (key, index) pair never encrypts two plaintexts: it would fail if a part
/// that came out different were sent under the old key.
#[tokio::test]
async fn a_source_that_changes_is_not_sent_under_the_same_key() {
    let fake = Fake::new();
    let client = Client::builder(fake.listen().await, fake.policy())
        .retry(soundproof::Retry::NEVER)
        .build()
        .unwrap();
    let (file, _) = file(5);
    let session = Arc::new(client.open_session().await.unwrap());
    let input = Input::file(file.path());
    // One part at a time: none is still on its way when the calls are counted.
    let one_by_one = JobOptions {
        parts_in_flight: 1,
        ..SMALL_PARTS
    };
    let mut upload = client
        .upload(&session, &program(), &input, &one_by_one)
        .unwrap();
    let first = upload.job();
    fake.mishaps.lock().unwrap().refused_parts = 1;
    upload.run(Observer::NONE).await.unwrap_err();
    let sent = fake.calls(&Method::PUT, "/v1/jobs/");
    // Same length, other bytes, and the time set back: only the digest tells.
    let modified = file.as_file().metadata().unwrap().modified().unwrap();
    let other: Vec<u8> = vec![0x5a; 5 * 1024 * 1024 + 77];
    std::fs::write(file.path(), &other).unwrap();
    file.as_file().set_modified(modified).unwrap();
    let error = upload.run(Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::SourceChanged);
    assert_eq!(
        fake.calls(&Method::PUT, "/v1/jobs/"),
        sent,
        "nothing more was sent"
    );
    // The whole path starts over, with a new id and data key, and arrives.
    let submitted = client
        .submit(&program(), &input, &SMALL_PARTS, Observer::NONE)
        .await
        .unwrap();
    assert_ne!(submitted.job(), first);
    assert_eq!(fake.jobs.lock().unwrap()[&submitted.job()].open(), other);
}

#[tokio::test]
async fn a_source_that_grows_is_noticed_by_its_mark() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let (mut file, _) = file(1);
    let session = Arc::new(client.open_session().await.unwrap());
    let mut upload = client
        .upload(
            &session,
            &program(),
            &Input::file(file.path()),
            &SMALL_PARTS,
        )
        .unwrap();
    file.write_all(b"more").unwrap();
    let error = upload.run(Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::SourceChanged);
    assert_eq!(fake.calls(&Method::PUT, "/v1/jobs/"), 0);
}

#[tokio::test]
async fn a_lost_key_means_a_whole_new_submission_and_is_reported() {
    let fake = Fake::new();
    let client = client(&fake).await;
    *fake.mishaps.lock().unwrap() = Mishaps {
        key_lost: 1,
        session_unknown: 1,
        ..Mishaps::default()
    };
    let told = Mutex::new(Vec::new());
    let observe = |event: &Event<'_>| {
        if let Event::Resubmitting {
            submission,
            because,
        } = event
        {
            told.lock().unwrap().push((*submission, *because));
        }
    };
    let input = Input::bytes(b"{}".to_vec());
    let proven = client
        .prove_with(
            &program(),
            &input,
            &JobOptions::default(),
            Observer::new(&observe),
        )
        .await
        .unwrap();
    assert_eq!(proven.resubmissions, [Code::SessionUnknown, Code::KeyLost]);
    assert_eq!(
        *told.lock().unwrap(),
        [(2, Code::SessionUnknown), (3, Code::KeyLost)]
    );
    // Three appraisals; two jobs that were created, with different data keys.
    assert_eq!(fake.calls(&Method::POST, "/v1/sessions"), 3);
    let jobs = fake.jobs.lock().unwrap();
    let access: Vec<_> = jobs.values().map(|job| job.keys.access.clone()).collect();
    assert!(access.len() == 2 && access[0] != access[1]);
}

#[tokio::test]
async fn a_key_that_is_lost_again_and_again_is_an_error() {
    let fake = Fake::new();
    let client = client(&fake).await;
    fake.mishaps.lock().unwrap().key_lost = 100;
    let error = client.prove(&program(), b"{}".to_vec()).await.unwrap_err();
    assert_eq!(error.code(), Code::KeyLost);
    assert_eq!(fake.jobs.lock().unwrap().len(), 3, "once, and twice again");
}

#[tokio::test]
async fn an_outcome_that_is_not_ready_is_waited_for() {
    let fake = Fake::new();
    let client = client(&fake).await;
    fake.mishaps.lock().unwrap().not_ready = 1;
    client.prove(&program(), b"{}".to_vec()).await.unwrap();
    assert_eq!(fake.calls(&Method::GET, "/v1/jobs/"), 2);
}

#[tokio::test]
async fn a_ticket_lets_another_client_fetch_and_check() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let input = Input::bytes(b"{}".to_vec());
    let submitted = client
        .submit(&program(), &input, &JobOptions::default(), Observer::NONE)
        .await
        .unwrap();
    let ticket = Ticket::from_slice(&submitted.ticket_bytes()).unwrap();
    assert!(!format!("{ticket:?} {submitted:?}").contains("key"));
    // Another process: nothing but the ticket and a policy.
    let other = Client::builder(ticket.url.clone(), fake.policy())
        .retry(QUICK)
        .build()
        .unwrap();
    let proven = other.fetch(&ticket, Observer::NONE).await.unwrap();
    assert_eq!(proven.job, submitted.job());
    assert_eq!(JobAccess::try_from(&ticket).unwrap().job, submitted.job());
    // Its policy decides, too.
    let strict = Client::new(ticket.url.clone(), soundproof::Policy::default()).unwrap();
    let error = strict.fetch(&ticket, Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::EvidenceRejected);
    // A verifying key that the host swapped is noticed.
    let digest = *program()
        .parts()
        .find(|(role, ..)| *role == "verifying_key")
        .unwrap()
        .1;
    fake.blobs
        .lock()
        .unwrap()
        .insert(digest, b"{}".as_slice().into());
    let error = other.fetch(&ticket, Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::ProtocolBroken);
    // With the right key at hand the server is not asked, and no other will do.
    let submitted = other.claim_with(&ticket, Some(crate::VKEY)).await.unwrap();
    submitted.wait(Observer::NONE).await.unwrap();
    let error = other.claim_with(&ticket, Some(b"{}")).await.unwrap_err();
    assert_eq!(error.code(), Code::VkeyMismatch);
    // A ticket whose description was changed fits nothing.
    let mut changed = ticket.clone();
    *changed.description.0.last_mut().unwrap() ^= 1;
    assert!(matches!(
        other.fetch(&changed, Observer::NONE).await.unwrap_err(),
        Error::Ticket(_) | Error::Outcome(_) | Error::Reply { .. }
    ));
}

#[tokio::test]
async fn progress_is_told_once_and_only_what_the_enclave_sealed() {
    let fake = Fake::new();
    let client = client(&fake).await;
    // Time for the stream to be read before the outcome ends it.
    fake.mishaps.lock().unwrap().not_ready = 1;
    let told = Mutex::new(Vec::new());
    let observe = |event: &Event<'_>| {
        if let Event::Progress {
            phase, permille, ..
        } = event
        {
            told.lock().unwrap().push(format!("{phase} {permille}"));
        }
    };
    let input = Input::bytes(b"{}".to_vec());
    client
        .prove_with(
            &program(),
            &input,
            &JobOptions::default(),
            Observer::new(&observe),
        )
        .await
        .unwrap();
    assert_eq!(*told.lock().unwrap(), ["prove 500"]);
}

#[tokio::test]
async fn two_recipients_can_both_open() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let first = Arc::new(client.open_session().await.unwrap());
    let second = client.open_session().await.unwrap();
    let input = Input::bytes(b"{}".to_vec());
    let mut upload = client
        .upload_for(&first, &[&second], &program(), &input, &SMALL_PARTS)
        .unwrap();
    upload.run(Observer::NONE).await.unwrap();
    let jobs = fake.jobs.lock().unwrap();
    let job = jobs.values().next().unwrap();
    assert_eq!(job.description.recipients.len(), 2);
    assert_eq!(job.header.recipients.len(), 2);
}

/// The library's futures may be spawned.
#[test]
fn the_whole_path_is_send() {
    fn send<T: Send>(_: T) {}
    let check = |client: Client, program: soundproof::Program, ticket: Ticket| {
        let task = async move {
            let _ = client.prove(&program, Input::bytes(vec![])).await;
            let _ = client.fetch(&ticket, Observer::NONE).await;
        };
        send(task);
    };
    let _ = check;
}
