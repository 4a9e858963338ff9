//! Endorsements, stapled to a session's reply where the keeper has none of its
//! own: hardware platforms' come over the network, which only this process
//! has. Clients verify them; what is here is there so that they can.

use crate::{
    GatewayError,
    app::{App, now_ms},
    config::GatewayConfig,
    problem::Problem,
};
use soundproof_collateral::{Collateral, CollateralError, Figures, Status, Target};
use soundproof_protocol::{api::SessionOpened, attestation::Endorsements, digest::Digest, error::Code};
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
        let target = match Target::for_evidence(&opened.evidence, Some(given)) {
            Ok(None) => return Ok(()),
            Ok(Some(target)) => target,
            Err(error) => {
                // The reader's verdict will say what is wrong with it.
                tracing::warn!(%error, "no endorsements are stapled");
                return Ok(());
            }
        };
        *self.needed() = Some(target.clone());
        let stapled = self.fetch(target, opened, given.clone()).await?;
        opened.endorsements_digest = stapled.digest();
        let sent = !held.contains(&opened.endorsements_digest);
        opened.endorsements = sent.then_some(stapled);
        Ok(())
    }

    /// In a task of its own: what a reader does not wait for goes on for the
    /// next one.
    async fn fetch(
        &self,
        target: Target,
        opened: &SessionOpened,
        given: Endorsements,
    ) -> Result<Endorsements, Problem> {
        let collateral = self.collateral.clone();
        let fetching = tokio::spawn({
            let target = target.clone();
            async move { collateral.get(&target, now_ms()).await }
        });
        let held = match timeout(PATIENCE, fetching).await {
            Ok(Ok(Ok(held))) => held,
            Ok(Ok(Err(error))) => {
                log(&error);
                return Err(missing());
            }
            Ok(Err(_)) => return Err(Code::Internal.into()),
            Err(_) => {
                tracing::warn!(
                    target = target.name(),
                    "endorsements are still being fetched; a session was refused"
                );
                return Err(missing());
            }
        };
        if held.stale {
            tracing::debug!("endorsements that are stapled are due for a fresh copy");
        }
        Ok(held.join(&opened.evidence, Some(&given)))
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

fn log(error: &CollateralError) {
    tracing::error!(%error, remedy = error.remedy(), "no endorsements for this machine");
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
