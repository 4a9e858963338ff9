//! Restarts, a full disk, bounded memory, and what logs must not hold.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use bytes::Bytes;
use futures_util::stream;
use harness::{
    Gateway, Submission,
    http::{Client, full, get, with},
    keeper::{Act, FakeKeeper},
    noise,
};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use soundproof_protocol::{
    api::{ACCESS_HEADER, HostEnd, JobState, JobView},
    digest::Digest,
    error::Code,
    sealed::PartLayout,
};
use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

#[tokio::test]
async fn what_was_accepted_is_run_by_the_next_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = FakeKeeper::new();
    keeper.slots = 2;
    *keeper.acts.lock().unwrap() = vec![Act::Hang, Act::Hang];
    let keeper = Arc::new(keeper);
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let jobs: Vec<Submission> = (0..5).map(|_| Submission::small(&blob)).collect();
    for job in &jobs {
        client.create(job).await;
    }
    let mut half = Submission::new(2 << 20).naming(&blob);
    half.inline = false;
    client.create(&half).await;
    client.put_part(&half, 0).await;
    client.until(&jobs[0], JobState::Running).await;
    client.until(&jobs[1], JobState::Running).await;
    // The gateway dies with two jobs running, three queued, one half uploaded.
    keeper.hang_up();
    gateway.ended().await.unwrap_err();

    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    for (n, job) in jobs.iter().enumerate() {
        let outcome = client.outcome(job).await;
        let ran = keeper.ran(&job.id);
        assert_eq!(outcome.body, ran.last().unwrap().outcome);
        assert_eq!(
            ran.len(),
            if n < 2 { 2 } else { 1 },
            "the lost attempts were made again"
        );
    }
    client.put_part(&half, 1).await;
    assert_eq!(client.outcome(&half).await.status, StatusCode::OK);
}

