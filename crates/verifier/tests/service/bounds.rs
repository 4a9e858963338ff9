//! Bounds on what a stranger sends: bytes, depth, time.

use super::{World, of_session, problem};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use soundproof_protocol::error::Code;
use soundproof_testkit::pki::Pki;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const MIB: usize = 1 << 20;

/// Sends a head, and pieces for as long as they are taken: what is answered,
/// and how many bytes of the pieces went out.
async fn told(world: &World, head: &str, pieces: Vec<&[u8]>) -> (String, usize) {
    let address = world.url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let head = format!("POST /v1/appraise HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n");
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = async {
        let mut sent = 0;
        for piece in pieces {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            sent += piece.len();
        }
        sent
    };
    let hearing = async {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
            match reader.read(&mut piece).await {
                Ok(len) if len > 0 => answer.extend_from_slice(&piece[..len]),
                _ => break,
            }
        }
        String::from_utf8(answer).unwrap()
    };
    let (sent, answer) = tokio::join!(sending, hearing);
    (answer, sent)
}

/// JSON of 100 MB: refused before a byte of it is read where its length is
/// announced, and else as soon as it is too long.
#[tokio::test]
async fn a_hundred_megabytes_are_not_taken() {
    let world = World::sound().await;
    let (answer, _) = told(&world, "content-length: 100000000", vec![]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut chunk = format!("{MIB:x}\r\n").into_bytes();
    chunk.extend(vec![b'['; MIB]);
    chunk.extend(b"\r\n");
    let chunks = vec![chunk.as_slice(); 100];
    let (answer, sent) = told(&world, "transfer-encoding: chunked", chunks).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // What it reads of it, and what sockets hold.
    assert!(sent < 64 * MIB, "{sent}");
    // It serves on.
    let (status, _) = world.post(&of_session(&world.session(), "ours")).await;
    assert!(status.is_success());
}

/// Nothing recurses by what is sent.
#[tokio::test]
async fn depth_is_bounded() {
    let world = World::sound().await;
    for (open, close) in [("[", "]"), ("{\"policy\":", "}"), ("[{\"session\":", "}]")] {
        for depth in [100, 200, 200_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let url = format!("{}/v1/appraise", world.url);
            let response = world.http.post(url).body(text).send().await.unwrap();
            assert_eq!(response.status().as_u16(), Code::RequestMalformed.status());
        }
    }
    // In CBOR: arrays, maps, tags, and strings of indefinite length.
    for byte in [0x81, 0xa1, 0xc6, 0x9f, 0xbf, 0x5f] {
        let mut body = of_session(&world.session(), "ours");
        body["session"] = json!(STANDARD.encode(vec![byte; 2 * MIB]));
        problem(world.post(&body).await, Code::RequestMalformed);
    }
}

/// A body that does not come is not waited for.
#[tokio::test]
async fn time_is_bounded() {
    let world = World::new(Pki::sound().unwrap(), |config| config.seconds = 1).await;
    let (answer, _) = told(&world, "content-length: 1000", vec![b"{\"policy\""]).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
