//! What restarts and time bring: jobs that a predecessor left, leases,
//! expiry, and whether the keeper still answers.

use crate::{
    GatewayError,
    app::{App, now_ms},
    link::{self, Gone, Incoming, Link},
    scheduler::LEASE_MS,
};
use soundproof_jobs::{Job, Retention};
use soundproof_protocol::{
    api::{HostEnd, JobState},
    digest::Digest,
    id::JobId,
    link::{GatewayAsks, KeeperAnswers},
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval},
};

/// Ids in one question: they fit in a frame.
const IDS: usize = 50_000;
/// Jobs that ended last, of which the keeper may not have been told.
const LATELY_ENDED: u32 = 10_000;
/// How long the keeper may be silent.
const SILENCE: Duration = Duration::from_secs(60);
const TOMBSTONE_MS: u64 = 30 * 24 * 3600 * 1000;

/// Says hello. What arrives is served as soon as the app, which needs the
/// answer, is sent to the returned channel.
pub(crate) fn hello(
    link: Link,
    incoming: Incoming,
    spki: Option<Digest>,
) -> (
    oneshot::Sender<Arc<App>>,
    impl Future<Output = Result<KeeperAnswers, Gone>>,
) {
    let (connect, app) = oneshot::channel();
    let asking = link.clone();
    tokio::spawn(link::serve(link, incoming, app));
    (connect, async move {
        asking.ask(GatewayAsks::Hello(spki)).await
    })
}

/// Takes over what a predecessor left: jobs whose keys are gone end, running
/// ones are queued again, and the keeper is told of the ends that it may not
/// have been told of.
///
/// # Errors
/// The store's; `KeeperGone`.
pub(crate) async fn resume(app: &App) -> Result<(), GatewayError> {
    // The store is open in this process only, so nobody runs anything.
    app.store.requeue_lapsed(true, now_ms()).await?;
    let (ours, lost): (Vec<Job>, Vec<Job>) = app
        .store
        .unfinished()
        .await?
        .into_iter()
        .partition(|job| job.instance == app.instance);
    let held = held(app, ours.iter().map(|job| job.id).collect()).await?;
    let (kept, unheld): (Vec<Job>, Vec<Job>) =
        ours.into_iter().partition(|job| held.contains(&job.id));
    let counts = (kept.len(), lost.len() + unheld.len());
    for job in lost.iter().chain(&unheld) {
        app.store
            .end_unrun(&job.id, HostEnd::KeyLost, now_ms())
            .await?;
    }
    for job in kept.iter().filter(|job| job.state == JobState::Queued) {
        app.scheduler.push(job);
    }
    let ended = app.store.lately_ended(&app.instance, LATELY_ENDED).await?;
    for id in self::held(app, ended).await? {
        app.forget(id);
    }
    if counts != (0, 0) {
        tracing::info!(
            kept = counts.0,
            key_lost = counts.1,
            "took over unfinished jobs"
        );
    }
    Ok(())
}

async fn held(app: &App, ids: Vec<JobId>) -> Result<HashSet<JobId>, GatewayError> {
    let mut held = HashSet::new();
    for ids in ids.chunks(IDS) {
        match app.link.ask(GatewayAsks::Holds(ids.to_vec())).await {
            Ok(KeeperAnswers::Holds(some)) => held.extend(some),
            _ => return Err(GatewayError::KeeperGone),
        }
    }
    Ok(held)
}

/// Asks the keeper how it is, and ends the gateway when it is silent.
pub(crate) async fn watch_keeper(app: Arc<App>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        ticks.tick().await;
        match app.link.ask(GatewayAsks::Status).await {
            Ok(KeeperAnswers::Status(status)) => {
                app.metrics.keeper(&status);
                *app.keeper
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = status;
                heard = Instant::now();
            }
            Ok(_) => tracing::warn!("the keeper does not say how it is"),
            Err(Gone) => {
                app.keeper
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .ready = false
            }
        }
        if heard.elapsed() > SILENCE {
            tracing::error!("the keeper is silent");
            app.link.closed().cancel();
            return;
        }
    }
}

/// Renews leases, sweeps the store, tidies.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval(Duration::from_millis(LEASE_MS / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ms = |seconds: u64| seconds.saturating_mul(1000);
    let storage = &app.config.storage;
    let retention = Retention {
        upload_ms: ms(storage.upload_seconds),
        outcome_ms: ms(storage.outcome_seconds),
        tombstone_ms: TOMBSTONE_MS,
        blob_ms: ms(storage.blob_seconds),
    };
    loop {
        ticks.tick().await;
        app.rates.tidy();
        if let Err(error) = app.store.renew(app.owner, now_ms() + LEASE_MS).await {
            tracing::error!(%error, "cannot renew leases");
        }
        match app.store.sweep(retention, now_ms()).await {
            Ok(swept) => {
                for job in &swept.expired {
                    app.hub.state(job.view());
                    app.forget(job.id);
                }
                if swept.removed + swept.blobs > 0 {
                    tracing::info!(jobs = swept.removed, blobs = swept.blobs, "swept");
                }
            }
            Err(error) => tracing::error!(%error, "cannot sweep the store"),
        }
    }
}
