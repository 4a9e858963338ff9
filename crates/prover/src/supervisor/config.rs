//! What the operator sets. Which executable, and which layers of the sandbox,
//! decide who may see a secret and belong into the trust configuration; sizes
//! and times do not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use soundproof_protocol::description::Limits;
use soundproof_protocol::digest::Digest;
use soundproof_protocol::mode::ModeInfo;

use super::SupervisorError;
use crate::child::Start;
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
    /// Whether a stage may put secrets on a GPU. Trust configuration: nothing
    /// that this project judges vouches for a GPU.
    pub gpu: bool,
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
    /// Bytes of memory of each process; where it has folders or starts programs,
    /// of all of that together.
    pub memory_bytes: u64,
    /// Bytes of the folders of each process, among its memory; none: as many as
    /// the prover says. Without effect on a stage that needs no folders.
    pub folder_bytes: Option<u64>,
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
            gpu: false,
            first_user: Some(64_000),
            users: 512,
            memory_bytes: 12 * GIB,
            default_stage: StageConfig::default(),
            stages: BTreeMap::new(),
            cache_bytes: 256 * MIB,
            max_part_bytes: 8 * GIB,
            max_input_bytes: GIB,
            max_output_bytes: 256 * MIB,
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
        let fits = |info: &StageInfo| {
            let stage = self.stage(&info.name);
            info.folder_bytes == 0 || (1..stage.memory_bytes).contains(&stage.folders(info))
        };
        if !stages.iter().all(fits) {
            return Err(SupervisorError::Config(
                "a stage's folders must be smaller than the memory of its processes",
            ));
        }
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

    /// The modes, those taken out for which a job has too little memory here.
    pub(super) fn offer(&self, stages: &[StageInfo], mut modes: Vec<ModeInfo>) -> Vec<ModeInfo> {
        let given = stages.iter().fold(0u64, |sum, info| {
            sum.saturating_add(self.stage(&info.name).memory_bytes)
        });
        for mode in modes.iter_mut().filter(|mode| mode.offered()) {
            if mode.memory_bytes > given {
                let (needs, gives) = (mode.memory_bytes.div_ceil(GIB), given / GIB);
                mode.unavailable = Some(format!(
                    "needs {needs} GiB of memory for one job; this server gives {gives} GiB"
                ));
            }
        }
        modes
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
            folder_bytes: None,
            time: Duration::from_secs(600),
            threads: 64,
            spare: 1,
            spare_loaded: 2,
            programs: 4,
        }
    }
}

impl StageConfig {
    /// Bytes of folders for a process of this stage.
    pub(super) fn folders(&self, stage: &StageInfo) -> u64 {
        match stage.folder_bytes {
            0 => 0,
            asked => self.folder_bytes.unwrap_or(asked),
        }
    }

    /// What a process is told. Parent and user are the launcher's to say.
    pub(super) fn start(&self, stage: &str, folder_bytes: u64, gpu: bool) -> Start {
        Start {
            stage: stage.to_owned(),
            parent: 0,
            user: None,
            memory_bytes: self.memory_bytes,
            threads: self.threads,
            cpu_seconds: None,
            folder_bytes,
            gpu,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, folder_bytes: u64) -> StageInfo {
        StageInfo {
            name: name.into(),
            runs_program: true,
            parts: vec!["elf".into()],
            folder_bytes,
            gpu: false,
        }
    }

    fn mode(name: &str, gib: u64, unavailable: Option<&str>) -> ModeInfo {
        ModeInfo {
            memory_bytes: gib * GIB,
            unavailable: unavailable.map(Into::into),
            ..ModeInfo::hiding(name)
        }
    }

    #[test]
    fn a_mode_that_needs_more_memory_than_a_job_has_is_not_offered() {
        let mut config = ProverConfig::new("/prover");
        config.default_stage.memory_bytes = 4 * GIB;
        let stages = [stage("a", 0), stage("b", 0)];
        let modes = vec![
            mode("small", 8, None),
            mode("large", 9, None),
            mode("absent", 9, Some("no wrapper")),
        ];
        let said: Vec<_> = config
            .offer(&stages, modes)
            .into_iter()
            .map(|mode| mode.unavailable)
            .collect();
        let large = "needs 9 GiB of memory for one job; this server gives 8 GiB";
        assert_eq!(
            said,
            [None, Some(large.to_owned()), Some("no wrapper".to_owned())]
        );
    }

    #[test]
    fn folders_are_part_of_a_stages_memory() {
        let mut config = ProverConfig::new("/prover");
        config.default_stage.memory_bytes = 4 * GIB;
        let check = |config: &ProverConfig, bytes| config.check_stages(&[stage("a", bytes)]);
        check(&config, 0).unwrap();
        check(&config, 4 * GIB - 1).unwrap();
        assert!(check(&config, 4 * GIB).is_err());
        config.default_stage.folder_bytes = Some(GIB);
        check(&config, 4 * GIB).unwrap();
        assert_eq!(config.default_stage.folders(&stage("a", 5)), GIB);
        assert_eq!(config.default_stage.folders(&stage("a", 0)), 0);
        for refused in [0, 4 * GIB, u64::MAX] {
            config.default_stage.folder_bytes = Some(refused);
            assert!(check(&config, GIB).is_err());
            check(&config, 0).unwrap();
        }
    }
}
