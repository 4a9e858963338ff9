//! The API from a client's side: what works.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use harness::{
    Gateway, Submission,
    http::{Client, full, get, with},
    keeper::{Act, FakeKeeper},
    noise,
};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use soundproof_protocol::{
    api::{
        ACCESS_HEADER, HostEnd, InputView, JobList, JobState, JobView, OpenSession, SessionOpened,
    },
    cbor,
    digest::Digest,
    error::Code,
    id::Nonce,
    mode::ModeOffer,
    sealed::SEALED_CHUNK,
};
use std::{collections::HashSet, sync::Arc};

async fn small_job(client: &mut Client, gateway: &Gateway) {
    let blob = client.blob(&noise(3_000_000)).await;
    let job = Submission::small(&blob);
    let created = client.create(&job).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let view: JobView = created.json();
    assert_eq!((view.id, view.state), (job.id, JobState::Queued));
    assert_eq!(view.description, job.description.digest());

    let outcome = client.outcome(&job).await;
    assert_eq!(outcome.status, StatusCode::OK);
    let ran = gateway.keeper.ran(&job.id);
    assert_eq!(ran.len(), 1);
    assert_eq!(
        ran[0].input,
        Some(Digest::of(&job.ciphertext)),
        "the keeper got the ciphertext"
    );
    assert_eq!(outcome.body, ran[0].outcome);
    let view = client.view(&job).await;
    assert_eq!(
        (view.state, view.end),
        (JobState::Ended, Some(HostEnd::Sealed))
    );
    assert_eq!(view.outcome_bytes, Some(20_000));

    // The same call again is the same job; it is not run again.
    let again = client.create(&job).await;
    assert_eq!(
        (again.status, again.json::<JobView>().id),
        (StatusCode::OK, job.id)
    );
    // With the access secret alone, and from where a download broke off.
    let path = format!("/v1/jobs/{}/outcome", job.id);
    let part = get(&path)
        .header(ACCESS_HEADER, job.access())
        .header(header::RANGE, "bytes=15000-");
    let part = client.send(part, full("")).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        part.headers[header::CONTENT_RANGE],
        "bytes 15000-19999/20000"
    );
    assert_eq!(part.body, outcome.body[15_000..]);
    let etag = outcome.headers[header::ETAG].clone();
    assert_eq!(etag, format!("\"{}\"", Digest::of(&outcome.body)));
    let same = client
        .send(get(&path).header(header::IF_NONE_MATCH, etag), full(""))
        .await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);

    let path = format!("/v1/jobs/{}", job.id);
    assert_eq!(client.delete(&path).await.status, StatusCode::NO_CONTENT);
    client.get(&path).await.problem(Code::JobNotFound);
    client.delete(&path).await.problem(Code::JobNotFound);
    client.create(&job).await.problem(Code::JobReplayed);
    assert!(gateway.keeper.forgot(&job.id));
}

#[tokio::test]
async fn a_small_job_over_http_1_and_2() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    small_job(&mut Client::http1(&gateway).await, &gateway).await;
    small_job(&mut Client::http2(&gateway).await, &gateway).await;
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn sessions_are_the_keepers() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let open = OpenSession {
        version: 1,
        nonce: Nonce([1; 32]),
        suites: vec![0x647a],
        held: vec![],
    };
    let reply = client.post("/v1/sessions", cbor::to_vec(&open)).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/cbor");
    let opened: SessionOpened = cbor::from_slice(&reply.body, 1 << 20).unwrap();
    assert_eq!(opened.evidence.statement.0.len(), 5000);
}

#[tokio::test]
async fn a_large_input_goes_up_in_parts_in_parallel_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let mut job = Submission::new(9 * 1024 * 1024 + 77).naming(&blob);
    job.part_chunks = 2;
    let view: JobView = client.create(&job).await.json();
    assert_eq!(
        (view.state, view.input_bytes),
        (JobState::Created, job.ciphertext.len() as u64)
    );

    // A client that disappears in the middle of a part: nothing of it is held.
    {
        let path = format!("/v1/jobs/{}/input/3", job.id);
        let half = bytes::Bytes::copy_from_slice(&job.part(3)[..SEALED_CHUNK]);
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, _>>(1);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let body = http_body_util::StreamBody::new(stream).boxed_unsync();
        sender
            .send(Ok(hyper::body::Frame::data(half)))
            .await
            .unwrap();
        let mut vanishing = Client::http1(&gateway).await;
        let sending = tokio::spawn(async move {
            let _ = vanishing.start(with(Method::PUT, &path), body).await;
        });
        // The first piece has gone out when there is room for a second.
        let permit = sender.reserve().await.unwrap();
        sending.abort();
        let _ = sending.await;
        drop(permit);
    }
    let put = |part| {
        let (gateway, job) = (&gateway, &job);
        async move { Client::http1(gateway).await.put_part(job, part).await }
    };
    let (a, b, c) = tokio::join!(put(4), put(0), put(2));
    for reply in [a, b, c] {
        let view: InputView = reply.json();
        assert_eq!(
            (view.state, view.parts, view.part_chunks),
            (JobState::Uploading, 5, 2)
        );
    }
    // Another process asks what is held, and sends what is missing.
    let view: InputView = client
        .get(&format!("/v1/jobs/{}/input", job.id))
        .await
        .json();
    let held: HashSet<u32> = view.held.iter().map(|part| part.part).collect();
    assert_eq!(held, HashSet::from([0, 2, 4]));
    for part in &view.held {
        assert_eq!(part.digest, Digest::of(job.part(part.part)));
    }
    let (a, b) = tokio::join!(put(1), put(3));
    let states = [a.json::<InputView>().state, b.json::<InputView>().state];
    assert!(
        states.contains(&JobState::Queued) || states.contains(&JobState::Running),
        "{states:?}"
    );
    let outcome = client.outcome(&job).await;
    let ran = gateway.keeper.ran(&job.id);
    assert_eq!(ran[0].input, Some(Digest::of(&job.ciphertext)));
    assert_eq!(outcome.body, ran[0].outcome);
}

