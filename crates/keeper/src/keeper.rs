//! The parts put together.

use crate::{
    KeeperConfig,
    admission::{self, Offers, refusal},
    custody::Custody,
    key_pool::KeyPool,
    link::{Answer, Peer},
    quoter::Quoter,
    random,
    receipt_key::ReceiptKeys,
    run,
    sessions::{Session, Sessions},
};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{MAX_HELD, OpenSession, SessionOpened},
    attestation::{Platform, Role},
    cbor,
    digest::Digest,
    error::Code,
    id::{InstanceId, SessionId},
    link::{DirectSecret, GatewayAsks, KeeperAnswers, KeeperStatus, Refusal},
    mode::ModeOffer,
    suite::Suite,
    transcript::{KeyAlgorithm, KeyPurpose, MAX_LIFETIME_S, MAX_OFFER, Transcript, VouchedKey},
    trust::{ProverIdentity, TrustConfiguration},
};
use soundproof_prover::{
    sandbox,
    supervisor::{Supervisor, SupervisorError},
};
use soundproof_seal::Recipient;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use zeroize::Zeroizing;

/// Why a keeper does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// A prover cannot be used.
    #[error(transparent)]
    Prover(#[from] SupervisorError),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was asked.
        what: &'static str,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// Memory could be written to a disk that the host owns.
    #[error("this system has swap, which a hardware platform does not allow: turn it off")]
    Swap,
    /// Nothing judges the evidence of a GPU, so nothing secret may go there.
    #[error("a hardware platform does not allow a GPU that no evidence vouches for")]
    Gpu,
    /// Two provers for one proof system.
    #[error("two provers for the proof system {0}")]
    TwoProvers(String),
}

/// What the trust configuration calls
/// [`danger_gpu_unattested`](KeeperConfig::danger_gpu_unattested).
const GPU_UNATTESTED: &str = "gpu-unattested";

/// A running keeper.
pub struct Keeper {
    instance: InstanceId,
    sessions: Sessions,
    keys: KeyPool,
    custody: Custody,
    receipt_keys: ReceiptKeys,
    quoter: Quoter,
    supervisors: Vec<Supervisor>,
    offers: Offers,
    /// With `sp1_direct` on.
    direct: Option<DirectSecret>,
    trust: TrustConfiguration,
    trust_bytes: Vec<u8>,
    trust_digest: Digest,
    tls: Mutex<Option<Digest>>,
    lifetime_s: u32,
    slots: u32,
    max_attempts: u32,
}

