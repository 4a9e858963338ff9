//! The store through its trait. Times are made up: nothing here depends on
//! the clock or on the machine's speed.

use super::*;
use crate::{source_of, types::*};
use futures_util::stream;
use soundproof_protocol::{
    api::JobState,
    sealed::{PartLayout, SEALED_CHUNK},
};
use std::sync::Arc;

const ROOM: Room = Room {
    max_bytes: 1 << 40,
    min_free_bytes: 0,
};
const OWNER: OwnerId = OwnerId([9; 16]);

fn id(n: u8) -> JobId {
    JobId::new(1_700_000_000_000 + u64::from(n), [n; 10])
}

fn job(n: u8, input_bytes: u64, input: Option<Bytes>) -> NewJob {
    NewJob {
        id: id(n),
        tenant: "alice".into(),
        description: vec![n; 40],
        description_digest: Digest([n; 32]),
        header: vec![n; 60],
        header_digest: Digest([n ^ 0xff; 32]),
        layout: PartLayout::from_sealed_len(input_bytes, 1).unwrap(),
        part_chunks: 1,
        input_bytes,
        access: Digest([n ^ 0x55; 32]),
        instance: InstanceId([1; 16]),
        blobs: vec![],
        input,
        now_ms: 1000,
        quota: Quota::UNLIMITED,
    }
}

fn small(n: u8) -> NewJob {
    job(n, 100, Some(Bytes::from(vec![n; 100])))
}

/// Three parts: two whole chunks and 500 bytes.
fn large(n: u8) -> NewJob {
    job(n, 2 * SEALED_CHUNK as u64 + 500, None)
}

fn part(of: &NewJob, index: u32, fill: u8) -> Bytes {
    vec![fill; of.layout.part_len(index).unwrap() as usize].into()
}

async fn open(dir: &tempfile::TempDir) -> Embedded {
    Embedded::open(dir.path(), ROOM).await.unwrap()
}

fn new(created: Created) -> Job {
    match created {
        Created::New(job) => job,
        Created::Existing { .. } => panic!("existed"),
    }
}

async fn bytes(store: &Embedded) -> i64 {
    sqlx::query_scalar("SELECT COALESCE(SUM(bytes), 0) FROM usage")
        .fetch_one(&store.readers)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_small_job_from_creation_to_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let created = new(store.create(small(1)).await.unwrap());
    assert_eq!(
        (created.state, created.accepted_ms),
        (JobState::Queued, Some(1000))
    );
    assert_eq!(bytes(&store).await, 100);
    assert_eq!(store.read_part(&id(1), 0, 10, 5).await.unwrap(), vec![1; 5]);

    let leased = store.lease(&id(1), OWNER, 2000).await.unwrap().unwrap();
    assert_eq!((leased.state, leased.attempts), (JobState::Running, 1));
    assert_eq!(
        store.lease(&id(1), OWNER, 2000).await.unwrap(),
        None,
        "leased once"
    );
    assert_eq!(store.delete(&id(1), 3000).await, Err(StoreError::State));

    let outcome = store
        .put_outcome(&id(1), 1, source_of(vec![7; 300].into()))
        .await
        .unwrap();
    assert_eq!(
        store.end(&id(1), 2, outcome.clone(), 3000).await.unwrap(),
        None,
        "other attempt"
    );
    let ended = store
        .end(&id(1), 1, outcome.clone(), 3000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ended.state, ended.end),
        (JobState::Ended, Some(HostEnd::Sealed))
    );
    assert_eq!(
        (ended.ended_ms, ended.outcome_bytes),
        (Some(3000), Some(300))
    );
    // Ends exactly once: a second end, whoever sends it, changes nothing.
    assert_eq!(store.end(&id(1), 1, outcome, 4000).await.unwrap(), None);
    assert_eq!(
        store
            .end_unrun(&id(1), HostEnd::Cancelled, 4000)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.requeue(&id(1), 1, 4000).await.unwrap(), None);

    assert_eq!(
        bytes(&store).await,
        300,
        "the input is gone, the outcome is there"
    );
    assert_eq!(
        store.read_outcome(&id(1), 299, 50).await.unwrap(),
        vec![7; 1]
    );
    assert_eq!(
        store.outcome(&id(1)).await.unwrap(),
        Some((Digest::of(&[7; 300]), 300))
    );
    store.delete(&id(1), 5000).await.unwrap();
    assert_eq!(bytes(&store).await, 0);
    assert_eq!(store.job(&id(1)).await.unwrap(), None);
    assert_eq!(
        store.read_outcome(&id(1), 0, 1).await,
        Err(StoreError::NoOutcome)
    );
    assert_eq!(store.create(small(1)).await, Err(StoreError::Replayed));
}

