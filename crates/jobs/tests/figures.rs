//! How long the store's commits take. Prints figures and asserts none, for
//! machines differ: `cargo test --release -p soundproof-jobs --test figures --
//! --ignored --nocapture`.
#![allow(clippy::unwrap_used)] // a test may panic, its helpers too

use bytes::Bytes;
use soundproof_jobs::{
    NewJob, OwnerId, Quota, Store as _,
    embedded::{Embedded, Room},
    source_of,
};
use soundproof_protocol::{
    digest::Digest,
    id::{InstanceId, JobId},
    sealed::PartLayout,
};
use std::sync::Arc;

const OWNER: OwnerId = OwnerId([9; 16]);

fn fresh(n: u32) -> NewJob {
    let mut id = JobId::new(1_700_000_000_000, [1; 10]);
    id.0[12..].copy_from_slice(&n.to_be_bytes());
    NewJob {
        id,
        tenant: String::new(),
        description: vec![1; 300],
        description_digest: Digest::of(&id.0),
        header: vec![1; 1300],
        header_digest: Digest::of(&id.0),
        layout: PartLayout::from_sealed_len(3000, 1).unwrap(),
        part_chunks: 1,
        input_bytes: 3000,
        access: Digest([1; 32]),
        instance: InstanceId([1; 16]),
        blobs: vec![],
        input: Some(Bytes::from(vec![1; 3000])),
        now_ms: 1000,
        quota: Quota::UNLIMITED,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let room = Room {
        max_bytes: u64::MAX,
        min_free_bytes: 0,
    };
    let store = Arc::new(Embedded::open(dir.path(), room).await.unwrap());
    let mut times: [Vec<std::time::Duration>; 3] = Default::default();
    for n in 0..500 {
        let new = fresh(n);
        let id = new.id;
        let start = std::time::Instant::now();
        store.create(new).await.unwrap();
        times[0].push(start.elapsed());
        let start = std::time::Instant::now();
        store.lease(&id, OWNER, 0).await.unwrap().unwrap();
        times[1].push(start.elapsed());
        let outcome = source_of(vec![7; 20_000].into());
        let outcome = store.put_outcome(&id, 1, outcome).await.unwrap();
        let start = std::time::Instant::now();
        store.end(&id, 1, outcome, 1).await.unwrap().unwrap();
        times[2].push(start.elapsed());
    }
    for (name, mut times) in ["create", "lease", "end"].into_iter().zip(times) {
        times.sort();
        println!("{name}: p50 {:?} p99 {:?}", times[250], times[495]);
    }
    let start = std::time::Instant::now();
    let calls: Vec<_> = (1000..2000)
        .map(|n| {
            let (store, new) = (store.clone(), fresh(n));
            tokio::spawn(async move { store.create(new).await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    println!("1000 creates at once: {:?}", start.elapsed());
}
