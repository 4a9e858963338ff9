//! From the queue to the keeper. A job that is accepted is handed over at
//! once if a slot is free: nothing here polls. Tenants take turns.

use crate::app::{App, now_ms};
use soundproof_jobs::Job;
use soundproof_protocol::{
    api::{HostEnd, JobState},
    error::Code,
    id::JobId,
    link::{GatewayAsks, KeeperAnswers},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// How long a lease lasts; it is renewed three times in that.
pub(crate) const LEASE_MS: u64 = 30_000;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// A job that waits for a slot.
pub(crate) struct Waiting {
    id: JobId,
    tenant: String,
    /// Since it was accepted.
    since: Instant,
    /// How often it came back.
    returns: u32,
}

/// The queue. The store knows which jobs are queued; this knows whose turn
/// it is.
#[derive(Default)]
pub(crate) struct Scheduler {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    tenants: HashMap<String, VecDeque<Waiting>>,
    /// Tenants with waiting jobs, next one first.
    turns: VecDeque<String>,
}

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        let jobs = self.tenants.entry(waiting.tenant.clone()).or_default();
        if jobs.is_empty() {
            self.turns.push_back(waiting.tenant.clone());
        }
        jobs.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting> {
        let tenant = self.turns.pop_front()?;
        let jobs = self.tenants.get_mut(&tenant)?;
        let next = jobs.pop_front();
        if jobs.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        next
    }
}

impl Scheduler {
    /// Adds a job that the store has as queued. One that is not any more when
    /// its turn comes is passed over.
    pub(crate) fn push(&self, job: &Job) {
        let waited = job.accepted_ms.map_or(0, |at| now_ms().saturating_sub(at));
        let now = Instant::now();
        let since = now
            .checked_sub(Duration::from_millis(waited))
            .unwrap_or(now);
        self.push_waiting(Waiting {
            id: job.id,
            tenant: job.tenant.clone(),
            since,
            returns: 0,
        });
    }

    fn push_waiting(&self, waiting: Waiting) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(waiting);
        self.wake.notify_one();
    }

    async fn next(&self) -> Waiting {
        loop {
            let next = self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            match next {
                Some(waiting) => return waiting,
                None => self.wake.notified().await,
            }
        }
    }
}

/// Hands jobs over, `slots` at once, until the gateway stops.
pub(crate) async fn drive(app: Arc<App>, slots: u32) {
    let slots = Arc::new(Semaphore::new(slots.clamp(1, 4096) as usize));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let waiting = tokio::select! {
            waiting = app.scheduler.next() => waiting,
            () = app.stopping.cancelled() => return,
        };
        let app = app.clone();
        tokio::spawn(async move {
            if let Some(mut waiting) = run(&app, waiting).await {
                drop(slot);
                let wait = FIRST_BACKOFF.saturating_mul(1 << waiting.returns.min(6));
                tokio::time::sleep(wait.min(LAST_BACKOFF)).await;
                waiting.returns = waiting.returns.saturating_add(1);
                app.scheduler.push_waiting(waiting);
            }
        });
    }
}

/// Runs a job once. Returned if it must be tried again.
async fn run(app: &App, waiting: Waiting) -> Option<Waiting> {
    let id = waiting.id;
    let job = match app.store.lease(&id, app.owner, now_ms() + LEASE_MS).await {
        Ok(Some(job)) => job,
        Ok(None) => return None, // cancelled meanwhile
        Err(error) => {
            tracing::error!(job = %id, %error, "cannot lease");
            return Some(waiting);
        }
    };
    let attempt = job.attempts;
    app.outcomes.expect(id, attempt);
    app.hub.running(id);
    app.hub.state(job.view());
    let waited = waiting.since.elapsed();
    app.metrics.queue_wait.observe(waited.as_secs_f64());
    let queued_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    let started = Instant::now();
    let answer = app
        .link
        .ask_patiently(GatewayAsks::Run {
            job: id,
            attempt,
            queued_us,
        })
        .await;
    let outcome = app.outcomes.close(&id, attempt);
    match (answer, outcome) {
        // The gateway ends now; the next one puts the job back.
        (Err(_), _) => return None,
        (Ok(KeeperAnswers::Ended), Some(outcome)) => {
            app.metrics
                .job_duration
                .observe(started.elapsed().as_secs_f64());
            app.store_outcome(&id, attempt, outcome).await;
            return None;
        }
        (Ok(KeeperAnswers::Refused(refusal)), _)
            if matches!(refusal.code, Code::KeyLost | Code::JobNotFound) =>
        {
            // The keeper does not have its key.
            tracing::warn!(job = %id, code = %refusal.code, "the job's key is lost");
            put_back(app, id, attempt).await;
            app.end_unrun(&id, HostEnd::KeyLost).await;
            return None;
        }
        (Ok(KeeperAnswers::Requeue(refusal) | KeeperAnswers::Refused(refusal)), _) => {
            tracing::warn!(job = %id, attempt, code = %refusal.code, "put back");
        }
        (Ok(_), _) => {
            tracing::error!(job = %id, attempt, "the keeper's answer fits no run; put back");
        }
    }
    put_back(app, id, attempt).await.then_some(waiting)
}

/// Requeues; whether the job is queued now.
async fn put_back(app: &App, id: JobId, attempt: u32) -> bool {
    app.hub.idle(id);
    let back = app
        .insist("requeue", &id, || app.store.requeue(&id, attempt, now_ms()))
        .await;
    match back {
        Some(Some(job)) => {
            app.hub.state(job.view());
            if job.state == JobState::Ended {
                app.forget(id);
            }
            job.state == JobState::Queued
        }
        _ => false,
    }
}

impl App {
    /// Ends a job with its outcome, and does not give up: the outcome is made,
    /// and a full disk must not lose it.
    async fn store_outcome(
        &self,
        id: &JobId,
        attempt: u32,
        outcome: soundproof_jobs::StoredOutcome,
    ) {
        let ended = self
            .insist("end", id, || {
                self.store.end(id, attempt, outcome.clone(), now_ms())
            })
            .await;
        match ended {
            Some(Some(job)) => {
                self.hub.state(job.view());
                self.forget(*id);
            }
            Some(None) => tracing::error!(job = %id, attempt, "this attempt was not running"),
            None => {} // stopping: the next gateway runs it again
        }
    }

    /// Calls until it succeeds or the gateway stops.
    async fn insist<T, F>(&self, what: &'static str, id: &JobId, call: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, soundproof_jobs::StoreError>>,
    {
        let mut wait = FIRST_BACKOFF;
        loop {
            match call().await {
                Ok(value) => return Some(value),
                Err(error) => tracing::error!(job = %id, what, %error, "the store failed"),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LAST_BACKOFF),
                () = self.link.closed().cancelled() => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_and_a_tenants_jobs_keep_their_order() {
        let mut queue = Queue::default();
        let waiting = |tenant: &str, n: u8| Waiting {
            id: JobId([n; 16]),
            tenant: tenant.into(),
            since: Instant::now(),
            returns: 0,
        };
        for n in 0..4 {
            queue.push(waiting("greedy", n));
        }
        queue.push(waiting("modest", 10));
        queue.push(waiting("other", 20));
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop())
            .map(|w| w.id.0[0])
            .collect();
        assert_eq!(order, [0, 10, 20, 1, 2, 3]);
        assert!(queue.tenants.is_empty() && queue.turns.is_empty());
    }
}
