//! The direct path's hooks: who may open a session that nobody appraises, and
//! what the router that serves SP1's own clients can count on.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use futures_util::StreamExt as _;
use harness::{
    Gateway, Submission,
    http::{Client, full, get, pieces, with},
    keeper::FakeKeeper,
    noise,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use soundproof_gateway::{
    GatewayConfig, GatewayError,
    direct::{Build, Inner},
};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{JobState, OpenSession},
    cbor,
    digest::Digest,
    error::Code,
    id::Nonce,
    suite::Suite,
};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::sync::oneshot;

const CALL: &str = "/network.ProverNetwork/GetBalance";

/// A gateway whose direct path echoes, and what it was made of.
async fn start(
    dir: &Path,
    keeper: FakeKeeper,
    change: impl Fn(&mut GatewayConfig),
) -> (Gateway, Inner) {
    let (sender, inner) = oneshot::channel();
    let build: Build = Box::new(|inner| {
        Box::pin(async move {
            let _ = sender.send(inner);
            Ok(Router::new().fallback(any(echo)))
        })
    });
    let gateway = Gateway::try_start_direct(dir, Arc::new(keeper), change, Some(build))
        .await
        .unwrap();
    (gateway, inner.await.unwrap())
}

fn on() -> FakeKeeper {
    let mut keeper = FakeKeeper::new();
    keeper.direct = Some([7; 32]);
    keeper
}

/// Counts the body's bytes, and answers with a trailer, as gRPC does.
async fn echo(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut len = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(piece)) = body.next().await {
        len += piece.len();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(format!("{path} {len}").into())),
        Ok(Frame::trailers(trailers)),
    ];
    Response::new(Body::new(StreamBody::new(futures_util::stream::iter(
        frames.map(|frame: Result<Frame<bytes::Bytes>, _>| frame),
    ))))
}

fn open_session() -> Vec<u8> {
    cbor::to_vec(&OpenSession {
        version: PROTOCOL_VERSION,
        nonce: Nonce([1; 32]),
        suites: vec![Suite::XWing.code()],
        held: vec![],
    })
}

fn address(inner: &Inner) -> SocketAddr {
    inner.url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn authorized(builder: http::request::Builder, inner: &Inner) -> http::request::Builder {
    builder.header(header::AUTHORIZATION, format!("Bearer {}", *inner.key))
}

/// Broken if a stranger could open a session that nobody appraises, or if the
/// direct path's own looked as though somebody had.
#[tokio::test]
async fn only_the_inner_listener_opens_sessions_that_nobody_appraises() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, inner) = start(dir.path(), on(), |_| ()).await;
    assert!(address(&inner).ip().is_loopback());
    assert_ne!(address(&inner), gateway.listening.address);
    assert_eq!(*inner.secret.0, [7; 32]);
    assert_eq!(inner.offers, gateway.keeper.modes);
    assert_eq!(inner.public, gateway.listening);

    let mut public = Client::http1(&gateway).await;
    // Whatever a request says of itself.
    for (name, value) in [
        ("door", "Inner"),
        ("soundproof-door", "inner"),
        ("unappraised", "true"),
        ("forwarded", "for=127.0.0.1;proto=http"),
    ] {
        let request = authorized(with(Method::POST, "/v1/sessions?door=inner"), &inner)
            .header(HeaderName::from_static(name), value);
        let reply = public.send(request, full(open_session())).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }
    let seen = gateway.keeper.unappraised.lock().unwrap().clone();
    assert_eq!(seen, [false; 4]);

    let mut own = Client::http1_at(address(&inner)).await;
    let request = authorized(with(Method::POST, "/v1/sessions"), &inner);
    let reply = own.send(request, full(open_session())).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let seen = gateway.keeper.unappraised.lock().unwrap().clone();
    assert_eq!(seen.last(), Some(&true));
}

