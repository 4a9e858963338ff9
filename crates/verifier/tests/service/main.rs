//! The service as its callers see it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod keys;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use soundproof_attester::Attester as _;
use soundproof_collateral::{CollateralConfig, Kind, SourceConfig};
use soundproof_evidence::{
    appraise,
    ear::{Ear, EarError, Expected, policy_id},
    verify_session,
};
use soundproof_protocol::{
    cbor, error::Code, id::Nonce, receipt::SessionEvidence, trust::TrustConfiguration,
};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, FakeServices},
    pki::{Fault, NOW_MS, Pki},
    session,
};
use soundproof_verifier::{Verifier, VerifierConfig, VerifierError, signer::SigningKey};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

const NONCE: Nonce = Nonce([9; 32]);

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x11; 32]).unwrap()
}

/// As a relying party reads an answer.
fn relied_on(answer: &Value, nonce: &[u8]) -> Result<Ear, EarError> {
    let expected = Expected {
        issuer: "soundproof-verifier",
        audience: "us",
        nonce: Some(nonce),
        now_s: NOW_MS / 1000,
        clock_skew_s: 0,
    };
    let token = answer["ear"].as_str().unwrap();
    Ear::verify(token, key().verifying_key(), &expected)
}

fn now() -> u64 {
    NOW_MS
}

/// A machine, a policy that accepts it, and a verifier that has the policy.
struct World {
    url: String,
    http: Client,
    pki: Pki,
    _folder: TempDir,
    _stop: DropGuard,
}

impl World {
    async fn new(pki: Pki, change: impl FnOnce(&mut VerifierConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let policy = pki.platform.policy("test", &session::trust()).unwrap();
        let policy = policy.to_toml().unwrap();
        std::fs::write(folder.path().join("ours.toml"), policy).unwrap();
        std::fs::write(folder.path().join("nothing.toml"), "").unwrap();
        let mut config = VerifierConfig::new(([127, 0, 0, 1], 0).into(), folder.path());
        config.rate = (10_000, 10_000);
        change(&mut config);
        let verifier = Verifier::open(config, key(), now).await.unwrap();
        let url = verifier.url();
        let stop = CancellationToken::new();
        tokio::spawn(verifier.serve(stop.clone()));
        Self {
            url,
            http: Client::builder()
                .no_proxy()
                .tls_danger_accept_invalid_certs(true)
                .build()
                .unwrap(),
            pki,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    async fn sound() -> Self {
        Self::new(Pki::sound().unwrap(), |_| ()).await
    }

    fn session(&self) -> SessionEvidence {
        let trust = session::trust();
        let transcript = session::transcript(NONCE, &trust);
        session::attest(&self.pki.platform, &transcript, &trust, 1, 3).unwrap()
    }

    async fn post(&self, body: &Value) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/v1/appraise", self.url));
        let response = request.json(body).send().await.unwrap();
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.url)).send().await;
        response
            .unwrap()
            .error_for_status()
            .unwrap()
            .text()
            .await
            .unwrap()
    }
}

fn encoded<T: minicbor::Encode<()>>(value: &T) -> String {
    STANDARD.encode(cbor::to_vec(value))
}

fn of_session(session: &SessionEvidence, policy: &str) -> Value {
    json!({ "policy": policy, "audience": "us", "nonce": hex::encode(NONCE.0), "session": encoded(session) })
}

/// With every field of the other form.
fn of_evidence(session: &SessionEvidence) -> Value {
    let transcript = soundproof_protocol::transcript::Transcript::from_slice(&session.transcript.0);
    let root = session.path.root_from(&transcript.unwrap().leaf()).unwrap();
    json!({
        "policy": "ours",
        "audience": "us",
        "nonce": hex::encode(root.0),
        "evidence": encoded(&session.evidence),
        "endorsements": encoded(&session.endorsements),
        "trust": STANDARD.encode(&session.trust.0),
        "root": hex::encode(root.0),
    })
}

#[track_caller]
fn problem((status, body): (StatusCode, Value), code: Code) -> Value {
    assert_eq!(body["code"], code.name(), "{body}");
    assert_eq!(status.as_u16(), code.status());
    body
}

