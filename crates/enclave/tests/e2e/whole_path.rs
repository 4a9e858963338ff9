//! The main job: a proof is delegated, arrives, and verifies; so does its
//! receipt, offline.

use crate::world::{World, fixture, input, small};
use soundproof::{
    Beside, Client, Error, Input, Policy,
    protocol::{error::Code, receipt::Bundle, suite::Suite},
    verify_bundle,
};

#[tokio::test]
async fn a_delegated_proof_and_its_receipt_verify() {
    let world = World::start();
    let client = world.client();
    let program = small();
    let proven = client.prove(&program, Input::json(&input())).await.unwrap();

    // Under a verifier that knows nothing of Soundproof's server.
    program
        .verify(&proven.proof, &proven.public_values)
        .unwrap();
    let public: Vec<String> = serde_json::from_slice(&proven.public_values).unwrap();
    assert_eq!(public, ["5041", "5"], "1·2·3·4·5·6·7 + 1·1, and z");
    assert!(
        proven
            .verdict
            .to_string()
            .contains("NO HARDWARE PROTECTS ANYTHING")
    );

    // Offline, from bytes.
    let bundle = Bundle::from_slice(&proven.bundle_bytes()).unwrap();
    let beside = Beside {
        proof: Some(&proven.proof),
        public_values: Some(&proven.public_values),
        ..Beside::default()
    };
    let at = soundproof::claimed_end_ms(&bundle).unwrap();
    let report = verify_bundle(&bundle, &beside, &world.policy, at).unwrap();
    assert!(
        report.accepted && report.problems.is_empty(),
        "{:?}",
        report.problems
    );

    // Warm: the session is reused, and so are processes.
    let again = client.prove(&program, Input::json(&input())).await.unwrap();
    assert_ne!(
        again.proof, proven.proof,
        "fresh randomness for every proof"
    );
    assert_eq!(again.public_values, proven.public_values);
}

#[tokio::test]
async fn a_ready_made_witness_needs_no_generator() {
    let world = World::start();
    let program =
        soundproof::Program::keys(fixture("small.zkey"), fixture("small.vkey.json")).unwrap();
    let proven = world
        .client()
        .prove(&program, Input::file(fixture("small.wtns")))
        .await
        .unwrap();
    assert_eq!(proven.phase("witness").as_micros(), 0);
    program
        .verify(&proven.proof, &proven.public_values)
        .unwrap();
}

#[tokio::test]
async fn x25519_serves_a_client_that_cannot_do_x_wing() {
    let world = World::start();
    let client = world.builder().suites([Suite::X25519]).build().unwrap();
    let session = client.open_session().await.unwrap();
    assert_eq!(session.transcript().suite, Suite::X25519);
    client.prove(&small(), Input::json(&input())).await.unwrap();
}

/// Invariant 1, broken if the client had a way around appraisal: an empty
/// policy accepts nothing, and the server must not have heard of a job then.
#[tokio::test]
async fn with_an_empty_policy_nothing_is_sent() {
    let world = World::start();
    let client = Client::new(world.server.url(), Policy::default()).unwrap();
    let error = client
        .prove(&small(), Input::json(&input()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::EvidenceRejected);
    assert!(
        world
            .client()
            .jobs(100, None, None)
            .await
            .unwrap()
            .jobs
            .is_empty()
    );
}

/// Invariant 8, broken if another machine's software anchor were as good.
#[tokio::test]
async fn another_platforms_anchor_does_not_accept_this_one() {
    let (mine, other) = (World::start(), World::start());
    let client = Client::new(mine.server.url(), other.policy.clone()).unwrap();
    let error = client
        .prove(&small(), Input::json(&input()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Rejected(_)), "{error}");
}

/// A ticket lets another process fetch and check, and the outcome stays.
#[tokio::test]
async fn another_process_fetches_with_the_ticket_again_and_again() {
    let world = World::start();
    let client = world.client();
    let submitted = client
        .submit(
            &small(),
            &Input::json(&input()),
            &Default::default(),
            Default::default(),
        )
        .await
        .unwrap();
    let bytes = submitted.ticket_bytes();
    drop(submitted);
    for _ in 0..2 {
        let other = world.client();
        let ticket = soundproof::protocol::ticket::Ticket::from_slice(&bytes).unwrap();
        let proven = other.fetch(&ticket, Default::default()).await.unwrap();
        small()
            .verify(&proven.proof, &proven.public_values)
            .unwrap();
    }
}
