//! What every request shares, and what more than one part of the gateway does
//! to a job.

use crate::{
    auth::{ApiKeys, Tenant},
    collateral::Stapler,
    config::GatewayConfig,
    hub::Hub,
    link::{Link, Outcomes},
    metrics::Metrics,
    problem::{Problem, of_store},
    rates::Rates,
    scheduler::Scheduler,
};
use soundproof_jobs::{Job, OwnerId, Store};
use soundproof_protocol::{
    api::HostEnd,
    error::Code,
    id::{InstanceId, JobId},
    link::{GatewayAsks, KeeperStatus},
    mode::ModeOffer,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) struct App {
    pub(crate) config: GatewayConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) link: Link,
    pub(crate) outcomes: Outcomes,
    pub(crate) hub: Arc<Hub>,
    pub(crate) scheduler: Scheduler,
    pub(crate) metrics: Metrics,
    pub(crate) rates: Rates,
    pub(crate) stapler: Stapler,
    /// None: nobody authenticates.
    pub(crate) keys: Option<ApiKeys>,
    /// The key of the direct path, on its own listener.
    pub(crate) inner: Option<ApiKeys>,
    /// Who everybody is, where nobody authenticates.
    pub(crate) anonymous: Arc<Tenant>,
    pub(crate) owner: OwnerId,
    /// The keeper's life.
    pub(crate) instance: InstanceId,
    /// Proof systems and modes, those too that it does not offer.
    pub(crate) modes: Vec<ModeOffer>,
    /// Whether connections are TLS.
    pub(crate) tls: bool,
    /// One job is created at a time for each lock.
    pub(crate) creating: Vec<tokio::sync::Mutex<()>>,
    pub(crate) uploads: Semaphore,
    pub(crate) subscribers: Arc<Semaphore>,
    /// What the keeper said last.
    pub(crate) keeper: Mutex<KeeperStatus>,
    /// Cancelled when no new work is taken.
    pub(crate) stopping: CancellationToken,
}

impl App {
    /// What the keeper said last of itself.
    pub(crate) fn keeper_status(&self) -> KeeperStatus {
        self.keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The keeper may wipe the job's keys. Not waited for: should it get lost,
    /// the next start of a gateway tells the keeper again.
    pub(crate) fn forget(&self, id: JobId) {
        let link = self.link.clone();
        tokio::spawn(async move {
            if link.ask(GatewayAsks::Forget(id)).await.is_err() {
                tracing::warn!(job = %id, "the keeper was not told to forget");
            }
        });
    }

    /// Ends a job that does not run, if it does not, without an outcome.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn try_end_unrun(
        &self,
        id: &JobId,
        end: HostEnd,
    ) -> Result<Option<Job>, Problem> {
        let ended = self
            .store
            .end_unrun(id, end, now_ms())
            .await
            .map_err(of_store)?;
        if let Some(job) = &ended {
            self.hub.state(job.view());
            self.forget(*id);
        }
        Ok(ended)
    }

    /// Likewise; a failure is logged.
    pub(crate) async fn end_unrun(&self, id: &JobId, end: HostEnd) {
        if let Err(problem) = self.try_end_unrun(id, end).await {
            tracing::error!(job = %id, code = %problem.code, "cannot end the job");
        }
    }

    /// The input is complete: from now on the job is kept, and run.
    pub(crate) fn accepted(&self, job: &Job) {
        self.hub.state(job.view());
        self.scheduler.push(job);
    }

    /// A place among those who wait for events.
    pub(crate) fn subscriber(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
        self.subscribers
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::with(Code::RateLimited, "too many event streams").after(5))
    }
}

/// Milliseconds since 1970, by this host's clock: for expiry and for people,
/// and for nothing that secrecy depends on.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