#[tokio::test]
async fn an_outcome_of_many_pieces_comes_whole() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::End(5_000_001)]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http2(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    let outcome = client.outcome(&job).await;
    assert_eq!(outcome.body.len(), 5_000_001);
    assert_eq!(outcome.body, gateway.keeper.ran(&job.id)[0].outcome);
}

#[tokio::test]
async fn many_jobs_at_once_over_one_connection_each_end_once() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Arc::new(Gateway::start(dir.path()).await);
    let mut client = Client::http2(&gateway).await;
    let blob = client.blob(b"key").await;
    let jobs: Vec<Submission> = (0..100).map(|_| Submission::small(&blob)).collect();
    let tasks: Vec<_> = jobs
        .iter()
        .cloned()
        .map(|job| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                let mut client = Client::http2(&gateway).await;
                assert_eq!(client.create(&job).await.status, StatusCode::CREATED);
                let outcome = client.outcome(&job).await;
                assert_eq!(outcome.status, StatusCode::OK, "{outcome:?}");
                assert_eq!(outcome.body, gateway.keeper.ran(&job.id)[0].outcome);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for job in &jobs {
        assert_eq!(gateway.keeper.ran(&job.id).len(), 1);
    }
}

/// Reads events until the stream ends: their names, and the states.
async fn events(client: &mut Client, job: &Submission) -> (Vec<String>, Vec<JobState>) {
    let path = format!("/v1/jobs/{}/events", job.id);
    let reply = client.send(get(&path), full("")).await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "text/event-stream");
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let (mut names, mut states) = (Vec::new(), Vec::new());
    for event in text
        .split("\n\n")
        .filter(|event| !event.is_empty() && !event.starts_with(':'))
    {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data = data.strip_prefix("data: ").unwrap();
        if name == "state" {
            states.push(serde_json::from_str::<JobView>(data).unwrap().state);
        }
        names.push(name.to_owned());
    }
    (names, states)
}

#[tokio::test]
async fn events_tell_every_state_and_sealed_progress_and_then_end() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let mut job = Submission::new(4 * 1024 * 1024).naming(&blob);
    job.part_chunks = 3;
    client.create(&job).await;
    let listener = {
        let (mut client, job) = (Client::http1(&gateway).await, job.clone());
        tokio::spawn(async move { events(&mut client, &job).await })
    };
    client.put_part(&job, 0).await;
    client.put_part(&job, 1).await;
    client.outcome(&job).await;
    let (names, states) = listener.await.unwrap();
    assert_eq!(names[0], "state", "what is known comes first");
    assert_eq!(states.last(), Some(&JobState::Ended));
    let order = |state: &JobState| {
        [
            JobState::Created,
            JobState::Uploading,
            JobState::Queued,
            JobState::Running,
            JobState::Ended,
        ]
        .iter()
        .position(|s| s == state)
        .unwrap()
    };
    assert!(states.is_sorted_by_key(order), "{states:?}");
    // Who comes late hears the end.
    assert_eq!(events(&mut client, &job).await.1, [JobState::Ended]);
}

#[tokio::test]
async fn progress_reaches_listeners_old_and_new() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::End(100_000_000)]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    // The outcome takes so many pieces that this listener comes in between;
    // should it come too late, it hears the end only.
    client.until(&job, JobState::Running).await;
    let (names, states) = events(&mut client, &job).await;
    assert_eq!(states.last(), Some(&JobState::Ended));
    if states.first() == Some(&JobState::Running) {
        assert!(names.contains(&"progress".to_owned()), "{names:?}");
    }
}