#[tokio::test]
async fn creating_again_is_the_same_job_or_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let first = new(store.create(small(1)).await.unwrap());
    let again = store.create(small(1)).await.unwrap();
    assert_eq!(
        again,
        Created::Existing {
            job: first,
            accepted: false
        }
    );
    for change in [
        (|job: &mut NewJob| job.tenant = "bob".into()) as fn(&mut NewJob),
        |job| job.description_digest = Digest([0; 32]),
        |job| job.header_digest = Digest([0; 32]),
        |job| job.part_chunks = 2,
    ] {
        let mut other = small(1);
        change(&mut other);
        assert_eq!(store.create(other).await, Err(StoreError::Conflict));
    }
    let mut other_input = small(1);
    other_input.input = Some(vec![0; 100].into());
    assert_eq!(
        store.create(other_input).await,
        Err(StoreError::PartConflict)
    );
    let mut short = small(2);
    short.input = Some(vec![2; 99].into());
    assert_eq!(
        store.create(short).await,
        Err(StoreError::PartLength {
            expected: 100,
            found: 99
        })
    );
    // Created without its input, then again with it: accepted by the second.
    let mut bare = small(3);
    bare.input = None;
    assert_eq!(
        new(store.create(bare).await.unwrap()).state,
        JobState::Created
    );
    let Created::Existing {
        job,
        accepted: true,
    } = store.create(small(3)).await.unwrap()
    else {
        panic!("not accepted")
    };
    assert_eq!(job.state, JobState::Queued);
}

#[tokio::test]
async fn parts_are_idempotent_and_the_last_one_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let new_job = large(1);
    store.create(new_job.clone()).await.unwrap();
    let put = |index, fill| {
        let bytes = part(&new_job, index, fill);
        store.put_part(&new_job.id, index, source_of(bytes), 2000)
    };
    let first = put(2, 2).await.unwrap();
    assert_eq!(
        (first.job.state, first.accepted),
        (JobState::Uploading, false)
    );
    assert!(!put(2, 2).await.unwrap().accepted, "same bytes");
    // Other bytes under a held index would give one (key, index) two plaintexts.
    assert_eq!(put(2, 9).await, Err(StoreError::PartConflict));
    put(0, 0).await.unwrap();
    let last = put(1, 1).await.unwrap();
    assert_eq!((last.job.state, last.accepted), (JobState::Queued, true));
    assert!(!put(1, 1).await.unwrap().accepted, "accepted once");
    assert_eq!(put(1, 9).await, Err(StoreError::PartConflict));
    assert_eq!(
        store.put_part(&id(1), 3, source_of(Bytes::new()), 0).await,
        Err(StoreError::PartOutOfRange)
    );
    assert_eq!(
        store.put_part(&id(7), 0, source_of(Bytes::new()), 0).await,
        Err(StoreError::NoJob)
    );
    let held: Vec<u32> = store
        .parts(&id(1))
        .await
        .unwrap()
        .iter()
        .map(|p| p.part)
        .collect();
    assert_eq!(held, [0, 1, 2]);
    assert_eq!(
        store.read_part(&id(1), 2, 498, 100).await.unwrap(),
        vec![2; 2]
    );
    // The files go with the job's end.
    assert_eq!(store.files.list("parts").await.unwrap().len(), 3);
    store
        .end_unrun(&id(1), HostEnd::Cancelled, 3000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.files.list("parts").await.unwrap().len(), 0);
    assert_eq!(put(0, 0).await, Err(StoreError::State));
    assert_eq!(bytes(&store).await, 0);
}

