//! Which prover executables run, and with how much of the machine. A system
//! may have one executable for any CPU and one for CPUs with AVX-512: only the
//! one that is chosen here is measured, started and attested.

use crate::Error;
use serde::Deserialize;
use soundproof_protocol::digest::{Digest, Hasher};
use soundproof_prover::supervisor::ProverConfig;
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

const GIB: u64 = 1 << 30;
/// What of the machine's memory is not given to SP1: the keeper, the gateway,
/// other provers and the system.
const SP1_LEAVES: u64 = 3 * GIB;
/// More than any mode of SP1 needs for one job.
const SP1_MOST: u64 = 64 * GIB;
const SP1: &str = "sp1";

/// `[prover.SYSTEM]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProverOptions {
    /// The executable for any CPU.
    pub(crate) executable: Option<PathBuf>,
    /// The one for CPUs with AVX-512, used instead where there is one.
    pub(crate) executable_avx512: Option<PathBuf>,
    /// Bytes of memory that all its processes at work may use together.
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes of one input at most.
    pub(crate) max_input_bytes: Option<u64>,
    /// Bytes of one proof at most.
    pub(crate) max_output_bytes: Option<u64>,
    /// Bytes of a process's private folders, among its memory.
    pub(crate) folder_bytes: Option<u64>,
    /// Seconds that one job may take.
    pub(crate) time_s: Option<u64>,
    /// Jobs at once in each of its stages.
    pub(crate) jobs: Option<usize>,
    /// Blank processes that are started ahead, where a process serves one job.
    pub(crate) spare: Option<usize>,
    /// First of the user ids that its processes run as, when started as root.
    pub(crate) first_user: Option<u32>,
}

/// An executable as a flag names it: `SYSTEM=FILE`, or `SYSTEM+avx512=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    system: String,
    avx512: bool,
    executable: PathBuf,
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .ok_or("SYSTEM=FILE, such as groth16=./prover")?;
        let (system, avx512) = match name.split_once('+') {
            None => (name, false),
            Some((system, "avx512")) => (system, true),
            Some((_, level)) => return Err(format!("{level} is no CPU level; avx512 is one")),
        };
        if system.is_empty() || path.is_empty() {
            return Err("SYSTEM=FILE, such as groth16=./prover".into());
        }
        Ok(Self {
            system: system.into(),
            avx512,
            executable: path.into(),
        })
    }
}

/// Lays flags over the file: they say which executables there are; what else
/// the file says of their systems stays.
pub(crate) fn lay_over(
    file: &BTreeMap<String, ProverOptions>,
    flags: Vec<Named>,
) -> BTreeMap<String, ProverOptions> {
    let mut provers: BTreeMap<String, ProverOptions> = BTreeMap::new();
    for named in flags {
        let prover = provers.entry(named.system).or_insert_with_key(|system| {
            let settings = file.get(system).cloned().unwrap_or_default();
            ProverOptions {
                executable: None,
                executable_avx512: None,
                ..settings
            }
        });
        // The last of an option given twice counts.
        if named.avx512 {
            prover.executable_avx512 = Some(named.executable);
        } else {
            prover.executable = Some(named.executable);
        }
    }
    provers
}

/// How to run each of them on this machine.
///
/// # Errors
/// No executable for this CPU, or one that cannot be read.
pub(crate) fn configure(
    provers: &BTreeMap<String, ProverOptions>,
) -> Result<Vec<(String, ProverConfig)>, Error> {
    let machine = Machine::this();
    let mut configured = Vec::with_capacity(provers.len());
    for (system, options) in provers {
        let (executable, level) = options.choose(machine.avx512).ok_or_else(|| {
            format!("prover for {system}: no executable for this CPU; give --prover {system}=FILE")
        })?;
        tracing::info!(system, level, executable = %executable.display(), "prover");
        let mut config = options.config(system, executable, &machine);
        // What is measured is what runs.
        config.digest = Some(digest_of(executable)?);
        if options.first_user.is_none() {
            // No two systems' processes share a user.
            let before = u32::try_from(configured.len()).unwrap_or(u32::MAX);
            let skip = before.saturating_mul(config.users);
            config.first_user = config.first_user.map(|first| first.saturating_add(skip));
        }
        configured.push((system.clone(), config));
    }
    Ok(configured)
}

