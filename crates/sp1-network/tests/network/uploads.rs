//! Uploads: whole or not at all, once, bounded, and at nobody else's place.

use crate::common::{Client, World, http, split, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const STDIN: &[u8] = b"a secret that is an input";

/// Begins a PUT and sends a part of it.
async fn begin(url: &str, claimed: usize, part: &[u8]) -> TcpStream {
    let (server, path) = split(url);
    let mut stream = TcpStream::connect(server).await.unwrap();
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {claimed}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(part).await.unwrap();
    stream
}

async fn status_of(mut stream: TcpStream) -> u16 {
    let mut reply = vec![0; 1024];
    let len = stream.read(&mut reply).await.unwrap();
    std::str::from_utf8(&reply[9..12.min(len)])
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn an_aborted_upload_can_be_made_again_and_a_whole_one_not() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    client.register().await;
    let kept = world.memory.bytes();
    let place = client.create_artifact(2).await.unwrap();
    let url = &place.artifact_presigned_url;
    // 256 bits, on this server.
    let capability = url.rsplit('/').next().unwrap();
    assert_eq!(capability.len(), 64);
    assert!(!place.artifact_uri.contains(capability));

    let aborted = begin(url, 1000, b"the first part of it").await;
    until("it begins", || world.memory.bytes() > kept).await;
    drop(aborted);
    until("it is given up", || world.memory.bytes() == kept).await;
    assert_eq!(http("PUT", url, STDIN).await.0, 200);
    // A second one is refused, the same bytes or others, and changes nothing.
    for bytes in [STDIN, b"others"] {
        assert_eq!(http("PUT", url, bytes).await.0, 409);
    }
    client.request(&place.artifact_uri).await.unwrap();
    until("it is submitted", || world.backend.submitted().len() == 1).await;
    assert_eq!(&world.backend.submitted()[0].stdin[..], STDIN);
    assert_eq!(http("PUT", url, STDIN).await.0, 409);
}

#[tokio::test]
async fn a_later_upload_takes_the_place_of_one_that_hangs() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let url = client
        .create_artifact(2)
        .await
        .unwrap()
        .artifact_presigned_url;
    let mut hangs = begin(&url, 40, b"twenty bytes of them").await;
    until("it begins", || world.memory.bytes() == 20).await;
    assert_eq!(http("PUT", &url, STDIN).await.0, 200);
    hangs.write_all(b"twenty bytes of them").await.unwrap();
    assert_eq!(status_of(hangs).await, 409);
    until("only the later one is kept", || {
        world.memory.bytes() == STDIN.len() as u64
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_stalls_is_given_up() {
    let mut world = World::new();
    world.config.times.upload_idle = 50;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let url = client
        .create_artifact(2)
        .await
        .unwrap()
        .artifact_presigned_url;
    let _stalls = begin(&url, 1000, b"a part").await;
    until("it begins", || world.memory.bytes() > 0).await;
    until("it is given up", || world.memory.bytes() == 0).await;
    assert_eq!(http("PUT", &url, STDIN).await.0, 200);
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_its_claim_and_by_its_bytes() {
    let mut world = World::new();
    world.config.limits.stdin_bytes = 1000;
    world.config.limits.program_bytes = 500;
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    for (kind, max) in [(1, 500), (2, 1000), (7, 1000)] {
        let url = client
            .create_artifact(kind)
            .await
            .unwrap()
            .artifact_presigned_url;
        assert_eq!(http("PUT", &url, &vec![7; max + 1]).await.0, 413);
        // Without a claim.
        let (server, path) = split(&url);
        let mut stream = TcpStream::connect(server).await.unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", max, "7".repeat(max));
        let request = format!(
            "PUT {path} HTTP/1.1\r\nhost: {server}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status_of(stream).await, 413);
        assert_eq!(world.memory.bytes(), 0);
        assert_eq!(http("PUT", &url, &vec![7; max]).await.0, 200);
        running.network.sweep().await;
        world.clock.forward(3_600_000);
        running.network.sweep().await;
        assert_eq!(world.memory.bytes(), 0, "what nobody used has expired");
    }
}

#[tokio::test]
async fn bytes_are_bounded_for_one_and_for_all() {
    let mut world = World::new();
    world.config.limits.artifact_bytes_each = 1000;
    world.config.limits.artifact_bytes = 1500;
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    let place = async |client: &Client| {
        client
            .create_artifact(2)
            .await
            .unwrap()
            .artifact_presigned_url
    };
    assert_eq!(http("PUT", &place(&ann).await, &[1; 600]).await.0, 200);
    assert_eq!(http("PUT", &place(&ann).await, &[1; 600]).await.0, 413);
    assert_eq!(http("PUT", &place(&bob).await, &[1; 1000]).await.0, 413);
    assert_eq!(http("PUT", &place(&bob).await, &[1; 900]).await.0, 200);
    world.clock.forward(3_600_000);
    running.network.sweep().await;
    assert_eq!(http("PUT", &place(&ann).await, &[1; 1000]).await.0, 200);
}

#[tokio::test]
async fn uploads_are_bounded_in_number() {
    let mut world = World::new();
    world.config.limits.artifacts = 3;
    world.config.limits.artifacts_each = 2;
    let running = world.start().await;
    let ann = Client::new(running.address, 1, &world).await;
    let bob = Client::new(running.address, 2, &world).await;
    for _ in 0..2 {
        ann.create_artifact(2).await.unwrap();
    }
    let refused = ann.create_artifact(2).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    bob.create_artifact(2).await.unwrap();
    let refused = bob.create_artifact(2).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    world.clock.forward(3_600_000);
    running.network.sweep().await;
    bob.create_artifact(2).await.unwrap();
}

#[tokio::test]
async fn nobody_guesses_a_place() {
    let world = World::new();
    let running = world.start().await;
    let client = Client::new(running.address, 1, &world).await;
    let place = client.create_artifact(2).await.unwrap();
    let url = &place.artifact_presigned_url;
    let name = place.artifact_uri.rsplit('/').next().unwrap();
    let base = url.rsplit_once('/').unwrap().0;
    for url in [
        format!("{base}/{name}"),
        format!("{base}/{}", "0".repeat(64)),
        format!("{base}/"),
        url[..url.len() - 1].to_owned(),
        url.to_uppercase()
            .replace("HTTP://", "http://")
            .replace("/SP1/ARTIFACTS", "/sp1/artifacts"),
        format!("{base}/../proofs/{name}"),
    ] {
        assert_eq!(http("PUT", &url, STDIN).await.0, 404, "{url}");
    }
    assert_eq!(
        http("GET", url, b"").await.0,
        405,
        "nothing is read from there"
    );
    for kind in [0, 3, 4, 5, 6, 8, -1] {
        let refused = client.create_artifact(kind).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    let proofs = base.replace("artifacts", "proofs");
    assert_eq!(http("GET", &format!("{proofs}/{name}"), b"").await.0, 404);
}