#[tokio::test]
async fn a_part_of_the_wrong_length_or_cut_short_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for new_job in [large(1), job(2, 100, None)] {
        store.create(new_job.clone()).await.unwrap();
        let whole = part(&new_job, 0, 1);
        let len = whole.len() as u64;
        let longer: Bytes = [&whole[..], b"x"].concat().into();
        assert_eq!(
            store
                .put_part(&new_job.id, 0, source_of(whole.slice(1..)), 0)
                .await,
            Err(StoreError::PartLength {
                expected: len,
                found: len - 1
            })
        );
        assert_eq!(
            store.put_part(&new_job.id, 0, source_of(longer), 0).await,
            Err(StoreError::PartLength {
                expected: len,
                found: len + 1
            })
        );
        let cut = crate::SourceError {
            code: soundproof_protocol::error::Code::RequestTimeout,
            detail: "cut".into(),
        };
        let source = stream::iter([Ok(whole.slice(..50)), Err(cut.clone())]);
        assert_eq!(
            store.put_part(&new_job.id, 0, Box::pin(source), 0).await,
            Err(StoreError::Source(cut))
        );
        assert_eq!(store.parts(&new_job.id).await.unwrap(), []);
        assert_eq!(
            store.job(&new_job.id).await.unwrap().unwrap().state,
            JobState::Created
        );
    }
    assert_eq!(store.files.list("tmp").await.unwrap().len(), 0);
    assert_eq!(store.files.list("parts").await.unwrap().len(), 0);
}

#[tokio::test]
async fn senders_of_one_part_at_once_get_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir).await);
    let new_job = large(1);
    store.create(new_job.clone()).await.unwrap();
    let senders: Vec<_> = (0..8u8)
        .map(|n| {
            let (store, bytes) = (store.clone(), part(&new_job, 0, n % 2));
            tokio::spawn(async move { store.put_part(&id(1), 0, source_of(bytes), 0).await })
        })
        .collect();
    let mut taken = 0;
    for sender in senders {
        match sender.await.unwrap() {
            Ok(_) => taken += 1,
            Err(error) => assert_eq!(error, StoreError::PartConflict),
        }
    }
    assert_eq!(taken, 4, "the four with equal bytes");
    let held = store.parts(&id(1)).await.unwrap()[0].digest;
    let stored = store.read_part(&id(1), 0, 0, u64::MAX).await.unwrap();
    assert_eq!(Digest::of(&stored), held);
}

#[tokio::test]
async fn blobs_are_named_by_their_digest_and_can_be_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let blob = Bytes::from(vec![3; 700_000]);
    let digest = Digest::of(&blob);
    let put = |bytes: Bytes, max| {
        store.put_blob(
            "alice",
            Quota::UNLIMITED,
            &digest,
            max,
            source_of(bytes),
            1000,
        )
    };
    let other = Bytes::from_static(b"other");
    assert_eq!(
        put(other.clone(), 1 << 20).await,
        Err(StoreError::BlobDigest {
            found: Digest::of(&other)
        })
    );
    assert_eq!(
        put(blob.clone(), 699_999).await,
        Err(StoreError::TooLarge { max: 699_999 })
    );
    assert_eq!(store.blob_len(&digest).await.unwrap(), None);
    let mut needs = small(1);
    needs.blobs = vec![digest];
    assert_eq!(
        store.create(needs.clone()).await,
        Err(StoreError::BlobMissing(digest))
    );
    assert_eq!(put(blob.clone(), 1 << 20).await.unwrap(), 700_000);
    store.create(needs).await.unwrap();
    assert_eq!(bytes(&store).await, 700_100);
    std::fs::write(store.files.blob(&digest), b"rotten").unwrap();
    assert_eq!(put(blob.clone(), 1 << 20).await.unwrap(), 700_000);
    assert_eq!(bytes(&store).await, 700_100, "counted once");
    assert_eq!(store.read_blob(&digest, 0, u64::MAX).await.unwrap(), blob);
    assert_eq!(
        store.read_blob(&digest, 699_999, 9).await.unwrap(),
        vec![3; 1]
    );
    assert_eq!(
        store.read_blob(&digest, 1 << 40, 9).await.unwrap(),
        vec![0; 0]
    );
    assert_eq!(store.files.list("tmp").await.unwrap().len(), 0);
}

