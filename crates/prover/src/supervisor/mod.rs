//! The keeper's side: starts prover processes, feeds them, ends them.
//!
//! A [`Supervisor`] looks after one executable. It copies the file into a
//! sealed memory file while it hashes it, and only ever runs that copy. From a
//! first process it learns which stages there are; then it keeps for each stage
//!
//! * if the stage runs code that comes with jobs: processes that were started
//!   ahead and said hello, some blank and some with a recently used program
//!   loaded. A process serves one job and is killed, whatever it says;
//! * if not: processes that stay, one job at a time each, restarted when they die.
//!
//! A job passes the stages in order. What one stage makes is handed on to the
//! next as it comes, and is never whole in this process. Whatever happens to a
//! job happens to that job: a process that dies, lies, stalls or floods is
//! killed, and its job fails with a code.
//!
//! Everything that a process says is untrusted: every length has a bound, every
//! wait a time limit.

mod child;
mod config;
mod executable;
mod job;
mod launcher;
mod link;
mod load;
mod parts;
mod pool;
mod process;

use std::collections::BTreeSet;
use std::sync::Arc;

use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::Failure;
use soundproof_protocol::mode::ModeInfo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sandbox::SandboxLevel;
use crate::wire::{Hello, PROTOCOL, StageInfo};

pub use config::{ProverConfig, StageConfig};
pub use job::{InputStream, JobRequest, JobResult};
pub use parts::{PartProvider, PartStream};

use executable::Executable;
use launcher::Launcher;
use parts::Cache;
use pool::Pool;

/// Most stages that an executable may have.
const MAX_STAGES: usize = 8;
/// Most modes that it may offer, and roles that a stage may name.
const MAX_NAMES: usize = 16;

/// Why a prover cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The executable cannot be read or copied.
    #[error("the prover's executable cannot be used: {0}")]
    Executable(#[source] std::io::Error),
    /// It is not the executable that was expected.
    #[error("the prover's executable is {found}, not {expected}")]
    Digest {
        /// What the configuration names.
        expected: Digest,
        /// What the file is.
        found: Digest,
    },
    /// No process could be started, or it did not say hello.
    #[error("the prover did not start: {0}")]
    Start(String),
    /// Its hello makes no sense.
    #[error("the prover introduced itself wrongly: {0}")]
    Hello(&'static str),
    /// The sandbox lacks layers that the configuration requires.
    #[error("the prover's sandbox lacks: {0}")]
    Sandbox(SandboxLevel),
    /// It would put secrets on a GPU, and may not.
    #[error("the prover puts secrets on a GPU, which is not allowed here")]
    Gpu,
    /// The configuration contradicts itself.
    #[error("configuration of the prover: {0}")]
    Config(&'static str),
}

/// What is known of a prover.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProverInfo {
    /// The proof system.
    pub system: String,
    /// Name and version.
    pub version: String,
    /// SHA-256 of the executable that runs.
    pub executable: Digest,
    /// Modes in which it can prove. One that needs more memory than a job has here
    /// is not offered.
    pub modes: Vec<ModeInfo>,
    /// Its stages, in order.
    pub stages: Vec<StageInfo>,
    /// The layers that hold in every one of its processes, now and later: a
    /// process that reached less is not used.
    pub sandbox: SandboxLevel,
}

/// How many processes a stage has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageStatus {
    /// The stage.
    pub name: String,
    /// Started ahead, with no program loaded (or, where processes stay, idle).
    pub idle: usize,
    /// Started ahead with a program loaded.
    pub loaded: usize,
    /// At work.
    pub busy: usize,
}

