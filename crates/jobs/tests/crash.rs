//! kill -9 at any moment loses nothing that was acknowledged (invariant 5).
//!
//! This file runs itself again as a child that works on a store as fast as it
//! can and writes a line for each acknowledgement; the parent kills it in the
//! midst of that, opens the store, and looks for every line. A store that
//! acknowledged before the commit, or named a file before it was whole, fails
//! here.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

use bytes::Bytes;
use soundproof_jobs::{
    Created, NewJob, OwnerId, Quota, Store,
    embedded::{Embedded, Room},
    source_of,
};
use soundproof_protocol::{
    api::{HostEnd, JobState},
    digest::Digest,
    id::{InstanceId, JobId},
    sealed::{PartLayout, SEALED_CHUNK},
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const DIR: &str = "SOUNDPROOF_TEST_CRASH_DIR";
const ROOM: Room = Room {
    max_bytes: u64::MAX,
    min_free_bytes: 0,
};
const OWNER: OwnerId = OwnerId([1; 16]);

fn fill(id: &JobId, len: u64) -> Bytes {
    id.0.iter()
        .copied()
        .cycle()
        .take(len as usize)
        .collect::<Vec<u8>>()
        .into()
}

fn new_job(id: JobId, input_bytes: u64, inline: bool) -> NewJob {
    NewJob {
        id,
        tenant: String::new(),
        description: vec![0; 200],
        description_digest: Digest::of(&id.0),
        header: vec![0; 1300],
        header_digest: Digest::of(&id.0),
        layout: PartLayout::from_sealed_len(input_bytes, 1).unwrap(),
        part_chunks: 1,
        input_bytes,
        access: Digest([0; 32]),
        instance: InstanceId([0; 16]),
        blobs: vec![],
        input: inline.then(|| fill(&id, input_bytes)),
        now_ms: 1,
        quota: Quota::UNLIMITED,
    }
}

fn random_id() -> JobId {
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    JobId::new(1_700_000_000_000, random)
}

fn say(what: &str, id: &JobId) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{what} {id}").unwrap();
    out.flush().unwrap();
}

/// Four workers, each taking job after job through its life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the test below"]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let store = Arc::new(Embedded::open(Path::new(&dir), ROOM).await.unwrap());
    let mut workers = tokio::task::JoinSet::<()>::new();
    for worker in 0..4 {
        let store = store.clone();
        workers.spawn(async move {
            loop {
                work(&store, worker).await;
            }
        });
    }
    while let Some(died) = workers.join_next().await {
        died.unwrap();
    }
}

async fn work(store: &Embedded, worker: u32) {
    let id = random_id();
    if worker == 0 {
        let len = SEALED_CHUNK as u64 + 100;
        store.create(new_job(id, len, false)).await.unwrap();
        let bytes = fill(&id, len);
        store
            .put_part(&id, 0, source_of(bytes.slice(..SEALED_CHUNK)), 1)
            .await
            .unwrap();
        say("part", &id);
        let last = store
            .put_part(&id, 1, source_of(bytes.slice(SEALED_CHUNK..)), 1)
            .await
            .unwrap();
        assert!(last.accepted);
    } else {
        let created = store.create(new_job(id, 2000, true)).await.unwrap();
        assert!(matches!(created, Created::New(_)));
    }
    say("accepted", &id);
    let job = store.lease(&id, OWNER, 1).await.unwrap().unwrap();
    // Every other outcome is too large to be inline.
    let len = if id.0[15].is_multiple_of(2) {
        16_384
    } else {
        1_200_000
    };
    let outcome = store
        .put_outcome(&id, job.attempts, source_of(fill(&id, len)))
        .await
        .unwrap();
    store
        .end(&id, job.attempts, outcome, 2)
        .await
        .unwrap()
        .unwrap();
    say("ended", &id);
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, JobId)> = Vec::new();
    for round in 0..12u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut random = [0; 1];
        getrandom::fill(&mut random).unwrap();
        let after = 1 + round * 5 + u32::from(random[0]) % 20;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        let mut note = |line: &str| {
            let Some((what, id)) = line.split_once(' ') else {
                return false;
            };
            let Ok(id) = id.parse() else { return false };
            if matches!(what, "part" | "accepted" | "ended") {
                acknowledged.push((what.into(), id));
                return true;
            }
            false
        };
        while seen < after {
            let line = lines.next().expect("the child died by itself").unwrap();
            seen += u32::from(note(&line));
        }
        child.kill().unwrap();
        // What it wrote before it died counts too; a last line may be cut.
        for line in lines.map_while(Result::ok) {
            note(&line);
        }
        child.wait().unwrap();
        check(dir.path(), &acknowledged);
    }
    assert!(
        acknowledged
            .iter()
            .filter(|(what, _)| what == "ended")
            .count()
            > 20
    );
}

#[tokio::main(flavor = "current_thread")]
async fn check(dir: &Path, acknowledged: &[(String, JobId)]) {
    let store = Embedded::open(dir, ROOM).await.unwrap();
    for (what, id) in acknowledged {
        let job = store
            .job(id)
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("{what} {id} is lost"));
        match job.state {
            JobState::Ended => {
                assert_eq!(job.end, Some(HostEnd::Sealed));
                let len = job.outcome_bytes.unwrap();
                assert_eq!(
                    store.read_outcome(id, 0, u64::MAX).await.unwrap(),
                    fill(id, len)
                );
            }
            _ if what == "ended" => panic!("{id} had ended"),
            JobState::Queued | JobState::Running => {
                let parts = store.parts(id).await.unwrap();
                let mut input = Vec::new();
                for part in parts {
                    let bytes = store.read_part(id, part.part, 0, u64::MAX).await.unwrap();
                    assert_eq!(Digest::of(&bytes), part.digest);
                    input.extend_from_slice(&bytes);
                }
                assert_eq!(input, fill(id, job.input_bytes));
            }
            _ if what == "accepted" => panic!("{id} was accepted"),
            _ => assert_eq!(store.parts(id).await.unwrap().len(), 1),
        }
    }
    // Whatever was running is queued again, as at every start.
    store.requeue_lapsed(true, 0).await.unwrap();
    assert_eq!(store.counts().await.unwrap()[3], 0);
    store.close().await;
}
