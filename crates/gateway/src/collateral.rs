//! Endorsements, stapled to a session's reply where the keeper has none of its
//! own: hardware platforms' come over the network, which only this process
//! has. Clients verify them; what is here is there so that they can.

use crate::{
    GatewayError,
    app::{App, now_ms},
    config::GatewayConfig,
    problem::Problem,
};
use soundproof_collateral::{Collateral, Figures, Status, Target};
use soundproof_protocol::{
    api::SessionOpened,
    attestation::{Endorsements, Evidence},
    digest::Digest,
    error::Code,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a session waits for endorsements that were never fetched.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Stapler {
    collateral: Arc<Collateral>,
    /// What the last session needed, so that the next one is refused before it
    /// costs a quote, if that cannot be had.
    needed: Mutex<Option<Target>>,
}

impl Stapler {
    /// # Errors
    /// A setting that cannot be.
    pub(crate) fn new(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let mut collateral = config.collateral.clone();
        collateral
            .cache
            .get_or_insert_with(|| config.data.join("collateral"));
        let collateral = Collateral::new(collateral)
            .map_err(|error| GatewayError::Config(format!("collateral: {error}")))?;
        Ok(Self {
            collateral: Arc::new(collateral),
            needed: Mutex::default(),
        })
    }

    /// Whether endorsements can be had for the machine that answered last.
    ///
    /// # Errors
    /// A problem, if they are known to be missing.
    pub(crate) fn check_ready(&self) -> Result<(), Problem> {
        let needed = self.needed().clone();
        match needed {
            Some(target) if self.collateral.is_missing(&target, now_ms()) => Err(missing()),
            _ => Ok(()),
        }
    }

    /// Puts endorsements into a reply that lacks some, unless its reader holds
    /// them already.
    ///
    /// # Errors
    /// A problem, if they cannot be had.
    pub(crate) async fn staple(
        &self,
        held: &[Digest],
        opened: &mut SessionOpened,
    ) -> Result<(), Problem> {
        // Left out: the keeper's own, which its reader holds.
        let Some(given) = &opened.endorsements else {
            return Ok(());
        };
        match Target::for_evidence(&opened.evidence, Some(given)) {
            Ok(target) => *self.needed() = target,
            Err(error) => {
                // The reader's verdict will say what is wrong with it.
                tracing::warn!(%error, "no endorsements are stapled");
                return Ok(());
            }
        }
        let (evidence, given) = (opened.evidence.clone(), given.clone());
        if let Some(stapled) = self.fetch(evidence, given).await? {
            opened.endorsements_digest = stapled.digest();
            let sent = !held.contains(&opened.endorsements_digest);
            opened.endorsements = sent.then_some(stapled);
        }
        Ok(())
    }

    /// In a task of its own: what a reader does not wait for goes on for the
    /// next one. `None` where nothing is missing.
    async fn fetch(
        &self,
        evidence: Evidence,
        given: Endorsements,
    ) -> Result<Option<Endorsements>, Problem> {
        let collateral = self.collateral.clone();
        let fetching = tokio::spawn(async move {
            let given = Some(&given);
            collateral.endorse(&evidence, given, now_ms()).await
        });
        match timeout(PATIENCE, fetching).await {
            Ok(Ok(Ok(stapled))) => Ok(stapled),
            Ok(Ok(Err(error))) => {
                tracing::error!(%error, remedy = error.remedy(), "no endorsements for this machine");
                Err(missing())
            }
            Ok(Err(_)) => Err(Code::Internal.into()),
            Err(_) => {
                tracing::warn!("endorsements are still being fetched; a session was refused");
                Err(missing())
            }
        }
    }

    /// For the metrics.
    pub(crate) fn look(&self) -> (Vec<Status>, Vec<Figures>) {
        (self.collateral.status(), self.collateral.figures())
    }

    fn needed(&self) -> std::sync::MutexGuard<'_, Option<Target>> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log has the sources and what each answered; they are not for strangers.
fn missing() -> Problem {
    Problem::new(Code::EndorsementsUnavailable).after(30)
}

/// Has them fetched anew before they end.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.stapler.collateral.refresh(now_ms()).await;
    }
}