impl ProverOptions {
    /// The executable for this CPU, and its level's name.
    fn choose(&self, avx512: bool) -> Option<(&Path, &'static str)> {
        match (&self.executable_avx512, &self.executable) {
            (Some(path), _) if avx512 => Some((path, "avx512")),
            (_, Some(path)) => Some((path, "baseline")),
            _ => None,
        }
    }

    fn config(&self, system: &str, executable: &Path, machine: &Machine) -> ProverConfig {
        let mut config = ProverConfig::new(executable);
        let stage = &mut config.default_stage;
        stage.jobs = self.jobs.unwrap_or(stage.jobs);
        if system == SP1 {
            // One job has all the memory there is to have; a process that
            // waits for one holds little, and gigabytes once it proves.
            let most = machine.memory.saturating_sub(SP1_LEAVES);
            config.memory_bytes = self.memory_bytes.unwrap_or(most.clamp(GIB, SP1_MOST));
            let jobs = u64::try_from(stage.jobs.max(1)).unwrap_or(u64::MAX);
            stage.memory_bytes = config.memory_bytes / jobs;
            stage.time = Duration::from_secs(4 * 3600);
            stage.threads = 512;
            stage.spare = 1;
            stage.spare_loaded = 1;
            stage.programs = 1;
        }
        let stage = &mut config.default_stage;
        stage.folder_bytes = self.folder_bytes.or(stage.folder_bytes);
        stage.time = self.time_s.map_or(stage.time, Duration::from_secs);
        stage.spare = self.spare.unwrap_or(stage.spare);
        config.memory_bytes = self.memory_bytes.unwrap_or(config.memory_bytes);
        config.max_input_bytes = self.max_input_bytes.unwrap_or(config.max_input_bytes);
        config.max_output_bytes = self.max_output_bytes.unwrap_or(config.max_output_bytes);
        config.first_user = self.first_user.or(config.first_user);
        config
    }
}

/// What of this machine matters here.
struct Machine {
    /// Bytes of memory that this process and its children may have.
    memory: u64,
    avx512: bool,
}