/// Broken if another process on this machine could use the inner listener, or
/// its key opened anything elsewhere.
#[tokio::test]
async fn the_inner_listener_asks_for_its_key_and_the_key_is_for_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let alice = Digest::of(b"alice's key");
    let keys = dir.path().join("keys.toml");
    std::fs::write(&keys, format!("[keys.alice]\nsha256 = '{alice}'")).unwrap();
    for authenticated in [false, true] {
        let store = dir.path().join(format!("store-{authenticated}"));
        let (gateway, inner) = start(&store, on(), |config| {
            config.api_keys = authenticated.then(|| keys.clone());
        })
        .await;
        let mut own = Client::http1_at(address(&inner)).await;
        let bare = own.post("/v1/sessions", open_session()).await;
        bare.problem(Code::Unauthenticated);
        for key in ["", "alice's key", &inner.key[1..]] {
            let request = with(Method::POST, "/v1/sessions")
                .header(header::AUTHORIZATION, format!("Bearer {key}"));
            let reply = own.send(request, full(open_session())).await;
            reply.problem(Code::Unauthenticated);
        }
        assert!(gateway.keeper.unappraised.lock().unwrap().is_empty());
        // A page, and a name rebound to loopback.
        for (name, value) in [
            (header::ORIGIN, "http://127.0.0.1:1"),
            (header::HOST, "evil.example"),
        ] {
            let request = authorized(get("/v1/info"), &inner).header(name, value);
            let reply = own.send(request, full("")).await;
            reply.problem(Code::OriginRefused);
        }
        // Its jobs are its own: no tenant lists or sees them.
        let blob = Digest::of(b"elf");
        let request = authorized(with(Method::PUT, &format!("/v1/blobs/{blob}")), &inner);
        let stored = own.send(request, full("elf")).await;
        assert_eq!(stored.status, StatusCode::NO_CONTENT);
        let job = Submission::small(&blob);
        let request = authorized(with(Method::POST, "/v1/jobs"), &inner);
        let created = own.send(request, full(job.body())).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");

        let mut public = Client::http1(&gateway).await;
        let path = format!("/v1/jobs/{}", job.id);
        let key = if authenticated {
            let request = authorized(get(&path), &inner);
            let reply = public.send(request, full("")).await;
            reply.problem(Code::Unauthenticated);
            "alice's key"
        } else {
            "anything"
        };
        let as_alice =
            |path: &str| get(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        let reply = public.send(as_alice(&path), full("")).await;
        reply.problem(Code::JobNotFound);
        let list: serde_json::Value = public.send(as_alice("/v1/jobs"), full("")).await.json();
        assert_eq!(list["jobs"], serde_json::json!([]));
    }
}

/// gRPC needs HTTP/2 by prior knowledge, and trailers; uploads are longer than
/// any call of the API.
#[tokio::test]
async fn the_direct_router_has_its_paths_on_both_versions_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, inner) = start(dir.path(), on(), |_| ()).await;
    for mut client in [Client::http1(&gateway).await, Client::http2(&gateway).await] {
        let reply = client.post(CALL, noise(100)).await;
        assert_eq!(reply.body, format!("{CALL} 100"), "{reply:?}");
        assert_eq!(reply.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let upload = (0..24).map(|_| bytes::Bytes::from(noise(1 << 20)));
        let request = with(Method::PUT, "/sp1/artifacts/abc");
        let reply = client
            .send(request, pieces(upload.collect::<Vec<_>>()))
            .await;
        assert_eq!(reply.body, format!("/sp1/artifacts/abc {}", 24 << 20));
        let create = "/artifact.ArtifactStore/CreateArtifact";
        assert_eq!(client.post(create, "x").await.body, format!("{create} 1"));
        for elsewhere in [
            "/sp1",
            "/network.ProverNetwork",
            "/artifact.Other/Call",
            "/",
        ] {
            client.get(elsewhere).await.problem(Code::NotFound);
        }
        let info: serde_json::Value = client.get("/v1/info").await.json();
        assert_eq!(info["instance"], gateway.keeper.instance.to_string());
    }
    let mut two = Client::http2(&gateway).await;
    let response = two
        .start(with(Method::POST, CALL), full("x"))
        .await
        .unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    // Not behind its own back door.
    let mut own = Client::http1_at(address(&inner)).await;
    let request = authorized(with(Method::POST, CALL), &inner);
    own.send(request, full("")).await.problem(Code::NotFound);
}

