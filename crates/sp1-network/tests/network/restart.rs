//! A server that dies and comes back finds every request where it was.

use crate::common::{Client, ELF, World, failed, http, proved, until};
use soundproof_protocol::error::Code;
use soundproof_sp1_network::{Journal as _, MemoryStash};
use std::sync::Arc;

const STDIN: &[u8] = b"a secret that is an input";

#[tokio::test]
async fn accepted_and_not_submitted() {
    let world = World::new();
    world.backend.hold(true);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let id = client.request(&uri).await.unwrap();
    running.kill().await;
    assert!(world.backend.submitted().is_empty());

    world.backend.hold(false);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    let submitted = &world.backend.submitted()[0];
    assert_eq!((&submitted.elf[..], &submitted.stdin[..]), (ELF, STDIN));
    // The reply was lost: the SDK asks again, with a nonce of the new server.
    assert_eq!(client.request(&uri).await.unwrap(), id);
    world.backend.end(proved(b"p"));
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 3);
}

#[tokio::test]
async fn submitted() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    until("it is waited for", || world.backend.waits() == 1).await;
    running.kill().await;

    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    until("it is waited for again", || world.backend.waits() == 2).await;
    world.backend.end(proved(b"p"));
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 3);
    assert_eq!(world.backend.submitted().len(), 1, "not submitted twice");
}

#[tokio::test]
async fn proved_and_failed() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.backend.next_end(proved(b"the proof"));
    world.backend.next_end(failed(Code::CyclesLimit));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = client.submit(STDIN).await;
        client.status(&id).await.unwrap();
        ids.push(id);
    }
    running.kill().await;

    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let status = client.status(&ids[0]).await.unwrap();
    assert_eq!(status.fulfillment_status, 3);
    let url = status.proof_uri.unwrap();
    assert!(url.contains(&running.address.to_string()));
    assert_eq!(http("GET", &url, b"").await, (200, b"the proof".to_vec()));
    assert_eq!(client.status(&ids[1]).await.unwrap().execution_status, 3);
    assert_eq!(world.backend.waits(), 2, "nothing is waited for again");
    assert_eq!(
        world.memory.bytes(),
        (ELF.len() + 9) as u64,
        "no input is left"
    );
}

#[tokio::test]
async fn a_proof_that_the_stash_has_lost_is_fetched_again() {
    let mut world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.backend.next_end(proved(b"the proof"));
    let id = client.submit(STDIN).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 3);
    running.kill().await;

    let empty = Arc::new(MemoryStash::new(1 << 20));
    world.stash = Arc::clone(&empty) as _;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let status = client.status(&id).await.unwrap();
    assert_eq!(status.fulfillment_status, 3);
    let url = status.proof_uri.unwrap();
    assert_eq!(http("GET", &url, b"").await, (200, b"the proof".to_vec()));
    assert_eq!(world.backend.submitted().len(), 1);
}

#[tokio::test]
async fn an_input_that_the_stash_has_lost_ends_the_request_clearly() {
    let mut world = World::new();
    world.backend.hold(true);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    running.kill().await;
    world.stash = Arc::new(MemoryStash::new(1 << 20));
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 4);
}

#[tokio::test]
async fn cancelled_just_before() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let id = client.submit(STDIN).await;
    until("it is waited for", || world.backend.waits() == 1).await;
    client.cancel(&id).await.unwrap();
    running.kill().await;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 4);
    assert!(world.backend.cancelled() >= 1);
}

#[tokio::test]
async fn uploads_and_programs_and_an_overdue_deadline() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let open = client.create_artifact(2).await.unwrap();
    let whole = client.upload(2, b"another input").await;
    let id = client.submit(STDIN).await;
    until("it is waited for", || world.backend.waits() == 1).await;
    running.kill().await;

    let running = world.start().await;
    let mut client = Client::new(running.address, 1, &world).await;
    let (_, path) = crate::common::split(&open.artifact_presigned_url);
    let url = format!("http://{}{path}", running.address);
    assert_eq!(http("PUT", &url, STDIN).await.0, 200);
    client.request(&open.artifact_uri).await.unwrap();
    client.mode = 2;
    client.request(&whole).await.unwrap();
    running.kill().await;

    // Down for so long that the first one's deadline has passed.
    world.clock.forward(14_400_000);
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let status = client.status(&id).await.unwrap();
    assert_eq!(status.fulfillment_status, 2);
    assert!(status.deadline <= world.clock.seconds());
}

#[tokio::test]
async fn records_of_another_version_are_dropped() {
    let world = World::new();
    world.journal.put(b"r", b"").await.unwrap();
    for letter in [b'a', b'p', b'r', b'x'] {
        let key = [&[letter][..], &[1; 32]].concat();
        world.journal.put(&key, b"\xff no record").await.unwrap();
    }
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.submit(STDIN).await;
    let keys = world.journal.load().await.unwrap();
    assert!(keys.iter().all(|(_, value)| !value.starts_with(b"\xff")));
}

#[tokio::test]
async fn a_nonce_of_the_process_before_is_asked_for_again() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let uri = client.upload(2, STDIN).await;
    let nonce = client.nonce().await;
    running.kill().await;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let refused = client.request_with(nonce, &uri).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Aborted);
    client.request(&uri).await.unwrap();
}

#[tokio::test]
async fn nothing_is_accepted_that_the_journal_does_not_hold() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    world.journal.fail(1);
    let refused = client.create_artifact(2).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let place = client.create_artifact(1).await.unwrap();
    let url = &place.artifact_presigned_url;
    world.journal.fail(1);
    let program = client.packed(ELF);
    assert_eq!(http("PUT", url, &program).await.0, 504);
    assert_eq!(
        world.memory.bytes(),
        0,
        "an upload that was not noted is not kept"
    );
    assert_eq!(http("PUT", url, &program).await.0, 200);
    world.journal.fail(1);
    let refused = client.create_program(place.artifact_uri.clone()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unavailable);
    client.create_program(place.artifact_uri).await.unwrap();
    let uri = client.upload(2, STDIN).await;
    world.journal.fail(1);
    let refused = client.request(&uri).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(world.backend.submitted().is_empty());
    // The SDK tries again, with the same input.
    let id = client.request(&uri).await.unwrap();
    until("it is waited for", || world.backend.waits() == 1).await;
    world.journal.fail(1);
    let refused = client.cancel(&id).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert_eq!(world.backend.cancelled(), 0);
    client.cancel(&id).await.unwrap();
    assert_eq!(client.status(&id).await.unwrap().fulfillment_status, 4);
}