#[tokio::test]
async fn quotas_and_room_are_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(
        dir.path(),
        Room {
            max_bytes: 250,
            min_free_bytes: 0,
        },
    )
    .await
    .unwrap();
    let mut one = small(1);
    one.quota = Quota {
        jobs: 1,
        bytes: 1000,
    };
    store.create(one.clone()).await.unwrap();
    store.create(one.clone()).await.unwrap(); // the same job is no second one
    let mut two = small(2);
    two.quota = one.quota;
    assert_eq!(
        store.create(two.clone()).await,
        Err(StoreError::Quota {
            what: "jobs that have not ended"
        })
    );
    two.quota = Quota {
        jobs: 9,
        bytes: 199,
    };
    assert_eq!(
        store.create(two.clone()).await,
        Err(StoreError::Quota {
            what: "stored bytes"
        })
    );
    two.quota = Quota {
        jobs: 9,
        bytes: 200,
    };
    store.create(two).await.unwrap();
    assert_eq!(
        store.create(small(3)).await,
        Err(StoreError::Full),
        "300 of 250 bytes"
    );
    assert_eq!(store.unfinished_count().await.unwrap(), 2);
    store
        .end_unrun(&id(1), HostEnd::Cancelled, 0)
        .await
        .unwrap()
        .unwrap();
    store.create(small(3)).await.unwrap();
    drop(store);
    let dir = tempfile::tempdir().unwrap();
    let room = Room {
        max_bytes: u64::MAX,
        min_free_bytes: u64::MAX,
    };
    let store = Embedded::open(dir.path(), room).await.unwrap();
    assert_eq!(
        store.create(small(1)).await,
        Err(StoreError::Full),
        "the disk's own bound"
    );
    assert_eq!(store.check().await, Err(StoreError::Full));
}

#[tokio::test]
async fn a_large_outcome_is_in_a_file_and_leaves_with_its_job() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    store.create(small(1)).await.unwrap();
    store.lease(&id(1), OWNER, 0).await.unwrap().unwrap();
    let pieces: Vec<Result<Bytes, crate::SourceError>> = (0..40u8)
        .map(|n| Ok(Bytes::from(vec![n; 100_000])))
        .collect();
    let outcome = store
        .put_outcome(&id(1), 1, Box::pin(stream::iter(pieces)))
        .await
        .unwrap();
    assert_eq!(outcome.len(), 4_000_000);
    store.end(&id(1), 1, outcome, 1).await.unwrap().unwrap();
    assert_eq!(
        store.read_outcome(&id(1), 3_899_999, 2).await.unwrap(),
        vec![38, 39]
    );
    assert_eq!(store.files.list("outcomes").await.unwrap().len(), 1);
    store.delete(&id(1), 2).await.unwrap();
    assert_eq!(store.files.list("outcomes").await.unwrap().len(), 0);
}