/// The very verdict that the library gives, in both forms.
#[tokio::test]
async fn the_same_verdict_as_the_library() {
    let world = World::sound().await;
    let session = world.session();
    let (_, binding) = verify_session(&session).unwrap();
    let trust = TrustConfiguration::from_slice(&session.trust.0).unwrap();
    let policy = world
        .pki
        .platform
        .policy("test", &session::trust())
        .unwrap();
    let (evidence, endorsements) = (&session.evidence, &session.endorsements);
    let own = appraise(evidence, endorsements, &binding, &trust, &policy, NOW_MS);
    let own = serde_json::to_value(&own).unwrap();
    let nonce = NONCE.0;
    let mut with_binding = of_session(&session, "ours");
    with_binding["binding"] = hex::encode(binding.as_bytes()).into();
    for body in [
        of_session(&session, "ours"),
        with_binding,
        of_evidence(&session),
    ] {
        let (status, answer) = world.post(&body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["accepted"], true, "{answer}");
        assert_eq!(answer["verdict"], own);
        assert_eq!(answer["nonce"], body["nonce"]);
        assert_eq!(answer["binding"], hex::encode(binding.as_bytes()));
        assert_eq!(answer["policy"], "ours");
        assert_eq!(answer["judged_at_ms"], NOW_MS);
        let sent = hex::decode(body["nonce"].as_str().unwrap()).unwrap();
        let ear = relied_on(&answer, &sent).unwrap();
        assert!(ear.submods["software"].soundproof.accepted);
        assert_eq!(
            ear.submods["software"].ear_appraisal_policy_ids,
            [policy_id(&policy)]
        );
        assert!(relied_on(&answer, &[1; 32]).is_err());
    }
    let (status, answer) = world.post(&of_session(&session, "nothing")).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(false))
    );
    let ear = relied_on(&answer, &nonce).unwrap();
    assert!(!ear.submods["software"].soundproof.accepted);
    let keys: Value = serde_json::from_str(&world.get("/v1/keys").await).unwrap();
    assert_eq!(keys["keys"][0]["crv"], "P-256");
    let metrics = world.get("/metrics").await;
    assert!(metrics.contains("accepted=\"true\"") && metrics.contains("policy=\"nothing\""));
    assert!(!metrics.contains(&hex::encode(NONCE.0)));
}

/// Every fault that the library finds, the service finds.
#[tokio::test]
async fn faults_are_rejections_with_their_reasons() {
    for fault in [
        Fault::PckRevoked,
        Fault::TcbOutOfDate,
        Fault::Debug,
        Fault::QuoteSignature,
    ] {
        let world = World::new(Pki::with(fault).unwrap(), |_| ()).await;
        let mut session = world.session();
        fault.spoil(&mut session.evidence);
        let (status, answer) = world.post(&of_session(&session, "ours")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["accepted"], false, "{fault:?}");
        let text = answer["verdict"].to_string();
        assert!(text.contains(fault.reason().code()), "{fault:?}: {text}");
    }
}

/// Another session's nonce, another binding, another root: not accepted.
#[tokio::test]
async fn what_was_made_for_somebody_else_is_refused() {
    let world = World::sound().await;
    let session = world.session();
    let mut replayed = of_session(&session, "ours");
    replayed["nonce"] = "07".repeat(32).into();
    problem(world.post(&replayed).await, Code::TranscriptMismatch);
    for mut body in [of_session(&session, "ours"), of_evidence(&session)] {
        body["binding"] = "07".repeat(64).into();
        problem(world.post(&body).await, Code::TranscriptMismatch);
    }
    let mut other = of_evidence(&session);
    other["root"] = "07".repeat(32).into();
    // A fresh nonce for evidence that does not carry it.
    problem(world.post(&other).await, Code::TranscriptMismatch);
    other["nonce"] = other["root"].clone();
    let (_, answer) = world.post(&other).await;
    assert_eq!(answer["accepted"], false);
    assert!(answer["verdict"].to_string().contains("binding_mismatch"));
}