#[tokio::test]
async fn cancelling_before_and_while_a_job_runs() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::UntilCancelled]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;

    let mut created = Submission::new(3 * 1024 * 1024).naming(&blob);
    created.inline = false;
    client.create(&created).await;
    let path = format!("/v1/jobs/{}/cancel", created.id);
    let view: JobView = client.post(&path, "").await.json();
    assert_eq!(
        (view.state, view.end),
        (JobState::Ended, Some(HostEnd::Cancelled))
    );
    let view: JobView = client.post(&path, "").await.json();
    assert_eq!(view.end, Some(HostEnd::Cancelled), "idempotent");
    client.outcome(&created).await.problem(Code::Cancelled);
    client
        .put_part(&created, 0)
        .await
        .problem(Code::InputClosed);

    let running = Submission::small(&blob);
    client.create(&running).await;
    client.until(&running, JobState::Running).await;
    let path = format!("/v1/jobs/{}", running.id);
    client.delete(&path).await.problem(Code::JobNotEnded);
    let cancelled = client.post(&format!("{path}/cancel"), "").await;
    assert_eq!(cancelled.status, StatusCode::OK);
    let outcome = client.outcome(&running).await;
    assert_eq!(&outcome.body[..], b"cancelled", "sealed by the keeper");
    assert_eq!(client.view(&running).await.end, Some(HostEnd::Sealed));
    assert_eq!(client.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_the_keeper_puts_back_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    // Each ends the attempt without an outcome, the job with none of them.
    let keeper = FakeKeeper::with_acts([Act::Requeue, Act::Liar, Act::Requeue]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    let outcome = client.outcome(&job).await;
    assert_eq!(outcome.status, StatusCode::OK, "{outcome:?}");
    let attempts: Vec<u32> = gateway
        .keeper
        .ran(&job.id)
        .iter()
        .map(|ran| ran.attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    assert_eq!(client.view(&job).await.attempts, 4);
}

#[tokio::test]
async fn a_job_whose_key_is_not_held_ends_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::NoKey]);
    let gateway = Gateway::start_with(dir.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    client.outcome(&job).await.problem(Code::KeyLost);
    assert_eq!(client.view(&job).await.end, Some(HostEnd::KeyLost));
}

#[tokio::test]
async fn pages_of_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let mut job = Submission::small(&blob);
        job.inline = n % 2 == 0;
        client.create(&job).await;
        if job.inline {
            client.outcome(&job).await;
        }
        ids.push(job.id);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=3".to_owned();
    loop {
        let page: JobList = client.get(&path).await.json();
        assert!(page.jobs.len() <= 3);
        seen.extend(page.jobs.iter().map(|job| job.id));
        let Some(next) = page.next else { break };
        path = format!("/v1/jobs?limit=3&cursor={next}");
    }
    assert_eq!(seen, ids);
    let created: JobList = client.get("/v1/jobs?state=created").await.json();
    assert_eq!(created.jobs.len(), 3);
    for wrong in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=",
        "cursor=zz",
        "cursor=-1",
        "cursor=%2B1",
        "state=gone",
        "extra=1",
    ] {
        let reply = client.get(&format!("/v1/jobs?{wrong}")).await;
        reply.problem(Code::RequestMalformed);
    }
}

#[tokio::test]
async fn the_server_tells_about_itself() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    assert_eq!(&client.get("/healthz").await.body[..], b"ok\n");
    while client.get("/readyz").await.status != StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let info: serde_json::Value = client.get("/v1/info").await.json();
    assert_eq!(
        info["modes"],
        serde_json::json!([
            {"system": "groth16", "name": "groth16", "hides": true,
                "unavailable": null, "memory_bytes": 0},
            {"system": "sp1", "name": "core", "hides": false,
                "unavailable": null, "memory_bytes": 0},
            {"system": "sp1", "name": "plonk", "hides": true,
                "unavailable": "the circuit files are not there", "memory_bytes": 0},
        ])
    );
    assert_eq!(info["refuse_not_hiding"], false);
    let modes: Vec<ModeOffer> = serde_json::from_value(info["modes"].clone()).unwrap();
    assert_eq!(modes, gateway.keeper.modes);
    assert_eq!(info["instance"], gateway.keeper.instance.to_string());
    let openapi: serde_json::Value = client.get("/openapi.json").await.json();
    for path in ["/v1/sessions", "/v1/jobs/{id}/events", "/metrics"] {
        assert!(openapi["paths"][path].is_object(), "{path}");
    }
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    client.outcome(&job).await;
    client.get("/nowhere").await.problem(Code::NotFound);
    let text = String::from_utf8(client.get("/metrics").await.body.to_vec()).unwrap();
    for line in [
        "soundproof_jobs{state=\"ended\"} 1",
        "soundproof_keeper_ready 1",
        "soundproof_problems_total{code=\"not_found\"} 1",
        "route=\"/v1/jobs/{id}/outcome\"",
        "soundproof_job_queue_seconds_count 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains(&job.id.to_string()), "no ids in figures");
    let head = client
        .send(with(Method::HEAD, &format!("/v1/blobs/{blob}")), full(""))
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.headers[header::CONTENT_LENGTH], "3");
}
