//! Sessions: what must be refused, and that nothing of the witness is sent
//! before acceptance.

use crate::{
    QUICK, client,
    fake::{Fake, Twist},
    program,
};
use axum::http::Method;
use soundproof::{
    Client, Error, Event, Input, JobOptions, Observer, Policy,
    protocol::{api::OpenSession, cbor, error::Code, suite::Suite},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

const SECRET: &[u8] = b"{\"secret\":\"1234567890123456789012345678901234567890\"}";

/// Has a job proved by a server with this twist; the error.
async fn refused(fake: &Arc<Fake>, client: &Client, twist: Twist) -> Error {
    fake.twist(twist);
    fake.seen.lock().unwrap().clear();
    client.forget_session().await;
    let done = client
        .prove(&program(), Input::bytes(SECRET.to_vec()))
        .await;
    done.expect_err(&format!("{twist:?} was accepted"))
}

/// Invariant 1. It would fail if the client sent anything but session
/// requests to a server that it did not accept: a program part, a job, a
/// header, or a request to `/v1/sessions` that holds more than nonce, suites
/// and digests of endorsements.
fn assert_nothing_was_sent(fake: &Fake, twist: Twist) {
    let seen = fake.seen.lock().unwrap();
    assert!(!seen.is_empty(), "{twist:?}");
    for call in seen.iter() {
        assert_eq!(
            (call.method.as_str(), call.path.as_str()),
            ("POST", "/v1/sessions"),
            "{twist:?}"
        );
        let asked: OpenSession = cbor::from_slice(&call.body, 2048).unwrap();
        assert_eq!(asked.suites, Suite::ALL.map(Suite::code));
        assert!(asked.held.len() <= 2);
        let names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
        for name in names {
            assert!(
                [
                    "host",
                    "content-type",
                    "content-length",
                    "user-agent",
                    "accept"
                ]
                .contains(&name),
                "an unexpected header: {name}"
            );
        }
    }
}

#[tokio::test]
async fn whatever_is_not_as_asked_is_refused_before_anything_is_sent() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let cases = [
        (Twist::ReplayedNonce, Code::TranscriptMismatch),
        (Twist::SuiteStripped, Code::TranscriptMismatch),
        (Twist::SuiteNotOffered, Code::TranscriptMismatch),
        (Twist::OtherVersion, Code::TranscriptMismatch),
        (Twist::OtherRole, Code::TranscriptMismatch),
        (Twist::LifetimeTooLong, Code::TranscriptMismatch),
        (Twist::OtherSealKey, Code::TranscriptMismatch),
        (Twist::OtherReceiptKey, Code::TranscriptMismatch),
        (Twist::NoReceiptKey, Code::TranscriptMismatch),
        (Twist::OtherBinding, Code::EvidenceRejected),
        (Twist::TruncatedPath, Code::TranscriptMismatch),
        (Twist::OversizePath, Code::TranscriptMismatch),
        (Twist::TrustSwapped, Code::TranscriptMismatch),
        (Twist::TrustWithDanger, Code::EvidenceRejected),
        (Twist::EndorsementsSwapped, Code::TranscriptMismatch),
        (Twist::EvidenceChanged, Code::EvidenceRejected),
        (Twist::NotCbor, Code::ProtocolBroken),
        (Twist::TrailingByte, Code::ProtocolBroken),
        (Twist::TooLong, Code::ProtocolBroken),
    ];
    for (twist, code) in cases {
        let error = refused(&fake, &client, twist).await;
        assert_eq!(error.code(), code, "{twist:?}: {error}");
        assert_nothing_was_sent(&fake, twist);
        assert_eq!(
            error.verdict().is_some(),
            error.code() == Code::EvidenceRejected
        );
    }
    // The same server, honest again, is accepted by the same client.
    fake.twist(Twist::None);
    client.prove(&program(), SECRET.to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_suite_that_was_not_offered_is_refused() {
    let fake = Fake::new();
    let url = fake.listen().await;
    fake.twist(Twist::SuiteNotOffered);
    let client = Client::builder(url, fake.policy())
        .suites([Suite::XWing])
        .build()
        .unwrap();
    let error = client.open_session().await.unwrap_err();
    assert_eq!(error.code(), Code::TranscriptMismatch);
}

#[tokio::test]
async fn endorsements_that_are_not_held_may_not_be_left_out() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let error = refused(&fake, &client, Twist::EndorsementsLeftOut).await;
    assert_eq!(error.code(), Code::TranscriptMismatch);
    // Once they are held they need not be sent, and the server does not.
    fake.twist(Twist::None);
    client.open_session().await.unwrap();
    fake.seen.lock().unwrap().clear();
    client.open_session().await.unwrap();
    let call = fake.seen.lock().unwrap()[0].clone();
    let asked: OpenSession = cbor::from_slice(&call.body, 2048).unwrap();
    assert_eq!(asked.held.len(), 1);
    // And a server that leaves them out of its own accord is accepted then.
    fake.twist(Twist::EndorsementsLeftOut);
    client.open_session().await.unwrap();
}

#[tokio::test]
async fn an_empty_policy_accepts_nobody() {
    let fake = Fake::new();
    let client = Client::new(fake.listen().await, Policy::default()).unwrap();
    let error = client.prove(&program(), SECRET.to_vec()).await.unwrap_err();
    let verdict = error.verdict().expect("a verdict");
    assert!(!verdict.acceptable);
    assert!(
        verdict
            .to_string()
            .contains("NO HARDWARE PROTECTS ANYTHING")
    );
    assert_nothing_was_sent(&fake, Twist::None);
}

/// Invariant 1 again, from the caller's side: the verdict comes before the
/// first call that is not the session's.
#[tokio::test]
async fn acceptance_comes_before_everything_else() {
    let fake = Fake::new();
    let client = client(&fake).await;
    let calls_at_acceptance = AtomicUsize::new(usize::MAX);
    let observe = |event: &Event<'_>| {
        if let Event::Accepted { verdict, reused } = event {
            assert!(verdict.acceptable && !reused);
            calls_at_acceptance.store(fake.seen.lock().unwrap().len(), Ordering::Relaxed);
        }
    };
    let input = Input::bytes(SECRET.to_vec());
    client
        .prove_with(
            &program(),
            &input,
            &JobOptions::default(),
            Observer::new(&observe),
        )
        .await
        .unwrap();
    assert_eq!(calls_at_acceptance.load(Ordering::Relaxed), 1);
    // And the witness is nowhere in the clear, then or later.
    let all = fake.every_byte();
    assert!(
        !all.windows(16)
            .any(|window| SECRET.windows(16).any(|s| s == window))
    );
    let jobs = fake.jobs.lock().unwrap();
    assert_eq!(jobs.values().next().unwrap().open(), SECRET);
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused_without_a_call() {
    for url in ["http://192.0.2.1:1", "http://prover.example"] {
        let error = Client::new(url, Policy::default()).unwrap_err();
        assert_eq!(error.code(), Code::UrlRefused);
    }
}

#[tokio::test]
async fn a_full_server_is_asked_again_with_another_nonce() {
    let fake = Fake::new();
    let client = client(&fake).await;
    fake.mishaps.lock().unwrap().sessions_full = QUICK.attempts - 1;
    client.open_session().await.unwrap();
    let nonces: Vec<_> = fake
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|call| {
            cbor::from_slice::<OpenSession>(&call.body, 2048)
                .unwrap()
                .nonce
        })
        .collect();
    assert_eq!(nonces.len(), 3);
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
    fake.mishaps.lock().unwrap().sessions_full = 100;
    let error = client.open_session().await.unwrap_err();
    assert_eq!(error.code(), Code::SessionsFull);
    assert!(
        !error.to_string().contains('\u{1b}'),
        "the server's words are cleaned"
    );
    assert_eq!(fake.calls(&Method::POST, "/v1/sessions"), 6);
}
