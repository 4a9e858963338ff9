//! Bad input: a clear refusal with its code, the server up, nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use bytes::Bytes;
use harness::{
    Gateway, Submission,
    http::{Client, full, get, pieces, with},
    keeper::FakeKeeper,
    noise,
};
use http::{Method, StatusCode};
use soundproof_gateway::GatewayError;
use soundproof_protocol::{
    api::{ACCESS_HEADER, InputView, JobState, MAX_CREATE_JOB, OpenSession},
    cbor,
    digest::Digest,
    error::Code,
    id::Nonce,
    sealed::SEALED_CHUNK,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn open_session() -> OpenSession {
    OpenSession {
        version: 1,
        nonce: Nonce([1; 32]),
        suites: vec![0x647a, 0x0020],
        held: vec![],
    }
}

#[tokio::test]
async fn sessions_that_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let good = cbor::to_vec(&open_session());
    let mut trailing = good.clone();
    trailing.push(0);
    // The map's length in two bytes instead of one: the same value, another form.
    let mut longer = vec![0xb8, good[0] & 0x1f];
    longer.extend_from_slice(&good[1..]);
    for (bytes, code) in [
        (vec![], Code::RequestMalformed),
        (b"{}".to_vec(), Code::RequestMalformed),
        (good[..good.len() - 1].to_vec(), Code::RequestMalformed),
        (trailing, Code::RequestMalformed),
        (longer, Code::RequestMalformed),
        // Depth and claimed lengths: an array in an array in an array …
        (vec![0x81; 2000], Code::RequestMalformed),
        (
            vec![0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0],
            Code::RequestMalformed,
        ),
        (vec![0; 2049], Code::BodyTooLarge),
        (
            cbor::to_vec(&OpenSession {
                version: 2,
                ..open_session()
            }),
            Code::VersionUnsupported,
        ),
        (
            cbor::to_vec(&OpenSession {
                suites: vec![0x11],
                ..open_session()
            }),
            Code::SuiteUnsupported,
        ),
        (
            cbor::to_vec(&OpenSession {
                suites: vec![],
                ..open_session()
            }),
            Code::SuiteUnsupported,
        ),
        (
            cbor::to_vec(&OpenSession {
                suites: vec![0x20; 17],
                ..open_session()
            }),
            Code::RequestMalformed,
        ),
        (
            cbor::to_vec(&OpenSession {
                held: vec![Digest([0; 32]); 17],
                ..open_session()
            }),
            Code::RequestMalformed,
        ),
    ] {
        client.post("/v1/sessions", bytes).await.problem(code);
    }
    assert_eq!(
        gateway.keeper.sessions.load(Ordering::SeqCst),
        0,
        "the keeper was not bothered"
    );
    for code in [Code::SessionsFull, Code::QuoteFailed] {
        *gateway.keeper.refuse_session.lock().unwrap() = Some(code);
        client
            .post("/v1/sessions", good.clone())
            .await
            .problem(code);
    }
    *gateway.keeper.refuse_session.lock().unwrap() = None;
    assert_eq!(
        client.post("/v1/sessions", good).await.status,
        StatusCode::OK
    );
}

/// Broken if somebody could get a proof that may reveal its witness without
/// having said that this is known, or against the operator's will.
#[tokio::test]
async fn modes_that_do_not_hide_or_are_not_offered() {
    let dir = tempfile::tempdir().unwrap();
    let asking = |blob: &Digest, mode: &str, acknowledges| {
        let mut job = Submission::small(blob);
        job.description.system = "sp1".into();
        job.description.mode = mode.into();
        job.description.acknowledges_not_hiding = acknowledges;
        job
    };
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"elf").await;
    let missing = client.create(&asking(&blob, "plonk", true)).await;
    let missing = missing.problem(Code::ModeUnavailable);
    let detail = missing.detail.unwrap();
    assert!(
        detail.contains("the circuit files are not there"),
        "{detail}"
    );
    let unknown = client.create(&asking(&blob, "stark", true)).await;
    unknown.problem(Code::ModeUnavailable);
    let unaware = client.create(&asking(&blob, "core", false)).await;
    unaware.problem(Code::ModeNotHiding);
    assert_eq!(
        gateway.keeper.admissions.load(Ordering::SeqCst),
        0,
        "the keeper was not asked"
    );
    let aware = asking(&blob, "core", true);
    let created = client.create(&aware).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    client.outcome(&aware).await;
    gateway.stop().await.unwrap();

    let strict = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.refuse_not_hiding = true;
    })
    .await;
    let mut client = Client::http1(&strict).await;
    for acknowledges in [false, true] {
        let refused = client.create(&asking(&blob, "core", acknowledges)).await;
        refused.problem(Code::ModeRefused);
    }
    let info: serde_json::Value = client.get("/v1/info").await.json();
    assert_eq!(info["refuse_not_hiding"], true);
    let hiding = client.create(&Submission::small(&blob)).await;
    assert_eq!(hiding.status, StatusCode::CREATED, "{hiding:?}");
}