impl Keeper {
    /// Starts provers and the quoting thread.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn start(config: KeeperConfig) -> Result<Arc<Self>, KeeperError> {
        let system = |what| move |source| KeeperError::System { what, source };
        let swap = sandbox::swap_enabled().map_err(system("reading /proc/swaps"))?;
        let platform = config.attester.platform();
        check_swap(platform, swap)?;
        check_gpu(platform, config.danger_gpu_unattested)?;
        let mut supervisors: Vec<Supervisor> = Vec::new();
        for mut prover in config.provers {
            if let Some(required) = required_layers(platform) {
                prover.required = required;
            }
            prover.gpu = config.gpu_attested || config.danger_gpu_unattested;
            let supervisor = Supervisor::start(prover).await?;
            let name = &supervisor.info().system;
            if supervisors.iter().any(|other| other.info().system == *name) {
                return Err(KeeperError::TwoProvers(name.clone()));
            }
            supervisors.push(supervisor);
        }
        let mut danger = config.danger;
        danger.extend(
            config
                .danger_gpu_unattested
                .then(|| GPU_UNATTESTED.to_owned()),
        );
        let mut trust = trust(&supervisors, swap, config.telemetry, danger);
        trust.sp1_direct = config.sp1_direct;
        let modes = supervisors.iter().map(Supervisor::info).flat_map(|info| {
            info.modes.iter().map(|mode| ModeOffer {
                system: info.system.clone(),
                mode: mode.clone(),
            })
        });
        let offers = Offers {
            modes: modes.collect(),
            refuse_not_hiding: config.refuse_not_hiding,
        };
        let lifetime_s = config.session_lifetime_s.clamp(1, MAX_LIFETIME_S);
        let lifetime = Duration::from_secs(u64::from(lifetime_s));
        let keeper = Arc::new(Self {
            instance: InstanceId(random::bytes()),
            sessions: Sessions::new(config.max_sessions, lifetime),
            keys: KeyPool::new(config.spare_keys),
            custody: Custody::new(config.max_jobs, config.job_lifetime),
            receipt_keys: ReceiptKeys::new(config.receipt_key_lifetime),
            quoter: Quoter::start(config.attester, config.max_sessions)
                .map_err(system("starting the quoting thread"))?,
            offers,
            direct: config
                .sp1_direct
                .then(|| DirectSecret(Zeroizing::new(random::bytes()))),
            supervisors,
            trust_bytes: cbor::to_vec(&trust),
            trust_digest: trust.digest(),
            trust,
            tls: Mutex::new(None),
            lifetime_s,
            slots: config.slots.max(1),
            max_attempts: config.max_attempts.max(1),
        });
        sweep(Arc::downgrade(&keeper));
        make_keys_ahead(Arc::downgrade(&keeper));
        Ok(keeper)
    }

    /// The trust configuration that transcripts name.
    pub fn trust(&self) -> &TrustConfiguration {
        &self.trust
    }

    pub(crate) fn trust_digest(&self) -> Digest {
        self.trust_digest
    }

    pub(crate) fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    pub(crate) fn supervisor(&self, system: &str) -> Option<&Supervisor> {
        self.supervisors
            .iter()
            .find(|supervisor| supervisor.info().system == system)
    }

    /// Answers one question of the gateway's.
    pub(crate) async fn answer(&self, ask: GatewayAsks, peer: &Peer) -> Answer {
        let answer = match ask {
            GatewayAsks::Hello(tls) => {
                *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = tls;
                self.hello()
            }
            GatewayAsks::OpenSession { open, unappraised } => {
                match self.open_session(open, unappraised).await {
                    Ok(opened) => KeeperAnswers::Session(Box::new(opened)),
                    Err(refused) => KeeperAnswers::Refused(refused),
                }
            }
            GatewayAsks::Admit {
                description,
                header,
            } => {
                let admitted = admission::admit(
                    &self.sessions,
                    &self.custody,
                    &self.offers,
                    &description.0,
                    &header.0,
                    run::host_clock_ms(),
                );
                match admitted {
                    Ok(access) => KeeperAnswers::Admitted(access),
                    Err(refused) => KeeperAnswers::Refused(refused),
                }
            }
            GatewayAsks::Run {
                job,
                attempt,
                queued_us,
            } => match self.custody.get(&job) {
                Some(job) => return run::run(self, &job, attempt, queued_us, peer).await,
                None => KeeperAnswers::Refused(refusal(Code::KeyLost, None)),
            },
            GatewayAsks::Cancel(job) => match self.custody.get(&job) {
                Some(job) => {
                    job.cancel.cancel();
                    KeeperAnswers::Done
                }
                None => KeeperAnswers::Refused(refusal(Code::KeyLost, None)),
            },
            GatewayAsks::Forget(job) => {
                self.custody.forget(&job);
                KeeperAnswers::Done
            }
            GatewayAsks::Holds(jobs) => {
                let held = jobs
                    .into_iter()
                    .filter(|job| self.custody.get(job).is_some());
                KeeperAnswers::Holds(held.collect())
            }
            GatewayAsks::Status => KeeperAnswers::Status(self.status()),
            _ => KeeperAnswers::Refused(refusal(Code::RequestMalformed, None)),
        };
        Some(answer)
    }

    fn hello(&self) -> KeeperAnswers {
        KeeperAnswers::Hello {
            instance: self.instance,
            modes: self.offers.modes.clone(),
            slots: self.slots,
            direct: self.direct.clone(),
        }
    }

    /// `unappraised`: the gateway itself asks, for the direct path.
    async fn open_session(
        &self,
        open: OpenSession,
        unappraised: bool,
    ) -> Result<SessionOpened, Refusal> {
        if unappraised && self.direct.is_none() {
            let detail = "the direct path is off".into();
            return Err(refusal(Code::RequestMalformed, Some(detail)));
        }
        if open.version != PROTOCOL_VERSION {
            return Err(refusal(Code::VersionUnsupported, None));
        }
        if open.suites.len() > MAX_OFFER || open.held.len() > MAX_HELD {
            return Err(refusal(
                Code::RequestMalformed,
                Some("too long a list".into()),
            ));
        }
        let suite =
            Suite::choose(&open.suites).ok_or_else(|| refusal(Code::SuiteUnsupported, None))?;
        // Room before keys: the table is the bound on what strangers can cost.
        let room = self
            .sessions
            .reserve()
            .ok_or_else(|| refusal(Code::SessionsFull, None))?;
        let recipient = self
            .keys
            .take(suite)
            .ok_or_else(|| refusal(Code::SuiteUnsupported, None))?;
        let receipt_key = self.receipt_keys.current();
        let transcript = self.transcript(&open, suite, &recipient, receipt_key.vouched());
        let digest = transcript.digest();
        let quoted = self
            .quoter
            .quote(transcript.leaf())
            .await
            .map_err(|code| refusal(code, None))?;
        let batch = &quoted.batch;
        let held = open.held.contains(&batch.endorsements_digest);
        let opened = SessionOpened {
            transcript: cbor::to_vec(&transcript).into(),
            path: quoted.path,
            evidence: batch.evidence.clone(),
            endorsements_digest: batch.endorsements_digest,
            endorsements: (!held).then(|| batch.endorsements.clone()),
            trust: self.trust_bytes.clone().into(),
            seal_key: recipient.public_key().to_vec().into(),
            receipt_key: receipt_key.public().to_vec().into(),
        };
        room.fill(Session {
            recipient,
            transcript: digest,
            receipt_key,
            evidence: batch.evidence_digest,
            client_appraises: !unappraised,
        });
        Ok(opened)
    }

    fn transcript(
        &self,
        open: &OpenSession,
        suite: Suite,
        recipient: &Recipient,
        receipt: VouchedKey,
    ) -> Transcript {
        let seal = VouchedKey {
            purpose: KeyPurpose::Seal,
            algorithm: suite.into(),
            digest: Digest::of(recipient.public_key()),
        };
        let tls = *self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let tls = tls.map(|digest| VouchedKey {
            purpose: KeyPurpose::Tls,
            algorithm: KeyAlgorithm::Spki,
            digest,
        });
        Transcript {
            version: PROTOCOL_VERSION,
            role: Role::Keeper,
            nonce: open.nonce,
            offered: open.suites.clone(),
            suite,
            session: SessionId(random::bytes()),
            lifetime_s: self.lifetime_s,
            keys: [Some(seal), Some(receipt), tls]
                .into_iter()
                .flatten()
                .collect(),
            trust: self.trust_digest,
            instance: self.instance,
        }
    }

    fn status(&self) -> KeeperStatus {
        let (sessions, room) = self.sessions.count();
        let stages = self.supervisors.iter().flat_map(Supervisor::status);
        let processes: usize = stages
            .map(|stage| stage.idle + stage.loaded + stage.busy)
            .sum();
        KeeperStatus {
            sessions: sessions as u64,
            session_room: room as u64,
            jobs: self.custody.count() as u64,
            quotes: self.quoter.quotes(),
            quote_us: self.quoter.busy_us(),
            provers: processes as u64,
            ready: !self.supervisors.is_empty() && processes > 0,
        }
    }
}

