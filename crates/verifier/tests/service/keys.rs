//! API keys: who may ask, and how often.

use super::{World, key, now, of_session};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::Value;
use soundproof_protocol::{api::PROBLEM, digest::Digest, error::Code};
use soundproof_testkit::pki::Pki;
use soundproof_verifier::{Verifier, VerifierConfig};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ALICE: &str = "3b1f7a6c0d";
const BOB: &str = "98ad71e0f2";

/// A file with both their keys; Bob may ask twice a minute.
fn file(folder: &Path) -> PathBuf {
    let path = folder.join("keys");
    let digest = |key: &str| Digest::of(key.as_bytes());
    let text = format!(
        "[keys.alice]\nsha256 = '{}'\n[keys.bob]\nsha256 = '{}'\nrequests_per_minute = 2\n",
        digest(ALICE),
        digest(BOB)
    );
    std::fs::write(&path, text).unwrap();
    path
}

impl World {
    async fn with_keys() -> Self {
        let set = |config: &mut VerifierConfig| config.api_keys = Some(file(&config.policies));
        Self::new(Pki::sound().unwrap(), set).await
    }

    async fn ask(&self, method: Method, path: &str, authorization: Option<&str>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        if path == "/v1/appraise" {
            request = request.json(&of_session(&self.session(), "ours"));
        }
        request.send().await.unwrap()
    }
}

async fn refused(response: Response, code: Code) -> Value {
    assert_eq!(response.status().as_u16(), code.status());
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["code"], code.name());
    body
}

#[tokio::test]
async fn only_who_holds_a_key_may_ask() {
    let world = World::with_keys().await;
    let asked = [
        (Method::POST, "/v1/appraise"),
        (Method::GET, "/v1/policies"),
        (Method::GET, "/metrics"),
    ];
    for (method, path) in asked {
        for wrong in [
            None,
            Some(format!("Bearer {ALICE}0")),
            Some(format!("Bearer {}", Digest::of(ALICE.as_bytes()))),
            Some(format!("Basic {ALICE}")),
            Some(ALICE.to_owned()),
            Some("Bearer ".to_owned()),
        ] {
            let response = world.ask(method.clone(), path, wrong.as_deref()).await;
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
            refused(response, Code::Unauthenticated).await;
        }
        let right = format!("Bearer {ALICE}");
        let response = world.ask(method, path, Some(&right)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        if path == "/v1/appraise" {
            let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            assert_eq!(answer["accepted"], true);
        }
    }
    // What whoever is handed an answer needs, and what says how to ask.
    for path in ["/v1/keys", "/healthz", "/openapi.json"] {
        let response = world.ask(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    // A key is in no figure.
    let right = format!("Bearer {ALICE}");
    let figures = world.ask(Method::GET, "/metrics", Some(&right)).await;
    let figures = figures.text().await.unwrap();
    assert!(!figures.contains(ALICE) && !figures.contains("alice"));
    assert!(figures.contains("code=\"unauthenticated\""), "{figures}");
}

#[tokio::test]
async fn a_key_has_a_rate_and_others_have_theirs() {
    let world = World::with_keys().await;
    let of = |key: &str| format!("Bearer {key}");
    let mut counts = (0, 0);
    for _ in 0..12 {
        let response = world
            .ask(Method::POST, "/v1/appraise", Some(&of(BOB)))
            .await;
        if response.status() == StatusCode::OK {
            counts.0 += 1;
            continue;
        }
        counts.1 += 1;
        let wait: u32 = response.headers()[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let body = refused(response, Code::RateLimited).await;
        assert_eq!(body["retry_after_s"], wait);
    }
    assert!(counts.0 >= 2 && counts.1 >= 1, "{counts:?}");
    let response = world
        .ask(Method::POST, "/v1/appraise", Some(&of(ALICE)))
        .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn off_loopback_keys_are_enough_and_no_keys_stop_the_start() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("nothing.toml"), "").unwrap();
    let mut config = VerifierConfig::new(([0, 0, 0, 0], 0).into(), folder.path());
    config.api_keys = Some(file(folder.path()));
    let verifier = Verifier::open(config.clone(), key(), now).await.unwrap();
    assert!(verifier.url().starts_with("https://"));
    // A file that cannot be read is not a file without keys.
    for text in ["", "[keys]", "[keys.alice]\nsha256 = 'x'"] {
        std::fs::write(folder.path().join("keys"), text).unwrap();
        for open_to_all in [false, true] {
            config.open_to_all = open_to_all;
            assert!(
                Verifier::open(config.clone(), key(), now).await.is_err(),
                "{text}"
            );
        }
    }
    config.api_keys = Some(folder.path().join("none"));
    assert!(Verifier::open(config, key(), now).await.is_err());
}
