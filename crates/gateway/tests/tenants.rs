//! Who may call: API keys and their quotas, rates, web origins, host names,
//! TLS.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use harness::{
    Gateway, Submission,
    http::{Client, Reply, full, get, with},
    keeper::{Act, FakeKeeper},
};
use http::{HeaderMap, Method, StatusCode, header};
use rustls::{
    DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use soundproof_gateway::GatewayError;
use soundproof_protocol::{
    api::{ACCESS_HEADER, JobList, OpenSession},
    cbor,
    digest::Digest,
    error::Code,
    id::Nonce,
};
use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const ALICE: &str = "alice's key";
const BOB: &str = "bob's key";

fn keys(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("keys.toml");
    let text = format!(
        "[keys.alice]\nsha256 = '{}'\nconcurrent_jobs = 2\nstored_bytes = 10000\n\
         sessions_per_minute = 3\n[keys.bob]\nsha256 = '{}'\n",
        Digest::of(ALICE.as_bytes()),
        Digest::of(BOB.as_bytes())
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn as_tenant(
    client: &mut Client,
    key: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Reply {
    let request = with(method, path).header(header::AUTHORIZATION, format!("Bearer {key}"));
    client.send(request, full(body)).await
}

fn open() -> Vec<u8> {
    cbor::to_vec(&OpenSession {
        version: 1,
        nonce: Nonce([1; 32]),
        suites: vec![0x647a],
        held: vec![],
    })
}

#[tokio::test]
async fn with_keys_every_call_needs_one_or_the_jobs_secret() {
    let dir = tempfile::tempdir().unwrap();
    let store = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let keeper = FakeKeeper::with_acts([Act::End(100), Act::Hang, Act::Hang]);
    let gateway = Gateway::start_with(store.path(), keeper, |config| {
        config.api_keys = Some(keys.clone());
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    for (method, path) in [
        (Method::POST, "/v1/sessions"),
        (Method::POST, "/v1/jobs"),
        (Method::GET, "/v1/jobs"),
        (Method::GET, "/metrics"),
        (Method::GET, &format!("/v1/blobs/{}", Digest([0; 32]))),
        (Method::PUT, &format!("/v1/blobs/{}", Digest([0; 32]))),
        (Method::GET, "/v1/jobs/0196b2a0-0000-7000-8000-000000000000"),
    ] {
        let reply = client.send(with(method.clone(), path), full("")).await;
        reply.problem(Code::Unauthenticated);
        assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer");
        for wrong in ["", "mallory", &"x".repeat(300)] {
            let reply = as_tenant(&mut client, wrong, method.clone(), path, vec![]).await;
            reply.problem(Code::Unauthenticated);
        }
    }
    assert_eq!(gateway.keeper.sessions.load(Ordering::SeqCst), 0);
    assert_eq!(client.get("/healthz").await.status, StatusCode::OK);

    let blob = Digest::of(b"key");
    let path = format!("/v1/blobs/{blob}");
    let put = as_tenant(&mut client, ALICE, Method::PUT, &path, b"key".to_vec()).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    let job = Submission::small(&blob);
    let create = |job: &Submission| job.body();
    let created = as_tenant(&mut client, ALICE, Method::POST, "/v1/jobs", create(&job)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = format!("/v1/jobs/{}", job.id);
    // Bob sees neither the job nor that it is there, and cannot take its id.
    as_tenant(&mut client, BOB, Method::GET, &path, vec![])
        .await
        .problem(Code::JobNotFound);
    as_tenant(&mut client, BOB, Method::DELETE, &path, vec![])
        .await
        .problem(Code::JobNotFound);
    let list: JobList = as_tenant(&mut client, BOB, Method::GET, "/v1/jobs", vec![])
        .await
        .json();
    assert_eq!(list.jobs.len(), 0);
    as_tenant(&mut client, BOB, Method::POST, "/v1/jobs", create(&job))
        .await
        .problem(Code::JobConflict);
    let list: JobList = as_tenant(&mut client, ALICE, Method::GET, "/v1/jobs", vec![])
        .await
        .json();
    assert_eq!(list.jobs.len(), 1);
    // The job's secret alone is enough; a wrong one outweighs the right key.
    let outcome = format!("{path}/outcome?wait=60");
    let request = get(&outcome).header(ACCESS_HEADER, job.access());
    assert_eq!(client.send(request, full("")).await.status, StatusCode::OK);
    let request = get(&path)
        .header(ACCESS_HEADER, "00".repeat(32))
        .header(header::AUTHORIZATION, format!("Bearer {ALICE}"));
    client
        .send(request, full(""))
        .await
        .problem(Code::JobNotFound);

    // Quotas: two jobs at once, 10,000 bytes, three sessions a minute.
    for code in [None, None, Some(Code::QuotaExceeded)] {
        let job = Submission::small(&blob);
        let reply = as_tenant(&mut client, ALICE, Method::POST, "/v1/jobs", create(&job)).await;
        match code {
            None => assert_eq!(reply.status, StatusCode::CREATED),
            Some(code) => {
                reply.problem(code);
                assert!(
                    gateway.keeper.forgot(&job.id),
                    "its key was taken for nothing"
                );
            }
        }
    }
    let large = vec![7; 9000];
    let path = format!("/v1/blobs/{}", Digest::of(&large));
    as_tenant(&mut client, ALICE, Method::PUT, &path, large.clone())
        .await
        .problem(Code::QuotaExceeded);
    let reply = as_tenant(&mut client, BOB, Method::PUT, &path, large).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    for _ in 0..3 {
        let reply = as_tenant(&mut client, ALICE, Method::POST, "/v1/sessions", open()).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let reply = as_tenant(&mut client, ALICE, Method::POST, "/v1/sessions", open()).await;
    assert!(reply.problem(Code::QuotaExceeded).retry_after_s.is_some());
    assert_eq!(
        gateway.keeper.sessions.load(Ordering::SeqCst),
        3,
        "checked before the keeper"
    );
}

#[tokio::test]
async fn a_source_has_a_rate() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.rates.sessions = 1;
        config.rates.sessions_burst = 5;
        config.rates.requests = 1;
        config.rates.requests_burst = 30;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let mut limited = 0;
    for _ in 0..12 {
        let reply = client.post("/v1/sessions", open()).await;
        if reply.status != StatusCode::OK {
            assert!(reply.problem(Code::RateLimited).retry_after_s.is_some());
            limited += 1;
        }
    }
    assert!(limited > 0);
    assert_eq!(gateway.keeper.sessions.load(Ordering::SeqCst), 12 - limited);
    let mut refused = false;
    for _ in 0..60 {
        let reply = client.get("/healthz").await;
        refused |= reply.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(refused);
}

#[tokio::test]
async fn connections_of_one_source_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.limits.connections_per_source = 2;
    })
    .await;
    let mut one = Client::http1(&gateway).await;
    let mut two = Client::http1(&gateway).await;
    assert_eq!(one.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(two.get("/healthz").await.status, StatusCode::OK);
    let mut third = TcpStream::connect(gateway.listening.address).await.unwrap();
    let _ = third
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    let _ = third.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "closed unanswered");
    assert_eq!(one.get("/healthz").await.status, StatusCode::OK);
}

fn cors(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn web_pages_may_call_only_from_listed_origins() {
    const PAGE: &str = "https://app.example";
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    for origin in [PAGE, "null", "http://127.0.0.1:1"] {
        let request = get("/v1/info").header(header::ORIGIN, origin);
        let reply = client.send(request, full("")).await;
        reply.problem(Code::OriginRefused);
        assert_eq!(cors(&reply.headers), None);
    }
    gateway.stop().await.unwrap();

    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.origins = vec![PAGE.into()];
        config.rates.requests_burst = 5;
        config.rates.requests = 1;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let request = with(Method::OPTIONS, "/v1/jobs")
        .header(header::ORIGIN, PAGE)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "soundproof-access");
    let reply = client.send(request, full("")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(cors(&reply.headers), Some(PAGE));
    assert!(
        reply
            .headers
            .get(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)
            .is_none()
    );
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "null",
    ] {
        let request = get("/v1/info").header(header::ORIGIN, origin);
        let reply = client.send(request, full("")).await;
        reply.problem(Code::OriginRefused);
        assert_eq!(cors(&reply.headers), None);
    }
    // A page can read refusals too.
    let mut limited = None;
    for _ in 0..30 {
        let request = get("/v1/info").header(header::ORIGIN, PAGE);
        let reply = client.send(request, full("")).await;
        assert_eq!(cors(&reply.headers), Some(PAGE));
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(reply);
        }
    }
    limited.unwrap().problem(Code::RateLimited);
}

#[tokio::test]
async fn a_name_that_was_rebound_to_loopback_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    for host in ["evil.example", "127.0.0.1.evil.example:80", "192.0.2.1"] {
        let request = get("/v1/info").header(header::HOST, host);
        client
            .send(request, full(""))
            .await
            .problem(Code::OriginRefused);
    }
    for host in ["localhost:1234", "127.0.0.1", "[::1]:80"] {
        let request = get("/v1/info").header(header::HOST, host);
        assert_eq!(
            client.send(request, full("")).await.status,
            StatusCode::OK,
            "{host}"
        );
    }
    // Without any, and with two.
    for lines in ["", "Host: 127.0.0.1\r\nHost: evil.example\r\n"] {
        let mut raw = TcpStream::connect(gateway.listening.address).await.unwrap();
        let request = format!("GET /v1/info HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        raw.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = raw.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    }
}

/// Accepts any certificate and notes the digest of its public key.
#[derive(Debug)]
struct Pin {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Digest>>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        let spki = parsed.subject_public_key_info();
        *self.seen.lock().unwrap() = Some(Digest::of(&spki));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Digest of the key that the gateway proves to hold, and its /healthz.
async fn over_tls(gateway: &Gateway) -> (Digest, Vec<u8>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let any = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    roots.add(any.cert.der().clone()).unwrap();
    let inner = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .unwrap();
    let pin = Arc::new(Pin {
        inner,
        seen: Mutex::default(),
    });
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(pin.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.listening.address).await.unwrap();
    let name = ServerName::try_from("anything.example").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let seen = pin.seen.lock().unwrap().unwrap();
    (seen, answer)
}

#[tokio::test]
async fn the_certificates_key_is_the_one_that_the_keeper_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.tls.self_signed = true;
    })
    .await;
    assert!(gateway.listening.url().starts_with("https://"));
    let (seen, answer) = over_tls(&gateway).await;
    assert_eq!(Some(seen), gateway.listening.spki);
    assert_eq!(gateway.keeper.tls(), Some(seen));
    assert!(
        answer.ends_with(b"ok\n"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    gateway.stop().await.unwrap();

    // With given files.
    let given = rcgen::generate_simple_self_signed(["given.example".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate, given.cert.pem()).unwrap();
    std::fs::write(&key, given.signing_key.serialize_pem()).unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.tls.certificate = Some(certificate.clone());
        config.tls.key = Some(key.clone());
    })
    .await;
    use rcgen::PublicKeyData as _;
    let expected = Digest::of(&given.signing_key.subject_public_key_info());
    let (seen, _) = over_tls(&gateway).await;
    assert_eq!((seen, gateway.keeper.tls()), (expected, Some(expected)));
    gateway.stop().await.unwrap();

    // A key that is none, or another certificate's.
    let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    for text in ["no key".to_owned(), other.signing_key.serialize_pem()] {
        std::fs::write(&key, &text).unwrap();
        let result = Gateway::try_start(dir.path(), Arc::new(FakeKeeper::new()), |config| {
            config.tls.certificate = Some(certificate.clone());
            config.tls.key = Some(key.clone());
        })
        .await;
        let Err(GatewayError::Config(why)) = result else {
            panic!("started")
        };
        assert!(!why.contains("PRIVATE"), "{why}");
    }
}

#[tokio::test]
async fn plain_http_and_open_doors_are_for_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    // Refused before anything is listened on.
    let result = Gateway::try_start(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.listen = "0.0.0.0:0".parse().unwrap();
    })
    .await;
    let Err(GatewayError::Config(why)) = result else {
        panic!("started")
    };
    assert!(why.contains("api_keys"), "{why}");
}