/// Hardware protects memory, not what is paged out of it.
fn check_swap(platform: Platform, swap: bool) -> Result<(), KeeperError> {
    if swap && !platform.is_software() {
        return Err(KeeperError::Swap);
    }
    Ok(())
}

/// A witness would leave what the evidence is about.
fn check_gpu(platform: Platform, allowed: bool) -> Result<(), KeeperError> {
    if allowed && !platform.is_software() {
        return Err(KeeperError::Gpu);
    }
    Ok(())
}

/// Layers of the sandbox without which a prover is not started.
fn required_layers(platform: Platform) -> Option<sandbox::SandboxLevel> {
    (!platform.is_software()).then(sandbox::SandboxLevel::full)
}

fn trust(
    supervisors: &[Supervisor],
    swap: bool,
    mut telemetry: Vec<String>,
    mut danger: Vec<String>,
) -> TrustConfiguration {
    let mut provers: Vec<ProverIdentity> = supervisors
        .iter()
        .map(|supervisor| ProverIdentity {
            system: supervisor.info().system.clone(),
            executable: supervisor.info().executable,
            version: supervisor.info().version.clone(),
        })
        .collect();
    provers.sort_by(|a, b| (&a.system, a.executable).cmp(&(&b.system, b.executable)));
    // What holds in every process of every prover.
    let sandbox = supervisors
        .iter()
        .map(|supervisor| supervisor.info().sandbox.clone())
        .reduce(|all, one| all.common(&one))
        .unwrap_or_default();
    telemetry.sort();
    danger.sort();
    TrustConfiguration {
        version: PROTOCOL_VERSION,
        provers,
        sandbox: sandbox.names(),
        delegation: None,
        durable_scope: None,
        gpu: supervisors
            .iter()
            .any(|supervisor| supervisor.info().stages.iter().any(|stage| stage.gpu)),
        telemetry,
        danger,
        swap,
        sp1_direct: false,
    }
}

/// Wipes what is over, every few seconds, while the keeper lives.
fn sweep(keeper: std::sync::Weak<Keeper>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let Some(keeper) = keeper.upgrade() else {
                return;
            };
            keeper.sessions.sweep();
            keeper.custody.sweep();
        }
    });
}

/// Fills the pool of keys, on a thread where it delays nobody's task.
fn make_keys_ahead(keeper: std::sync::Weak<Keeper>) {
    tokio::spawn(async move {
        loop {
            let Some(now) = keeper.upgrade() else { return };
            let more = tokio::task::spawn_blocking(move || now.keys.refill()).await;
            let pause = if more.unwrap_or(false) { 10 } else { 250 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    });
}

#[cfg(test)]
mod tests;