#[tokio::test]
async fn lost_leases_requeue_and_cancelled_ones_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 1..=3 {
        store.create(small(n)).await.unwrap();
        store
            .lease(&id(n), OwnerId([n; 16]), 1000)
            .await
            .unwrap()
            .unwrap();
    }
    store.renew(OwnerId([1; 16]), 5000).await.unwrap();
    assert!(store.request_cancel(&id(3)).await.unwrap());
    let back = store.requeue_lapsed(false, 2000).await.unwrap();
    let states: Vec<_> = back
        .iter()
        .map(|job| (job.id, job.state, job.end))
        .collect();
    assert_eq!(
        states,
        [
            (id(2), JobState::Queued, None),
            (id(3), JobState::Ended, Some(HostEnd::Cancelled))
        ]
    );
    assert!(!store.request_cancel(&id(2)).await.unwrap(), "not running");
    let again = store.lease(&id(2), OWNER, 9000).await.unwrap().unwrap();
    assert_eq!(again.attempts, 2);
    // The first attempt's end comes too late.
    let outcome = store
        .put_outcome(&id(2), 1, source_of(Bytes::from_static(b"x")))
        .await
        .unwrap();
    assert_eq!(store.end(&id(2), 1, outcome, 0).await.unwrap(), None);
    assert_eq!(store.requeue_lapsed(true, 0).await.unwrap().len(), 2);
    assert_eq!(store.counts().await.unwrap(), [0, 0, 2, 0, 1]);
    assert_eq!(
        store.lately_ended(&InstanceId([1; 16]), 9).await.unwrap(),
        [id(3)]
    );
    assert_eq!(store.unfinished().await.unwrap().len(), 2);
}

#[tokio::test]
async fn pages_are_newest_first_and_a_tenants_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for n in 1..=5 {
        store.create(small(n)).await.unwrap();
    }
    let mut foreign = small(6);
    foreign.tenant = "bob".into();
    store.create(foreign).await.unwrap();
    let query = |before, state| ListQuery {
        tenant: "alice".into(),
        state,
        before,
        limit: 2,
    };
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.list(query(before, None)).await.unwrap();
        seen.extend(page.jobs.iter().map(|job| job.id));
        // A job that arrives between two pages moves nothing.
        store.create(small(10 + seen.len() as u8)).await.unwrap();
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, [id(5), id(4), id(3), id(2), id(1)]);
    let running = store
        .list(query(None, Some(JobState::Running)))
        .await
        .unwrap();
    assert_eq!((running.jobs.len(), running.next), (0, None));
}

#[tokio::test]
async fn time_takes_what_is_past_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let blob = Bytes::from_static(b"blob");
    let digest = Digest::of(&blob);
    store
        .put_blob("alice", Quota::UNLIMITED, &digest, 9, source_of(blob), 1000)
        .await
        .unwrap();
    let mut queued = small(1);
    queued.blobs = vec![digest];
    store.create(queued).await.unwrap();
    store.create(large(2)).await.unwrap();
    store.create(small(3)).await.unwrap();
    store
        .end_unrun(&id(3), HostEnd::Cancelled, 1000)
        .await
        .unwrap();
    let keep = Retention {
        upload_ms: 100,
        outcome_ms: 200,
        tombstone_ms: 300,
        blob_ms: 400,
    };
    assert_eq!(
        store.sweep(keep, 1100).await.unwrap(),
        Swept::default(),
        "nothing is over yet"
    );
    let swept = store.sweep(keep, 1201).await.unwrap();
    assert_eq!(
        swept.expired.iter().map(|job| job.id).collect::<Vec<_>>(),
        [id(2)]
    );
    assert_eq!((swept.removed, swept.blobs), (1, 0));
    assert_eq!(store.create(small(3)).await, Err(StoreError::Replayed));
    // Accepted means kept: a queued job has no time that is up, nor have its blobs.
    let swept = store.sweep(keep, 1_000_000).await.unwrap();
    assert_eq!((swept.removed, swept.blobs), (1, 0));
    assert_eq!(
        store.job(&id(1)).await.unwrap().unwrap().state,
        JobState::Queued
    );
    store
        .end_unrun(&id(1), HostEnd::Cancelled, 1_000_000)
        .await
        .unwrap();
    let swept = store.sweep(keep, 1_000_001).await.unwrap();
    assert_eq!((swept.removed, swept.blobs), (0, 1));
    assert_eq!(store.files.list("blobs").await.unwrap().len(), 0);
    let mut again = small(3);
    again.now_ms = 1_000_000;
    new(store.create(again).await.unwrap()); // its tombstone is over
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_reopening_without_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let new_job = large(2);
    {
        let store = open(&dir).await;
        store.create(small(1)).await.unwrap();
        store.create(new_job.clone()).await.unwrap();
        store
            .put_part(&id(2), 1, source_of(part(&new_job, 1, 5)), 0)
            .await
            .unwrap();
        assert!(
            matches!(
                Embedded::open(dir.path(), ROOM).await,
                Err(StoreError::InUse)
            ),
            "one process at a time"
        );
    }
    // What a crash leaves: half a temporary file, files that no row names.
    for litter in ["tmp/77", "parts/x", "blobs/y", "outcomes/z"] {
        std::fs::write(dir.path().join(litter), b"half").unwrap();
    }
    let store = reopen(&dir).await;
    assert_eq!(
        store.job(&id(1)).await.unwrap().unwrap().state,
        JobState::Queued
    );
    assert_eq!(
        store.read_part(&id(1), 0, 0, 1000).await.unwrap(),
        vec![1; 100]
    );
    assert_eq!(
        store.job(&id(2)).await.unwrap().unwrap().state,
        JobState::Uploading
    );
    assert_eq!(
        store.read_part(&id(2), 1, 0, u64::MAX).await.unwrap(),
        part(&new_job, 1, 5)
    );
    for (folder, files) in [("tmp", 0), ("parts", 1), ("blobs", 0), ("outcomes", 0)] {
        assert_eq!(
            store.files.list(folder).await.unwrap().len(),
            files,
            "{folder}"
        );
    }
}