#[tokio::test]
async fn with_the_keeper_go_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::Hang]);
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let done = Submission::small(&blob);
    let running = Submission::small(&blob);
    let mut uploading = Submission::new(2 << 20).naming(&blob);
    uploading.inline = false;
    client.create(&running).await;
    client.until(&running, JobState::Running).await;
    client.create(&done).await;
    let outcome = client.outcome(&done).await;
    client.create(&uploading).await;
    gateway.stop().await.unwrap();

    // Another keeper, another instance.
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    for job in [&running, &uploading] {
        client.outcome(job).await.problem(Code::KeyLost);
        let view: JobView = client.view(job).await;
        assert_eq!(
            (view.state, view.end),
            (JobState::Ended, Some(HostEnd::KeyLost))
        );
    }
    assert_eq!(
        client.outcome(&done).await.body,
        outcome.body,
        "what had ended is kept"
    );

    // The same keeper, which has lost one key: that job only.
    let keeper = FakeKeeper::with_acts([Act::Hang]);
    gateway.stop().await.unwrap();
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let (lost, kept) = (Submission::small(&blob), Submission::small(&blob));
    client.create(&lost).await;
    client.until(&lost, JobState::Running).await;
    let mut paused = kept.clone();
    paused.inline = false;
    client.create(&paused).await;
    gateway.stop().await.unwrap();
    keeper.held.lock().unwrap().remove(&lost.id);
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    client.outcome(&lost).await.problem(Code::KeyLost);
    client.put_part(&paused, 0).await;
    assert_eq!(client.outcome(&paused).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_keeper_that_was_not_told_of_an_end_is_told_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(FakeKeeper::new());
    let gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let job = Submission::small(&blob);
    client.create(&job).await;
    client.outcome(&job).await;
    while !keeper.forgot(&job.id) {
        tokio::task::yield_now().await;
    }
    gateway.stop().await.unwrap();
    // As if the gateway had died between the commit and the telling.
    let entry = (job.description.clone(), job.header.clone());
    keeper.held.lock().unwrap().insert(job.id, entry);
    keeper.forgotten.lock().unwrap().clear();
    let _gateway = Gateway::start_with(dir.path(), keeper.clone(), |_| ()).await;
    while !keeper.forgot(&job.id) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_rooms_bound_is_storage_full_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = FakeKeeper::with_acts([Act::UntilCancelled]);
    let gateway = Gateway::start_with(dir.path(), keeper, |config| {
        config.storage.max_bytes = 10_000;
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let running = Submission::small(&blob);
    client.create(&running).await;
    client.until(&running, JobState::Running).await;
    let large = Submission::new(9000).naming(&blob);
    let refused = client.create(&large).await;
    assert!(refused.problem(Code::StorageFull).retry_after_s.is_some());
    assert!(gateway.keeper.forgot(&large.id));
    client
        .post(&format!("/v1/jobs/{}/cancel", running.id), "")
        .await;
    assert_eq!(
        client.outcome(&running).await.status,
        StatusCode::OK,
        "an end needs no room"
    );
    assert_eq!(
        client
            .create(&Submission::new(1000).naming(&blob))
            .await
            .status,
        StatusCode::CREATED
    );
}

/// A file system of its own, small enough to fill. Needs root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let option = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_new_and_keeps_the_old() {
    let Some(disk) = SmallDisk::mount("24m") else {
        println!("skipped: mounting a small disk needs root");
        return;
    };
    let keeper = FakeKeeper::with_acts([Act::UntilCancelled, Act::End(3_000_000)]);
    let gateway = Gateway::start_with(disk.path(), keeper, |_| ()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let first = Submission::small(&blob);
    let second = Submission::small(&blob);
    client.create(&first).await;
    client.until(&first, JobState::Running).await;
    // Fill it: blobs until one does not fit any more.
    let mut stored = Vec::new();
    let refused = loop {
        let bytes = noise(3_000_000);
        let reply = client
            .put(&format!("/v1/blobs/{}", Digest::of(&bytes)), bytes.clone())
            .await;
        if reply.status != StatusCode::NO_CONTENT {
            break reply;
        }
        stored.push(bytes);
        assert!(stored.len() < 10);
    };
    refused.problem(Code::StorageFull);
    std::fs::write(disk.path().join("filler"), vec![0; 32 << 20]).unwrap_err();
    let big = Submission::new(900_000).naming(&blob);
    client.create(&big).await.problem(Code::StorageFull);
    client.get("/readyz").await;
    assert_eq!(client.get("/healthz").await.status, StatusCode::OK);
    // The running job ends while the disk is full: its outcome waits in memory.
    client
        .post(&format!("/v1/jobs/{}/cancel", first.id), "")
        .await;
    for bytes in &stored {
        let digest = Digest::of(bytes);
        assert_eq!(client.get(&format!("/v1/blobs/{digest}")).await.body, bytes);
    }
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    let outcome = client.outcome(&first).await;
    assert_eq!(&outcome.body[..], b"cancelled", "nothing was lost");
    // An outcome that does not fit is tried again until it does.
    std::fs::write(disk.path().join("filler"), vec![0; 32 << 20]).unwrap_err();
    let free = std::fs::metadata(disk.path().join("filler")).unwrap().len();
    let filler = std::fs::OpenOptions::new()
        .write(true)
        .open(disk.path().join("filler"))
        .unwrap();
    filler.set_len(free - 200_000).unwrap();
    assert_eq!(client.create(&second).await.status, StatusCode::CREATED);
    while gateway.keeper.ran(&second.id).is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_ne!(client.view(&second).await.state, JobState::Ended);
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    let outcome = client.outcome(&second).await;
    assert_eq!(outcome.status, StatusCode::OK, "{outcome:?}");
    gateway.stop().await.unwrap();
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_at_trace_level_hold_no_body_no_secret_and_no_key() {
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || sink.clone())
        .finish();
    // Other tests of this file may log into it too; the more the better.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let files = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = hex::encode(harness::random::<32>());
    let path = files.path().join("keys.toml");
    let text = format!("[keys.alice]\nsha256 = '{}'", Digest::of(key.as_bytes()));
    std::fs::write(&path, text).unwrap();
    let gateway = Gateway::start_with(dir.path(), Arc::new(FakeKeeper::new()), |config| {
        config.api_keys = Some(path.clone());
    })
    .await;
    let mut client = Client::http1(&gateway).await;
    let bearer = format!("Bearer {key}");
    let blob = Digest::of(b"key");
    let request = with(Method::PUT, &format!("/v1/blobs/{blob}")).header("authorization", &bearer);
    client.send(request, full("key")).await;
    let job = Submission::small(&blob);
    let request = with(Method::POST, "/v1/jobs").header("authorization", &bearer);
    let created = client.send(request, full(job.body())).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let path = format!("/v1/jobs/{}/outcome?wait=60", job.id);
    let request = get(&path).header(ACCESS_HEADER, job.access());
    let outcome = client.send(request, full("")).await;
    assert_eq!(outcome.status, StatusCode::OK);
    gateway.stop().await.unwrap();

    let log = log.0.lock().unwrap().clone();
    assert!(find(&log, b"answered"), "it does log");
    let wrapped = &job.header.recipients[0].ciphertext.0;
    for secret in [
        key.as_bytes().to_vec(),
        job.access().into_bytes(),
        job.ciphertext[..32].to_vec(),
        outcome.body[..32].to_vec(),
        wrapped[..32].to_vec(),
    ] {
        let decimal: Vec<String> = secret.iter().map(ToString::to_string).collect();
        for form in [
            secret.clone(),
            hex::encode(&secret).into_bytes(),
            decimal.join(", ").into_bytes(),
            secret.escape_ascii().to_string().into_bytes(),
        ] {
            assert!(!find(&log, &form), "{}", String::from_utf8_lossy(&form));
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs this file's test again, alone in a process of its own, so that what
/// others take is not counted.
#[test]
fn a_256_mib_upload_takes_at_most_64_mib_of_memory() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "upload_of_256_mib", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("memory grew by"));
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn upload_of_256_mib() {
    const LEN: u64 = 256 << 20;
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let mut job = Submission::new(1).naming(&blob);
    job.header.padded_len = LEN;
    job.part_chunks = 16;
    job.inline = false;
    assert_eq!(client.create(&job).await.status, StatusCode::CREATED);
    let layout = PartLayout::new(&job.header, job.part_chunks).unwrap();
    // One piece of memory, sent over and over: what grows is the gateway's.
    let piece = Bytes::from(noise(64 * 1024));
    let before = status_kib("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").unwrap(); // resets the peak
    let mut lanes = Vec::new();
    for lane in 0..4 {
        let (mut client, job, piece) = (Client::http1(&gateway).await, job.clone(), piece.clone());
        lanes.push(tokio::spawn(async move {
            for part in (lane..layout.parts()).step_by(4) {
                let len = layout.part_len(part).unwrap();
                let pieces = (0..len).step_by(piece.len()).map({
                    let piece = piece.clone();
                    move |at| {
                        let left = usize::try_from(len - at).unwrap();
                        Ok(Frame::data(piece.slice(..left.min(piece.len()))))
                    }
                });
                let body = StreamBody::new(stream::iter(pieces)).boxed_unsync();
                let path = format!("/v1/jobs/{}/input/{part}", job.id);
                let reply = client.send(with(Method::PUT, &path), body).await;
                assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            }
        }));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    // The keeper pulls it all in the same process: counted, too.
    assert_eq!(client.outcome(&job).await.status, StatusCode::OK);
    let grown = status_kib("VmHWM:").saturating_sub(before);
    println!("memory grew by {} KiB for {} MiB", grown, LEN >> 20);
    assert!(grown <= 64 * 1024, "{grown} KiB");
}

/// Prints figures; asserts none, for machines differ.
#[tokio::test]
#[ignore = "figures"]
async fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path()).await;
    let mut client = Client::http1(&gateway).await;
    let blob = client.blob(b"key").await;
    let (mut create, mut hand, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..300 {
        let job = Submission::small(&blob);
        let body = job.body();
        let start = std::time::Instant::now();
        client.create_body(body).await;
        let acknowledged = std::time::Instant::now();
        client.outcome(&job).await;
        whole.push(start.elapsed());
        create.push(acknowledged - start);
        let ran = gateway.keeper.ran(&job.id)[0].at;
        hand.push(ran.saturating_duration_since(acknowledged));
    }
    for (name, mut times) in [
        ("create to acknowledgement", create),
        ("acknowledgement to keeper", hand),
        ("create to outcome", whole),
    ] {
        times.sort();
        println!("{name}: p50 {:?} p99 {:?}", times[150], times[297]);
    }
}