#[tokio::test]
async fn jobs_that_are_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.limits.input_bytes = 8 << 20;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let good = Submission::small(&blob);
    let changed = |change: &dyn Fn(&mut Submission)| {
        let mut job = good.clone();
        change(&mut job);
        job.body()
    };
    let mut trailing = good.body();
    trailing.push(0);
    let mut call = good.create();
    call.input = Some(good.ciphertext[1..].to_vec().into());
    let short = cbor::to_vec(&call);
    call.input = Some([&good.ciphertext[..], b"x"].concat().into());
    let long = cbor::to_vec(&call);
    call.input = Some(noise(SEALED_CHUNK + 1).into());
    let over = cbor::to_vec(&call);
    for (body, code) in [
        (vec![], Code::RequestMalformed),
        (trailing, Code::RequestMalformed),
        (noise(MAX_CREATE_JOB + 1), Code::BodyTooLarge),
        (short, Code::PartLength),
        (long, Code::PartLength),
        (over, Code::BodyTooLarge),
        (changed(&|job| job.part_chunks = 0), Code::RequestMalformed),
        (changed(&|job| job.part_chunks = 65), Code::RequestMalformed),
        (
            changed(&|job| job.description.version = 2),
            Code::VersionUnsupported,
        ),
        (
            changed(&|job| job.description.mode = "../x".into()),
            Code::DescriptionInvalid,
        ),
        (
            changed(&|job| job.description.parts.clear()),
            Code::DescriptionInvalid,
        ),
        (
            changed(&|job| job.description.job.0 = [0; 16]),
            Code::DescriptionInvalid,
        ),
        (
            changed(&|job| job.description.mode = "plonk".into()),
            Code::ModeUnavailable,
        ),
        (
            changed(&|job| job.header.version = 2),
            Code::VersionUnsupported,
        ),
        (
            changed(&|job| job.header.padded_len = 47),
            Code::HeaderInvalid,
        ),
        (
            changed(&|job| job.header.padded_len = u64::MAX),
            Code::HeaderInvalid,
        ),
        (
            changed(&|job| job.header.recipients.clear()),
            Code::HeaderInvalid,
        ),
        (
            changed(&|job| job.header.recipients[0].ciphertext.0.push(0)),
            Code::HeaderInvalid,
        ),
        (
            changed(&|job| job.header.recipients[0].transcript = Digest([0; 32])),
            Code::HeaderInvalid,
        ),
        (
            changed(&|job| {
                job.header.padded_len = 9 << 20;
                job.inline = false;
            }),
            Code::InputTooLarge,
        ),
        (
            changed(&|job| job.description.parts[0].digest = Digest([9; 32])),
            Code::BlobMissing,
        ),
    ] {
        client.create_body(body).await.problem(code);
    }
    assert_eq!(
        gateway.keeper.admissions.load(Ordering::SeqCst),
        0,
        "the keeper was not bothered"
    );
    for code in [
        Code::SealInvalid,
        Code::CommitmentMismatch,
        Code::SessionUnknown,
        Code::JobsFull,
    ] {
        *gateway.keeper.refuse_admission.lock().unwrap() = Some(code);
        client.create(&good).await.problem(code);
    }
    client
        .get(&format!("/v1/jobs/{}", good.id))
        .await
        .problem(Code::JobNotFound);
    *gateway.keeper.refuse_admission.lock().unwrap() = None;
    assert_eq!(client.create(&good).await.status, StatusCode::CREATED);
    // The same id with another description, ciphertext or cut.
    for change in [
        (|job: &mut Submission| job.description.not_after_ms -= 1) as fn(&mut Submission),
        |job| job.header.commitment.0[0] ^= 1,
        |job| job.part_chunks = 7,
    ] {
        client
            .create_body(changed(&change))
            .await
            .problem(Code::JobConflict);
    }
    assert_eq!(
        client.outcome(&good).await.status,
        StatusCode::OK,
        "untouched by all that"
    );
}