impl Machine {
    fn this() -> Self {
        let total = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| mem_total(&text));
        // Of version 2, seen from inside the group; `max` is no number.
        let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let memory = [total, group].into_iter().flatten().min();
        Self {
            memory: memory.unwrap_or(8 * GIB),
            avx512: has_avx512(),
        }
    }
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// All of x86-64-v4, which is what compilers make use of under that name.
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512cd")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// SHA-256 of a file.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<Digest, Error> {
    let read = |path: &Path| {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(buffer.get(..n).unwrap_or_default()),
            }
        }
    };
    read(path)
        .map_err(|error: std::io::Error| format!("cannot read {}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Machine = Machine {
        memory: 23 * GIB,
        avx512: false,
    };

    fn named(text: &str) -> Named {
        text.parse().unwrap()
    }

    #[test]
    fn a_flag_names_a_system_a_level_and_a_file() {
        assert_eq!(
            named("sp1+avx512=/bin/a=b"),
            Named {
                system: "sp1".into(),
                avx512: true,
                executable: "/bin/a=b".into(),
            }
        );
        assert!(!named("sp1=x").avx512);
        for wrong in ["", "sp1", "=x", "sp1=", "sp1+avx2=x", "sp1+=x", "+avx512=x"] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_replace_executables_and_keep_settings() {
        let file = BTreeMap::from([
            (
                "sp1".to_owned(),
                ProverOptions {
                    executable: Some("old".into()),
                    executable_avx512: Some("old".into()),
                    time_s: Some(7),
                    ..ProverOptions::default()
                },
            ),
            ("groth16".to_owned(), ProverOptions::default()),
        ]);
        let laid = lay_over(&file, vec![named("sp1=a"), named("sp1=b")]);
        assert_eq!(laid.keys().collect::<Vec<_>>(), ["sp1"]);
        let sp1 = &laid["sp1"];
        assert_eq!(sp1.executable.as_deref(), Some(Path::new("b")));
        assert_eq!((&sp1.executable_avx512, sp1.time_s), (&None, Some(7)));
    }

    /// Broken if a CPU were given instructions that it does not have, or the
    /// slow executable where it has them.
    #[test]
    fn the_cpu_chooses_the_executable() {
        let both = ProverOptions {
            executable: Some("baseline".into()),
            executable_avx512: Some("fast".into()),
            ..ProverOptions::default()
        };
        assert_eq!(both.choose(true), Some((Path::new("fast"), "avx512")));
        assert_eq!(
            both.choose(false),
            Some((Path::new("baseline"), "baseline"))
        );
        let fast = ProverOptions {
            executable: None,
            ..both.clone()
        };
        assert_eq!(fast.choose(false), None);
        let plain = ProverOptions {
            executable_avx512: None,
            ..both
        };
        assert_eq!(
            plain.choose(true),
            Some((Path::new("baseline"), "baseline"))
        );
        assert_eq!(ProverOptions::default().choose(true), None);
    }

    #[test]
    fn sp1_has_what_the_machine_can_give() {
        let config = |options: &ProverOptions, memory| {
            let machine = Machine { memory, ..ANY };
            options.config("sp1", Path::new("p"), &machine)
        };
        let default = ProverOptions::default();
        let given = |memory| config(&default, memory).default_stage.memory_bytes;
        assert_eq!(given(23 * GIB), 20 * GIB);
        assert_eq!(given(500 * GIB), 64 * GIB);
        assert_eq!(given(0), GIB);
        let stage = config(&default, 23 * GIB).default_stage;
        assert_eq!((stage.jobs, stage.threads), (1, 512));
        assert_eq!((stage.spare, stage.spare_loaded), (1, 1));
        assert_eq!(stage.time, Duration::from_secs(4 * 3600));

        let set = ProverOptions {
            memory_bytes: Some(8 * GIB),
            folder_bytes: Some(GIB),
            time_s: Some(60),
            jobs: Some(2),
            spare: Some(0),
            max_input_bytes: Some(5),
            first_user: Some(70_000),
            ..ProverOptions::default()
        };
        let config = config(&set, 23 * GIB);
        assert_eq!((config.memory_bytes, config.max_input_bytes), (8 * GIB, 5));
        assert_eq!(config.first_user, Some(70_000));
        let stage = config.default_stage;
        assert_eq!((stage.memory_bytes, stage.jobs), (4 * GIB, 2));
        assert_eq!((stage.folder_bytes, stage.spare), (Some(GIB), 0));
        assert_eq!(stage.time, Duration::from_secs(60));
        // Another system's defaults are the supervisor's.
        let other = default.config("groth16", Path::new("p"), &ANY);
        let plain = ProverConfig::new("p");
        assert_eq!(other.memory_bytes, plain.memory_bytes);
        assert_eq!(other.default_stage.time, plain.default_stage.time);
    }

    /// Broken if processes of two systems ran as one user: each could reach
    /// into the other's.
    #[test]
    fn no_two_systems_share_a_user() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prover");
        std::fs::write(&file, "x").unwrap();
        let provers = ["a", "b"].map(|system| {
            let options = ProverOptions {
                executable: Some(file.clone()),
                ..ProverOptions::default()
            };
            (system.to_owned(), options)
        });
        let configured = configure(&provers.into()).unwrap();
        let [(_, a), (_, b)] = &configured[..] else {
            panic!("two of them")
        };
        assert_eq!(a.digest, Some(Digest::of(b"x")));
        assert!(a.first_user.unwrap() + a.users <= b.first_user.unwrap());
    }

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:       24617532 kB\nMemFree:        1 kB\n";
        assert_eq!(mem_total(text), Some(24_617_532 * 1024));
        for wrong in ["", "MemTotal: 5", "MemTotal: x kB", "MemFree: 5 kB"] {
            assert_eq!(mem_total(wrong), None);
        }
        assert!(Machine::this().memory > 0);
    }
}
