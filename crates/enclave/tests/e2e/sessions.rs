//! Many sessions at once: one quote serves all that came meanwhile.

use crate::world::World;
use soundproof::protocol::{
    api::{CBOR, OpenSession, SessionOpened},
    cbor,
    id::Nonce,
    suite::Suite,
};
use soundproof_testkit::server::ServerOptions;
use std::time::Instant;

fn open(n: u32) -> Vec<u8> {
    let mut nonce = [0; 32];
    nonce[..4].copy_from_slice(&n.to_be_bytes());
    cbor::to_vec(&OpenSession {
        version: 1,
        nonce: Nonce(nonce),
        suites: vec![Suite::XWing.code()],
        held: vec![],
    })
}

/// Broken if every session had a quote of its own (200 quotes of 50 ms would
/// be made), if a path did not lead to the root that is bound, or if one
/// client were given another's session.
#[tokio::test]
async fn sessions_share_quotes_and_each_has_its_own_path() {
    let world = World::with(&ServerOptions {
        quote_delay_ms: 50,
        ..ServerOptions::default()
    });
    let http = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("{}/v1/sessions", world.server.url());
    let before = quotes(&http, world.server.url()).await;
    let started = Instant::now();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let request = http.post(&url).header("content-type", CBOR).body(open(n));
            tokio::spawn(async move {
                let reply = request.send().await.unwrap();
                assert!(
                    reply.status().is_success(),
                    "{}",
                    reply.text().await.unwrap()
                );
                let opened: SessionOpened =
                    cbor::from_slice(&reply.bytes().await.unwrap(), 1 << 21).unwrap();
                (n, opened)
            })
        })
        .collect();
    for task in tasks {
        let (n, opened) = task.await.unwrap();
        let session = soundproof::protocol::receipt::SessionEvidence {
            transcript: opened.transcript,
            path: opened.path,
            evidence: opened.evidence,
            endorsements: opened.endorsements.unwrap(),
            trust: opened.trust,
        };
        let (transcript, binding) = soundproof::evidence::verify_session(&session).unwrap();
        assert_eq!(transcript.nonce.0[..4], n.to_be_bytes());
        let trust = soundproof::protocol::trust::TrustConfiguration::from_slice(&session.trust.0);
        let verdict = soundproof::evidence::appraise(
            &session.evidence,
            &session.endorsements,
            &binding,
            &trust.unwrap(),
            &world.policy,
            soundproof::now_ms(),
        );
        assert!(verdict.accept().is_ok());
    }
    let made = quotes(&http, world.server.url()).await - before;
    let bound = started.elapsed().as_millis() as u64 / 50 + 1;
    assert!(
        made <= bound && made < 200,
        "{made} quotes, at most {bound}"
    );
}

async fn quotes(http: &reqwest::Client, url: &str) -> u64 {
    // The gateway asks the keeper now and then: wait until it has.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let text = http
        .get(format!("{url}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("quotes") && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0)
}