#[tokio::test]
async fn the_direct_router_is_guarded_as_all_else() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, inner) = start(dir.path(), on(), |config| {
        config.rates.requests = 1;
        config.rates.requests_burst = 20;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    for (name, value) in [
        (header::ORIGIN, "http://127.0.0.1"),
        (header::HOST, "evil.example"),
    ] {
        let request = with(Method::POST, CALL).header(name, value);
        let reply = client.send(request, full("")).await;
        reply.problem(Code::OriginRefused);
    }
    let request = with(Method::POST, CALL).header("x", "y".repeat(17_000));
    let reply = client.send(request, full("")).await;
    reply.problem(Code::HeadersTooLarge);
    let mut limited = 0;
    for _ in 0..40 {
        let reply = client.post(CALL, "x").await;
        if reply.status != StatusCode::OK {
            reply.problem(Code::RateLimited);
            limited += 1;
        }
    }
    assert!(limited >= 10, "{limited} of 40");
    // What it asks for itself is not counted against the same source.
    let mut own = Client::http1_at(address(&inner)).await;
    for _ in 0..40 {
        let reply = own
            .send(authorized(get("/v1/info"), &inner), full(""))
            .await;
        assert_eq!(reply.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn without_the_keepers_word_there_is_no_direct_path() {
    let dir = tempfile::tempdir().unwrap();
    let build: Build = Box::new(|_| panic!("it is off"));
    let keeper = Arc::new(FakeKeeper::new());
    let gateway = Gateway::try_start_direct(dir.path(), keeper, |_| (), Some(build))
        .await
        .unwrap();
    let mut client = Client::http2(&gateway).await;
    for path in [
        CALL,
        "/sp1/artifacts/x",
        "/artifact.ArtifactStore/CreateArtifact",
    ] {
        let problem = client.post(path, "x").await.problem(Code::NotFound);
        assert!(problem.detail.unwrap().contains("soundproof connect"));
        let request = with(Method::POST, path).header(header::CONTENT_TYPE, "application/grpc");
        let reply = client.send(request, full("x")).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers["grpc-status"], "12");
        let message = reply.headers["grpc-message"].to_str().unwrap();
        assert!(message.contains("soundproof connect"));
    }
    gateway.stop().await.unwrap();
    // And on, with nobody to serve it.
    let gateway = Gateway::start_with(dir.path(), Arc::new(on()), |_| ()).await;
    let mut client = Client::http2(&gateway).await;
    client.post(CALL, "x").await.problem(Code::NotFound);
}

#[tokio::test]
async fn a_direct_path_that_cannot_be_made_or_is_open_to_all_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let fails: Build = Box::new(|_| Box::pin(async { Err("no room".into()) }));
    let started = Gateway::try_start_direct(dir.path(), Arc::new(on()), |_| (), Some(fails)).await;
    assert!(matches!(started, Err(GatewayError::Config(why)) if why.contains("no room")));

    let keys = dir.path().join("keys.toml");
    std::fs::write(&keys, format!("[keys.a]\nsha256 = '{}'", Digest::of(b"a"))).unwrap();
    let build = || -> Build { Box::new(|_| Box::pin(async { Ok(Router::new()) })) };
    let reachable = |config: &mut GatewayConfig| {
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.api_keys = Some(keys.clone());
    };
    let store = dir.path().join("open");
    let started = Gateway::try_start_direct(&store, Arc::new(on()), reachable, Some(build())).await;
    assert!(matches!(started, Err(GatewayError::Config(why)) if why.contains("sp1_requesters")));
    let listed = |config: &mut GatewayConfig| {
        reachable(config);
        config.sp1_requesters = vec![format!("0x{}", "1".repeat(40))];
    };
    let store = dir.path().join("listed");
    let gateway = Gateway::try_start_direct(&store, Arc::new(on()), listed, Some(build()))
        .await
        .unwrap();
    gateway.stop().await.unwrap();
}

/// A job of the direct path is run as any other.
#[tokio::test]
async fn jobs_of_the_direct_path_run() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, inner) = start(dir.path(), on(), |_| ()).await;
    let mut own = Client::http1_at(address(&inner)).await;
    let blob = Digest::of(b"elf");
    let request = authorized(with(Method::PUT, &format!("/v1/blobs/{blob}")), &inner);
    own.send(request, full("elf")).await;
    let job = Submission::small(&blob);
    let request = authorized(with(Method::POST, "/v1/jobs"), &inner);
    own.send(request, full(job.body())).await;
    let path = format!("/v1/jobs/{}/outcome?wait=60", job.id);
    let outcome = own.send(authorized(get(&path), &inner), full("")).await;
    assert_eq!(outcome.status, StatusCode::OK, "{outcome:?}");
    let ran = gateway.keeper.ran(&job.id);
    assert_eq!(outcome.body, ran[0].outcome);
    let view = authorized(get(&format!("/v1/jobs/{}", job.id)), &inner);
    let view: soundproof_protocol::api::JobView = own.send(view, full("")).await.json();
    assert_eq!(view.state, JobState::Ended);
    gateway.stop().await.unwrap();
}