#[tokio::test]
async fn parts_that_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::new(3 << 20).naming(&blob); // 3 whole chunks
    client.create(&job).await;
    let path = |part: &str| format!("/v1/jobs/{}/input/{part}", job.id);
    let whole = job.part(0).to_vec();
    for (part, body, code) in [
        ("3", whole.clone(), Code::PartOutOfRange),
        ("4294967296", whole.clone(), Code::PartOutOfRange),
        ("00", whole.clone(), Code::PartOutOfRange),
        ("x", whole.clone(), Code::PartOutOfRange),
        ("0", whole[1..].to_vec(), Code::PartLength),
        ("0", [&whole[..], b"x"].concat(), Code::PartLength),
    ] {
        client.put(&path(part), body).await.problem(code);
    }
    // Likewise without a Content-Length that gives it away.
    let mut chunks: Vec<Bytes> = whole.chunks(100_000).map(Bytes::copy_from_slice).collect();
    chunks.push(Bytes::from_static(b"x"));
    let reply = client
        .send(with(Method::PUT, &path("0")), pieces(chunks.clone()))
        .await;
    reply.problem(Code::PartLength);
    chunks.truncate(3);
    let reply = client
        .send(with(Method::PUT, &path("0")), pieces(chunks))
        .await;
    reply.problem(Code::PartLength);
    client
        .get(&format!("/v1/jobs/{}/outcome", job.id))
        .await
        .problem(Code::OutcomeNotReady);

    let held = |client: InputView| client.held.len();
    assert_eq!(held(client.put_part(&job, 0).await.json()), 1);
    assert_eq!(
        held(client.put_part(&job, 0).await.json()),
        1,
        "the same bytes again"
    );
    // A host or sender that resends a part with other bytes is told apart
    // before anything is overwritten.
    client
        .put(&path("0"), noise(whole.len()))
        .await
        .problem(Code::PartConflict);
    client.put_part(&job, 1).await;
    let last: InputView = client.put_part(&job, 2).await.json();
    assert_eq!(last.state, JobState::Queued);
    let outcome = client.outcome(&job).await;
    assert_eq!(
        gateway.keeper.ran(&job.id)[0].input,
        Some(Digest::of(&job.ciphertext))
    );
    assert_eq!(outcome.status, StatusCode::OK);
    client
        .put(&path("0"), whole)
        .await
        .problem(Code::InputClosed);
}

#[tokio::test]
async fn blobs_that_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.limits.blob_bytes = 1_000_000;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let bytes = noise(500_000);
    let digest = Digest::of(&bytes);
    let path = format!("/v1/blobs/{digest}");
    client
        .put(&path, noise(500_000))
        .await
        .problem(Code::BlobDigestMismatch);
    client.get(&path).await.problem(Code::NotFound);
    client
        .put(&path, noise(1_000_001))
        .await
        .problem(Code::BodyTooLarge);
    let long = (0..11).map(|_| Bytes::from(noise(100_000)));
    let reply = client
        .send(with(Method::PUT, &path), pieces(long.collect::<Vec<_>>()))
        .await;
    reply.problem(Code::BodyTooLarge);
    for wrong in [
        "x".to_owned(),
        digest.to_string().to_uppercase(),
        format!("{digest}0"),
    ] {
        client
            .put(&format!("/v1/blobs/{wrong}"), bytes.clone())
            .await
            .problem(Code::NotFound);
    }
    assert_eq!(
        client.put(&path, bytes.clone()).await.status,
        StatusCode::NO_CONTENT
    );
    let part = get(&path).header("range", "bytes=499990-");
    assert_eq!(client.send(part, full("")).await.body, bytes[499_990..]);
}

