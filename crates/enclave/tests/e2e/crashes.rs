//! Invariant 5: what was acknowledged ends, exactly once, whatever dies.

use crate::world::{World, input, small};
use soundproof::{
    Client, Input, JobOptions,
    protocol::{
        api::{HostEnd, JobState},
        error::Code,
        ticket::Ticket,
    },
};
use soundproof_testkit::server::{Kind, ServerOptions, ServerProcess};
use std::{collections::HashSet, time::Duration};

/// How often something is killed; the long soak sets more.
fn kills() -> u32 {
    std::env::var("SOUNDPROOF_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20)
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes) % below
}

/// Gateways and provers are killed at random moments while jobs are submitted
/// and run. Broken if an acknowledgement came before the job was on disk, or
/// if a job could end twice or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_job_ends_once_whatever_is_killed() {
    let options = ServerOptions {
        args: vec!["--slots".into(), "2".into()],
        ..ServerOptions::default()
    };
    let world = World::with(&options);
    let client = world.client();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let submitting = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move {
            let mut tickets = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (program, input) = (small(), Input::json(&input()));
                let options = JobOptions::default();
                let done = client
                    .submit(&program, &input, &options, Default::default())
                    .await;
                if let Ok(submitted) = done {
                    tickets.push(submitted.ticket_bytes());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tickets
        }
    });
    let mut killed = [0u32; 2];
    while killed[0] + killed[1] < kills() {
        tokio::time::sleep(Duration::from_millis(100 + random(400))).await;
        let (kind, at) = if random(2) == 0 {
            (Kind::Gateway, 0)
        } else {
            (Kind::Prover, 1)
        };
        let pids = world.server.pids(kind).unwrap();
        if let Some(pid) = pids.get(random(pids.len().max(1) as u64) as usize) {
            world.server.kill_child(*pid).unwrap();
            killed[at] += 1;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let tickets = submitting.await.unwrap();
    assert!(
        tickets.len() >= 5,
        "only {} jobs were acknowledged",
        tickets.len()
    );
    assert!(killed[0] > 0 && killed[1] > 0, "{killed:?}");

    let mut ids = HashSet::new();
    for bytes in &tickets {
        let ticket = Ticket::from_slice(bytes).unwrap();
        let proven = fetch(&client, &ticket).await;
        small()
            .verify(&proven.proof, &proven.public_values)
            .unwrap();
        assert!(ids.insert(proven.job), "a job ended twice");
        // The end stays what it is.
        let again = client.claim(&ticket).await.unwrap();
        let view = client.job(again.access()).await.unwrap();
        assert_eq!(
            (view.state, view.end),
            (JobState::Ended, Some(HostEnd::Sealed))
        );
    }
    println!(
        "{} jobs, {} gateways and {} provers killed",
        tickets.len(),
        killed[0],
        killed[1]
    );
}

/// Fetches, with the patience that a restarting server asks for.
async fn fetch(client: &Client, ticket: &Ticket) -> soundproof::Proven {
    let mut last = None;
    for _ in 0..60 {
        match client.fetch(ticket, Default::default()).await {
            Ok(proven) => return proven,
            Err(error) if error.retryable() => last = Some(error),
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{last:?}");
}

/// kill -9 of the keeper: its children do not outlive it; on the next start
/// every job that had not ended ends with `key_lost`, and those that had keep
/// their outcomes.
#[tokio::test(flavor = "multi_thread")]
async fn the_keepers_death_ends_jobs_with_key_lost() {
    let data = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        data: Some(data.path().join("data")),
        pki: Some(data.path().join("pki")),
        ..ServerOptions::default()
    };
    let mut world = World::with(&options);
    let client = world.client();
    let done = client
        .submit(
            &small(),
            &Input::json(&input()),
            &JobOptions::default(),
            Default::default(),
        )
        .await
        .unwrap();
    done.wait(Default::default()).await.unwrap();
    // These loop until their limit: they have not ended when the keeper dies.
    let session = std::sync::Arc::new(client.open_session().await.unwrap());
    let looping = crate::world::looping();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut upload = client
            .upload(
                &session,
                &looping,
                &Input::json(&input()),
                &JobOptions::default(),
            )
            .unwrap();
        waiting.push(upload.run(Default::default()).await.unwrap().ticket_bytes());
    }
    world.server.kill_keeper().unwrap();
    drop(world);

    let world = World::with(&options);
    let client = world.client();
    for bytes in &waiting {
        let ticket = Ticket::from_slice(bytes).unwrap();
        let error = client.fetch(&ticket, Default::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::KeyLost, "{error}");
    }
    let ticket = Ticket::from_slice(&done.ticket_bytes()).unwrap();
    client.fetch(&ticket, Default::default()).await.unwrap();
}

/// A client whose job's key was lost appraises, seals and submits anew, and
/// says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_submits_anew_after_key_lost() {
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let options = ServerOptions {
        data: Some(data.path().join("data")),
        pki: Some(data.path().join("pki")),
        args: vec!["--listen".into(), format!("127.0.0.1:{port}").into()],
        ..ServerOptions::default()
    };
    let mut world = World::with(&options);
    let client = world.client();
    // These keep every slot busy, so that the good job waits when the keeper
    // dies.
    let session = std::sync::Arc::new(client.open_session().await.unwrap());
    for _ in 0..4 {
        let (looping, input) = (crate::world::looping(), Input::json(&input()));
        let mut upload = client
            .upload(&session, &looping, &input, &JobOptions::default())
            .unwrap();
        upload.run(Default::default()).await.unwrap();
    }
    let proving = tokio::spawn({
        let client = client.clone();
        async move { client.prove(&small(), Input::json(&input())).await }
    });
    let watcher = world.client();
    while watcher.jobs(100, None, None).await.unwrap().jobs.len() < 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.server.kill_keeper().unwrap();
    drop(world);
    let world = World::with(&options);
    let outcome = proving.await.unwrap();
    match outcome {
        Ok(proven) => {
            small()
                .verify(&proven.proof, &proven.public_values)
                .unwrap();
            assert!(
                !proven.resubmissions.is_empty(),
                "the job ended before the keeper died: this run showed nothing"
            );
        }
        Err(error) => panic!("{error}: {}", world.server.log_tail()),
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A prover killed while it works: the job is put back and done by the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_prover_killed_mid_proof_costs_nothing_but_time() {
    let world = World::start();
    let client = world.client();
    world.prove(&input()).await;
    for _ in 0..3 {
        let submitted = client
            .submit(
                &small(),
                &Input::json(&input()),
                &JobOptions::default(),
                Default::default(),
            )
            .await
            .unwrap();
        for pid in world.server.pids(Kind::Prover).unwrap() {
            world.server.kill_child(pid).unwrap();
        }
        let proven = submitted.wait(Default::default()).await.unwrap();
        small()
            .verify(&proven.proof, &proven.public_values)
            .unwrap();
    }
}

/// Stops when asked to, and leaves no process behind.
#[test]
fn a_server_stops_when_asked() {
    let server = ServerProcess::start(&ServerOptions::default()).unwrap();
    let status = server.stop(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "{status}");
}