/// Looks after one prover executable.
pub struct Supervisor {
    info: ProverInfo,
    limits: config::JobLimits,
    pools: Vec<Arc<Pool>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Supervisor {
    /// Reads and checks the executable, learns what it can do, and starts its
    /// processes. Must be called in a tokio runtime; the processes die with the
    /// supervisor.
    ///
    /// # Errors
    /// [`SupervisorError`]; nothing keeps running then.
    pub async fn start(config: ProverConfig) -> Result<Self, SupervisorError> {
        config.check()?;
        let executable = Executable::load(&config.executable, config.digest).await?;
        let digest = executable.digest();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let tasks = TaskTracker::new();
        let launcher = Arc::new(Launcher::start(executable, &config, tasks.clone())?);

        let hello = launcher.describe(&config.default_stage).await?;
        check_hello(&hello)?;
        if !config.gpu && hello.stages.iter().any(|stage| stage.gpu) {
            return Err(SupervisorError::Gpu);
        }
        config.check_stages(&hello.stages)?;
        let cache = Arc::new(Cache::new(config.cache_bytes));
        let mut pools = Vec::with_capacity(hello.stages.len());
        let mut sandbox = hello.sandbox.clone();
        for stage in &hello.stages {
            let limits = config.stage(&stage.name);
            let pool = Pool::start(
                stage.clone(),
                limits,
                &config,
                &hello,
                &launcher,
                &cache,
                &stop,
            )
            .await?;
            sandbox = sandbox.common(pool.sandbox());
            pools.push(Arc::new(pool));
        }
        let missing = sandbox.missing(&config.required);
        if !missing.is_empty() {
            return Err(SupervisorError::Sandbox(missing));
        }
        for pool in &pools {
            pool.hold_to(&sandbox);
            pool.refill(None);
        }
        let info = ProverInfo {
            system: hello.system,
            version: hello.version,
            executable: digest,
            modes: config.offer(&hello.stages, hello.modes),
            stages: hello.stages,
            sandbox,
        };
        let stop = guard.disarm();
        Ok(Self {
            info,
            limits: config.job_limits(),
            pools,
            stop,
            tasks,
        })
    }

    /// What this prover is and can do.
    #[must_use]
    pub fn info(&self) -> &ProverInfo {
        &self.info
    }

    /// How many processes there are, by stage.
    #[must_use]
    pub fn status(&self) -> Vec<StageStatus> {
        self.pools.iter().map(|pool| pool.status()).collect()
    }

    /// Does one job. When this returns, however it does, no process that ran
    /// the job's program is alive any more. To be polled to its end: dropped
    /// before, it kills likewise, but nobody waits for it.
    ///
    /// # Errors
    /// A [`Failure`] with a stable code, and a detail for the client only.
    pub async fn run(&self, request: JobRequest) -> Result<JobResult, Failure> {
        job::run(&self.info, &self.limits, &self.pools, request).await
    }

    /// Kills every process and waits until they are gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for pool in &self.pools {
            pool.clear();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
        for pool in &self.pools {
            pool.clear();
        }
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn check_hello(hello: &Hello) -> Result<(), SupervisorError> {
    let rule = |holds, text| {
        if holds {
            Ok(())
        } else {
            Err(SupervisorError::Hello(text))
        }
    };
    let name = |text: &String| (1..=32).contains(&text.len());
    rule(
        hello.protocol == PROTOCOL,
        "another version of the protocol",
    )?;
    rule(
        name(&hello.system) && (1..=128).contains(&hello.version.len()),
        "name or version",
    )?;
    rule(
        (1..=MAX_STAGES).contains(&hello.stages.len()),
        "number of stages",
    )?;
    rule(
        (1..=MAX_NAMES).contains(&hello.modes.len())
            && hello.modes.iter().all(ModeInfo::is_well_formed),
        "modes",
    )?;
    let names: BTreeSet<_> = hello.stages.iter().map(|stage| &stage.name).collect();
    rule(
        names.len() == hello.stages.len() && names.into_iter().all(name),
        "names of stages",
    )?;
    rule(
        hello.stages.iter().all(|stage| {
            (1..=MAX_NAMES).contains(&stage.parts.len()) && stage.parts.iter().all(name)
        }),
        "program parts of a stage",
    )?;
    rule(
        hello
            .stages
            .iter()
            .all(|stage| stage.folder_bytes > 0 || !stage.gpu),
        "a GPU for a stage without folders",
    )
}