#[tokio::test]
async fn a_wrong_access_secret_and_an_unknown_job_are_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let (job, unknown) = (Submission::small(&blob), Submission::small(&blob));
    client.create(&job).await;
    client.outcome(&job).await;
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/events"),
        (Method::GET, "/outcome"),
        (Method::GET, "/input"),
        (Method::PUT, "/input/0"),
        (Method::POST, "/cancel"),
        (Method::DELETE, ""),
    ] {
        let mut bodies = Vec::new();
        for (id, access) in [
            (job.id.to_string(), unknown.access()),
            (job.id.to_string(), "zz".into()),
            (job.id.to_string(), String::new()),
            (unknown.id.to_string(), unknown.access()),
            ("nonsense".into(), job.access()),
        ] {
            let request =
                with(method.clone(), &format!("/v1/jobs/{id}{tail}")).header(ACCESS_HEADER, access);
            let reply = client.send(request, full("")).await;
            reply.problem(Code::JobNotFound);
            bodies.push(reply.body);
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "{method} {tail}"
        );
    }
    let right = get(&format!("/v1/jobs/{}", job.id)).header(ACCESS_HEADER, job.access());
    assert_eq!(client.send(right, full("")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http2(&gateway).await;
    client.get("/").await.problem(Code::NotFound);
    client.get("/v1/jobs/x/y/z").await.problem(Code::NotFound);
    client
        .delete("/v1/sessions")
        .await
        .problem(Code::MethodNotAllowed);
    client
        .post("/v1/info", "")
        .await
        .problem(Code::MethodNotAllowed);
}

#[tokio::test]
async fn headers_beyond_the_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    for two in [false, true] {
        let mut client = if two {
            Client::http2(&gateway).await
        } else {
            Client::http1(&gateway).await
        };
        let large = get("/healthz").header("x", "y".repeat(17_000));
        client
            .send(large, full(""))
            .await
            .problem(Code::HeadersTooLarge);
        let mut many = get("/healthz");
        for n in 0..70 {
            many = many.header(format!("x-{n}"), "y");
        }
        client
            .send(many, full(""))
            .await
            .problem(Code::HeadersTooLarge);
        assert_eq!(client.get("/healthz").await.status, StatusCode::OK);
    }
    // Far beyond, HTTP's own refusal has to do.
    let mut raw = TcpStream::connect(gateway.listening.address).await.unwrap();
    raw.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let mut answer = Vec::new();
    for _ in 0..64 {
        if raw.write_all(&[b'y'; 4096]).await.is_err() {
            break;
        }
    }
    let _ = raw.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{answer:?}"
    );
    assert_eq!(
        Client::http1(&gateway).await.get("/healthz").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn who_sends_drop_by_drop_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.limits.header_seconds = 1;
        config.limits.body_seconds = 1;
        config.limits.body_rate = 1_000_000;
    })
    .await;
    // Headers that never end.
    let mut raw = TcpStream::connect(gateway.listening.address).await.unwrap();
    raw.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = raw.read_to_end(&mut answer).await; // ends: that is the point
    // A body that never ends.
    let mut client = Client::http1(&gateway).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let drops = futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    use http_body_util::BodyExt as _;
    let body = http_body_util::StreamBody::new(drops).boxed_unsync();
    let dripping = tokio::spawn(async move {
        while sender
            .send(Ok(hyper::body::Frame::data(Bytes::from_static(b"x"))))
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let digest = Digest([1; 32]);
    let reply = client
        .send(with(Method::PUT, &format!("/v1/blobs/{digest}")), body)
        .await;
    reply.problem(Code::RequestTimeout);
    dripping.abort();
    // One that keeps the rate up may take longer than that time.
    let mut client = Client::http1(&gateway).await;
    let bytes = noise(3_000_000);
    let slices: Vec<Bytes> = bytes.chunks(150_000).map(Bytes::copy_from_slice).collect();
    let steady = futures_util::stream::unfold(slices.into_iter(), |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(75)).await;
        Some((Ok(hyper::body::Frame::data(rest.next()?)), rest))
    });
    let body = http_body_util::StreamBody::new(steady).boxed_unsync();
    let path = format!("/v1/blobs/{}", Digest::of(&bytes));
    assert_eq!(
        client.send(with(Method::PUT, &path), body).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn without_a_keeper_the_gateway_ends() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(FakeKeeper::new());
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    keeper.hang_up();
    assert!(matches!(
        gateway.ended().await,
        Err(GatewayError::KeeperGone)
    ));
}

#[tokio::test]
async fn a_slow_outcome_is_not_there_yet_after_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([harness::keeper::Act::Hang]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    let path = format!("/v1/jobs/{}/outcome?wait=1", job.id);
    client.get(&path).await.problem(Code::OutcomeNotReady);
    for wrong in ["wait=x", "wait=-1", "wait=1&extra=1"] {
        let path = format!("/v1/jobs/{}/outcome?{wrong}", job.id);
        client.get(&path).await.problem(Code::RequestMalformed);
    }
}