/// The writer's task lives until it notices that its store is gone.
async fn reopen(dir: &tempfile::TempDir) -> Embedded {
    open(dir).await
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    store
        .writer
        .write(writer::Keep::Durable, |conn| {
            Box::pin(async move {
                sqlx::query("CREATE TABLE later (x)")
                    .execute(&mut *conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let options = SqliteConnectOptions::new().filename(dir.path().join("jobs.sqlite"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("PRAGMA user_version = 99")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = Embedded::open(dir.path(), ROOM).await.unwrap_err();
    assert_eq!(
        error,
        StoreError::Newer {
            found: 99,
            known: 1
        }
    );
    assert!(error.to_string().contains("99"));
}

#[tokio::test]
async fn one_failed_write_does_not_undo_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir).await);
    store.create(small(200)).await.unwrap();
    let calls: Vec<_> = (0..100u8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut new = small(n);
                if n % 3 == 0 {
                    new.id = id(200); // a conflict, in the same batch as others
                }
                (n, store.create(new).await)
            })
        })
        .collect();
    for call in calls {
        match call.await.unwrap() {
            (n, Err(error)) => assert_eq!((n % 3, error), (0, StoreError::Conflict)),
            (n, Ok(_)) => assert_ne!(n % 3, 0),
        }
    }
    assert_eq!(store.counts().await.unwrap()[2], 67);
}

#[tokio::test]
async fn a_blob_beyond_the_quota_or_the_floor_is_stopped_while_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let quota = Quota {
        jobs: 1,
        bytes: 100_000,
    };
    let put = |len: usize| {
        let bytes = Bytes::from(vec![1; len]);
        let digest = Digest::of(&bytes);
        let store = &store;
        async move {
            let source = source_of(bytes);
            store
                .put_blob("alice", quota, &digest, 1 << 30, source, 0)
                .await
        }
    };
    let refused = Err(StoreError::Quota {
        what: "stored bytes",
    });
    put(60_000).await.unwrap();
    put(60_000).await.unwrap(); // again: not counted twice
    assert_eq!(put(40_001).await, refused);
    put(40_000).await.unwrap();
    assert_eq!(put(1).await, refused);
    drop(store);
    // A disk that falls below its floor while a file is written.
    let files = Files::open(&dir.path().join("other")).await.unwrap();
    let mut staged = files.stage(u64::MAX).await.unwrap();
    let source = source_of(vec![0; 40 << 20].into());
    assert_eq!(staged.fill(source, u64::MAX).await, Err(StoreError::Full));
    drop(staged);
    assert_eq!(files.list("tmp").await.unwrap().len(), 0);
}