#[tokio::test]
async fn requests_that_are_none() {
    let world = World::sound().await;
    let session = world.session();
    let sound = of_session(&session, "ours");
    let without = |mut body: Value, field: &str| {
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let with = |field: &str, value: Value| {
        let mut body = sound.clone();
        body[field] = value;
        body
    };
    for body in [
        json!({}),
        json!([]),
        without(sound.clone(), "nonce"),
        without(sound.clone(), "audience"),
        with("audience", "x".repeat(257).into()),
        without(sound.clone(), "session"),
        without(of_evidence(&session), "root"),
        without(of_evidence(&session), "trust"),
        without(of_evidence(&session), "endorsements"),
        with("nonce", "00".into()),
        with("nonce", "zz".into()),
        with("nonce", "00".repeat(65).into()),
        with("session", "####".into()),
        with("session", STANDARD.encode([0xff; 40]).into()),
        with("evidence", encoded(&session.evidence).into()),
        with("trust", "".into()),
        with("unknown", 1.into()),
        with("policy", 1.into()),
    ] {
        problem(world.post(&body).await, Code::RequestMalformed);
    }
    let unknown = world.post(&of_session(&session, "../ours")).await;
    problem(unknown, Code::NotFound);
    let large = json!({ "policy": "x".repeat(5 * 1024 * 1024) });
    let request = world.http.post(format!("{}/v1/appraise", world.url));
    let response = request.json(&large).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let get = world.http.get(format!("{}/v1/appraise", world.url));
    assert_eq!(
        get.send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

/// No web page, and no name that was rebound to loopback.
#[tokio::test]
async fn web_pages_are_refused() {
    let world = World::sound().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        let request = world.http.get(format!("{}/v1/policies", world.url));
        let response = request.header(name, value).send().await.unwrap();
        assert_eq!(
            response.status().as_u16(),
            Code::OriginRefused.status(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn rates_are_limited() {
    let world = World::new(Pki::sound().unwrap(), |config| config.rate = (1, 3)).await;
    let mut refused = 0;
    for _ in 0..20 {
        let request = world.http.get(format!("{}/healthz", world.url));
        let response = request.send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(response.headers().contains_key("retry-after"));
            refused += 1;
        }
    }
    assert!(refused > 0);
}

/// What a request does not bring is fetched, if that is on; and if it cannot
/// be had, that is no verdict.
#[tokio::test]
async fn endorsements_are_fetched_where_that_is_on() {
    let service = FakeServices::start().await.unwrap();
    let world = World::new(Pki::sound().unwrap(), |config| {
        let mut collateral = CollateralConfig::default();
        collateral.sources = vec![SourceConfig::new(Kind::Pccs, &service.url)];
        collateral.rounds = 1;
        collateral.retry_s = 0;
        config.collateral = Some(collateral);
    })
    .await;
    let session = world.session();
    let mut body = of_evidence(&session);
    body.as_object_mut().unwrap().remove("endorsements");
    service.behave_always(&Behaviour::Status(404));
    problem(world.post(&body).await, Code::EndorsementsUnavailable);
    service.behave_always(&Behaviour::Sound);
    service.give_dcap(&world.pki.platform.endorsements().unwrap().body.0);
    let (status, answer) = world.post(&body).await;
    assert_eq!(
        (status, &answer["accepted"]),
        (StatusCode::OK, &json!(true)),
        "{answer}"
    );
}

#[tokio::test]
async fn off_loopback_it_must_be_said_and_is_tls() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("nothing.toml"), "").unwrap();
    let mut config = VerifierConfig::new(([0, 0, 0, 0], 0).into(), folder.path());
    let why = match Verifier::open(config.clone(), key(), now).await {
        Err(error @ VerifierError::Config(_)) => error.to_string(),
        _ => panic!("it serves everybody"),
    };
    assert!(why.contains("api_keys"), "{why}");
    config.open_to_all = true;
    let verifier = Verifier::open(config, key(), now).await.unwrap();
    assert!(verifier.url().starts_with("https://") && verifier.spki().is_some());
}

#[tokio::test]
async fn it_says_what_it_is() {
    let world = World::sound().await;
    assert_eq!(world.get("/healthz").await, "ok\n");
    let openapi: Value = serde_json::from_str(&world.get("/openapi.json").await).unwrap();
    assert!(
        openapi["info"]["description"]
            .as_str()
            .unwrap()
            .contains("trusts whoever runs")
    );
    let policies: Value = serde_json::from_str(&world.get("/v1/policies").await).unwrap();
    assert_eq!(policies["policies"][0]["name"], "nothing");
    assert_eq!(policies["policies"][1]["name"], "ours");
}
