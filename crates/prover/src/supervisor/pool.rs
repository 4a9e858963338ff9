//! The processes of one stage, and how a program gets into them.

use std::sync::{Arc, Mutex, PoisonError};

use soundproof_protocol::description::ProgramPart;
use soundproof_protocol::error::{Code, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{ProverConfig, StageConfig};
use super::launcher::Launcher;
use super::load::{LoadError, Loader};
use super::parts::{Cache, PartProvider};
use super::process::Process;
use super::{StageStatus, SupervisorError};
use crate::child::Start;
use crate::sandbox::SandboxLevel;
use crate::wire::{Hello, StageInfo};

/// Processes that a job tries before it gives up, when they die while loading:
/// nothing of the job is in them yet.
const ATTEMPTS: usize = 3;

/// A program, as one stage sees it: those of its parts that the stage uses.
pub(super) type StageProgram = Vec<ProgramPart>;

/// The processes of one stage.
pub(super) struct Pool {
    pub(super) stage: StageInfo,
    pub(super) config: StageConfig,
    launcher: Arc<Launcher>,
    loader: Loader,
    stop: CancellationToken,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    refilling: tokio::sync::Mutex<()>,
    sandbox: SandboxLevel,
    required: Mutex<SandboxLevel>,
    system: String,
    version: String,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    /// By program; the most recently used last.
    loaded: Vec<(StageProgram, Vec<Process>)>,
}

/// A process that is a job's until this is dropped or [`keep`](Self::keep)t.
pub(super) struct Lease {
    pub(super) process: Process,
    pub(super) pool: Arc<Pool>,
}

impl Pool {
    /// Starts the first process, to learn what it reaches.
    pub(super) async fn start(
        stage: StageInfo,
        config: StageConfig,
        prover: &ProverConfig,
        hello: &Hello,
        launcher: &Arc<Launcher>,
        cache: &Arc<Cache>,
        stop: &CancellationToken,
    ) -> Result<Self, SupervisorError> {
        let mut pool = Self {
            permits: Arc::new(Semaphore::new(config.jobs.min(Semaphore::MAX_PERMITS))),
            loader: Loader {
                stage: stage.clone(),
                cache: cache.clone(),
                max_part_bytes: prover.max_part_bytes,
                load_time: prover.load_time,
                idle_time: prover.idle_time,
            },
            stage,
            config,
            launcher: launcher.clone(),
            stop: stop.clone(),
            state: Mutex::default(),
            refilling: tokio::sync::Mutex::default(),
            sandbox: SandboxLevel::default(),
            required: Mutex::default(),
            system: hello.system.clone(),
            version: hello.version.clone(),
        };
        let first = pool.launch().await?;
        pool.sandbox = first.hello.sandbox.clone();
        pool.lock().idle.push(first);
        Ok(pool)
    }

    /// The layers that the first process reached.
    pub(super) fn sandbox(&self) -> &SandboxLevel {
        &self.sandbox
    }

    /// Refuses every later process that reaches less.
    pub(super) fn hold_to(&self, level: &SandboxLevel) {
        *self.required.lock().unwrap_or_else(PoisonError::into_inner) = level.clone();
    }

    /// Those of a job's parts that this stage uses.
    pub(super) fn program(&self, parts: &[ProgramPart]) -> StageProgram {
        parts
            .iter()
            .filter(|part| self.stage.parts.contains(&part.role))
            .cloned()
            .collect()
    }

    /// Waits for a free place, and takes a process with the program loaded.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        program: &StageProgram,
        provider: &dyn PartProvider,
        tracker: &TaskTracker,
    ) -> Result<Lease, Failure> {
        let permit = self
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Failure::new(Code::ShuttingDown, ""))?;
        let mut place = Some(permit);
        let mut failure = Failure::new(Code::ProverUnavailable, "");
        for _ in 0..ATTEMPTS {
            let (mut process, loaded) = match self.take(program) {
                Some(taken) => taken,
                None => match self.launch().await {
                    Ok(process) => (process, false),
                    Err(e) => {
                        tracing::warn!(stage = self.stage.name, error = %e, "a prover process did not start");
                        failure = Failure::new(Code::ProverUnavailable, "");
                        continue;
                    }
                },
            };
            process.tracker = tracker.clone();
            process.permit = place.take();
            if loaded {
                return Ok(Lease {
                    process,
                    pool: self.clone(),
                });
            }
            match self.loader.load(&mut process, program, provider).await {
                Ok(()) => {
                    return Ok(Lease {
                        process,
                        pool: self.clone(),
                    });
                }
                Err(LoadError::Failed { failure, usable }) => {
                    if usable {
                        Lease {
                            process,
                            pool: self.clone(),
                        }
                        .keep();
                    }
                    return Err(failure);
                }
                Err(LoadError::Died) => {
                    failure = Failure::new(Code::ProverDied, "");
                    place = process.permit.take();
                }
            }
        }
        Err(failure)
    }

    /// Starts processes ahead, in the background: blank ones, and some with
    /// `program` loaded.
    pub(super) fn refill(self: &Arc<Self>, program: Option<(StageProgram, Arc<dyn PartProvider>)>) {
        let pool = self.clone();
        let stop = self.stop.clone();
        self.launcher.tasks().spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                result = pool.refill_now(program) => if let Err(e) = result {
                    tracing::warn!(stage = pool.stage.name, error = %e, "no process was started ahead");
                }
            }
        });
    }

    /// Kills every process that is not at work.
    pub(super) fn clear(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn status(&self) -> StageStatus {
        let state = self.lock();
        StageStatus {
            name: self.stage.name.clone(),
            idle: state.idle.len(),
            loaded: state
                .loaded
                .iter()
                .map(|(_, processes)| processes.len())
                .sum(),
            busy: self
                .config
                .jobs
                .saturating_sub(self.permits.available_permits()),
        }
    }

    async fn refill_now(
        &self,
        program: Option<(StageProgram, Arc<dyn PartProvider>)>,
    ) -> Result<(), SupervisorError> {
        let _one_at_a_time = self.refilling.lock().await;
        if !self.stage.runs_program {
            while self.lock().alive_idle() < self.permits.available_permits() {
                let process = self.launch().await?;
                self.give_back(process);
            }
            return Ok(());
        }
        if let Some((program, provider)) = program {
            while self.lock().alive_loaded(&program) < self.config.spare_loaded {
                let blank = self.lock().take_idle();
                let mut process = match blank {
                    Some(process) => process,
                    None => self.launch().await?,
                };
                if self
                    .loader
                    .load(&mut process, &program, provider.as_ref())
                    .await
                    .is_err()
                {
                    break; // the next job with this program will say why
                }
                self.lock()
                    .put_loaded(&program, process, self.config.programs);
            }
        }
        while self.lock().alive_idle() < self.config.spare {
            let process = self.launch().await?;
            self.give_back(process);
        }
        Ok(())
    }

    fn give_back(&self, process: Process) {
        if !self.stop.is_cancelled() {
            self.lock().idle.push(process);
        }
    }

    /// A process that is alive, best with `program` loaded.
    fn take(&self, program: &StageProgram) -> Option<(Process, bool)> {
        let mut state = self.lock();
        if let Some(process) = state.take_loaded(program) {
            return Some((process, true));
        }
        state.take_idle().map(|process| (process, false))
    }

    async fn launch(&self) -> Result<Process, SupervisorError> {
        // All threads for all the time that a job may take, and time to load.
        let cpu = self.stage.runs_program.then(|| {
            (self.config.time + self.loader.load_time)
                .as_secs()
                .saturating_add(1)
                .saturating_mul(self.config.threads)
        });
        let folder_bytes = self.config.folders(&self.stage);
        let start = Start {
            cpu_seconds: cpu,
            ..self
                .config
                .start(&self.stage.name, folder_bytes, self.stage.gpu)
        };
        let process = self.launcher.launch(start).await?;
        let hello = &process.hello;
        if hello.system != self.system || hello.version != self.version {
            return Err(SupervisorError::Hello(
                "another system or version than its first process",
            ));
        }
        let missing = hello
            .sandbox
            .missing(&self.required.lock().unwrap_or_else(PoisonError::into_inner));
        if missing.is_empty() {
            Ok(process)
        } else {
            Err(SupervisorError::Sandbox(missing))
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_idle(&mut self) -> Option<Process> {
        std::iter::from_fn(|| self.idle.pop())
            .find_map(|mut process| process.is_alive().then_some(process))
    }

    fn take_loaded(&mut self, program: &StageProgram) -> Option<Process> {
        let at = self.loaded.iter().position(|(p, _)| p == program)?;
        let mut entry = self.loaded.remove(at);
        let process = std::iter::from_fn(|| entry.1.pop())
            .find_map(|mut process| process.is_alive().then_some(process));
        self.loaded.push(entry);
        process
    }

    fn put_loaded(&mut self, program: &StageProgram, process: Process, programs: usize) {
        match self.loaded.iter().position(|(p, _)| p == program) {
            Some(at) => {
                let mut entry = self.loaded.remove(at);
                entry.1.push(process);
                self.loaded.push(entry);
            }
            None => self.loaded.push((program.clone(), vec![process])),
        }
        while self.loaded.len() > programs {
            self.loaded.remove(0);
        }
    }

    fn alive_idle(&mut self) -> usize {
        self.idle.retain_mut(Process::is_alive);
        self.idle.len()
    }

    fn alive_loaded(&mut self, program: &StageProgram) -> usize {
        self.loaded
            .iter_mut()
            .find(|(p, _)| p == program)
            .map_or(0, |(_, processes)| {
                processes.retain_mut(Process::is_alive);
                processes.len()
            })
    }
}

impl Lease {
    /// The process has done its job well, or refused it well. It stays, unless
    /// it may have run a program's code.
    pub(super) fn keep(self) {
        let Self { mut process, pool } = self;
        if !pool.stage.runs_program {
            let permit: Option<OwnedSemaphorePermit> = process.permit.take();
            pool.give_back(process);
            drop(permit);
        }
    }
}
