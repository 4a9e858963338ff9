//! What the operator sets. Which executable, and which layers of the sandbox,
//! decide who may see a secret and belong into the trust configuration; sizes
//! and times do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use soundproof_protocol::description::Limits;
use soundproof_protocol::digest::Digest;

use super::SupervisorError;
use crate::sandbox::SandboxLevel;
use crate::wire::StageInfo;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// How to run one prover executable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProverConfig {
    /// Its file. Read once.
    pub executable: PathBuf,
    /// What its SHA-256 must be; none: whatever it is, which is then reported.
    pub digest: Option<Digest>,
    /// Layers without which the supervisor does not start.
    pub required: SandboxLevel,
    /// First of `users` user ids (and group ids) that nothing else on the
    /// machine uses, for processes started as root.
    pub first_user: Option<u32>,
    /// How many user ids there are: more than processes at any time.
    pub users: u32,
    /// Bytes of memory that all processes at work may use together.
    pub memory_bytes: u64,
    /// For stages that `stages` does not name.
    pub default_stage: StageConfig,
    /// By stage.
    pub stages: BTreeMap<String, StageConfig>,
    /// Bytes of program parts, and of what was derived from them, that are kept.
    pub cache_bytes: u64,
    /// Bytes of a program part, at most.
    pub max_part_bytes: u64,
    /// Bytes of an input, or of what one stage hands to the next, at most.
    pub max_input_bytes: u64,
    /// Bytes of a proof and of public values, each, at most.
    pub max_output_bytes: u64,
    /// Time from a process's start to its hello.
    pub hello_time: Duration,
    /// Time for loading a program, once its parts are here.
    pub load_time: Duration,
    /// Time for one read or write that waits for neither computation nor a free
    /// process: a chunk of input from the caller, a chunk into a process.
    pub idle_time: Duration,
}

/// How to run one stage.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StageConfig {
    /// Jobs at the same time, each in a process of its own.
    pub jobs: usize,
    /// Bytes of memory of each process.
    pub memory_bytes: u64,
    /// Time for one job, at most and by default.
    pub time: Duration,
    /// Threads of each process.
    pub threads: u64,
    /// Blank processes to start ahead. Only where a process serves one job.
    pub spare: usize,
    /// Processes to start ahead for each recently used program. Likewise.
    pub spare_loaded: usize,
    /// How many programs are recently used. Likewise.
    pub programs: usize,
}

impl ProverConfig {
    /// With defaults that fit a machine with 8 GiB to spare.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            digest: None,
            required: SandboxLevel::default(),
            first_user: Some(64_000),
            users: 512,
            memory_bytes: 12 * GIB,
            default_stage: StageConfig::default(),
            stages: BTreeMap::new(),
            cache_bytes: 256 * MIB,
            max_part_bytes: 8 * GIB,
            max_input_bytes: GIB,
            max_output_bytes: 64 * MIB,
            hello_time: Duration::from_secs(20),
            load_time: Duration::from_secs(600),
            idle_time: Duration::from_secs(60),
        }
    }

    pub(super) fn stage(&self, name: &str) -> StageConfig {
        self.stages.get(name).unwrap_or(&self.default_stage).clone()
    }

    pub(super) fn check(&self) -> Result<(), SupervisorError> {
        let rule = |holds, text| {
            if holds {
                Ok(())
            } else {
                Err(SupervisorError::Config(text))
            }
        };
        for stage in self.stages.values().chain([&self.default_stage]) {
            rule(stage.jobs > 0, "a stage must do at least one job at a time")?;
            rule(
                stage.memory_bytes >= 16 * MIB,
                "a process needs at least 16 MiB",
            )?;
            rule(stage.threads > 0, "a process needs a thread")?;
            rule(!stage.time.is_zero(), "a job needs time")?;
        }
        rule(
            self.first_user
                .is_none_or(|first| first > 0 && first.checked_add(self.users).is_some()),
            "user ids must be above 0 and below 2^32",
        )
    }

    /// Every job at work in every stage, each using all it may: that must fit.
    pub(super) fn check_stages(&self, stages: &[StageInfo]) -> Result<(), SupervisorError> {
        let sum = stages.iter().try_fold(0u64, |sum, info| {
            let stage = self.stage(&info.name);
            sum.checked_add(
                stage
                    .memory_bytes
                    .checked_mul(u64::try_from(stage.jobs).ok()?)?,
            )
        });
        match sum {
            Some(sum) if sum <= self.memory_bytes => Ok(()),
            _ => Err(SupervisorError::Config(
                "the stages' processes may use more memory together than there is",
            )),
        }
    }

    pub(super) fn job_limits(&self) -> JobLimits {
        JobLimits {
            max_input_bytes: self.max_input_bytes,
            max_output_bytes: self.max_output_bytes,
            idle_time: self.idle_time,
        }
    }
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            jobs: 1,
            memory_bytes: 4 * GIB,
            time: Duration::from_secs(600),
            threads: 64,
            spare: 1,
            spare_loaded: 2,
            programs: 4,
        }
    }
}

impl StageConfig {
    /// What a job may use here, no more than it asked for.
    pub(super) fn limits(&self, asked: &Limits) -> Limits {
        let least = |asked: u64, most: u64| if asked == 0 { most } else { asked.min(most) };
        Limits {
            memory_bytes: least(asked.memory_bytes, self.memory_bytes),
            time_ms: least(
                asked.time_ms,
                u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
            ),
            cycles: asked.cycles,
            gas: asked.gas,
        }
    }
}

/// What every stage of a job has in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobLimits {
    pub(super) max_input_bytes: u64,
    pub(super) max_output_bytes: u64,
    pub(super) idle_time: Duration,
}
