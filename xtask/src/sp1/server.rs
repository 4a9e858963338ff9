//! `soundproofd` on the software platform with SP1's prover, and the processes
//! below it.

use super::{Built, Level};
use crate::shell::{self, Failure, Result};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long a server may take until it listens, and to stop.
const START: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(20);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(200);

pub(crate) struct Server {
    child: Child,
    /// Holds `data`, `pki` and `log`.
    pub(crate) folder: PathBuf,
    pub(crate) url: String,
    pub(crate) policy: PathBuf,
    /// From the start of the process until it listened.
    pub(crate) start_ms: f64,
}

impl Server {
    /// Starts it in a folder; `more` are further flags.
    pub(crate) fn start(built: &Built, folder: &Path, more: &[&str]) -> Result<Self> {
        // As an operator names it; the server takes it if the CPU has AVX-512.
        let named = match built.level {
            Level::V4 => "sp1+avx512=",
            _ => "sp1=",
        };
        let mut prover = std::ffi::OsString::from(named);
        prover.push(&built.prover);
        let mut command = shell::command(shell::release_dir().join("soundproofd"));
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--platform",
                "software",
                "--data",
            ])
            .arg(folder.join("data"))
            .arg("--software-pki")
            .arg(folder.join("pki"))
            .arg("--prover")
            .arg(prover)
            .args(more);
        let log = folder.join("log");
        let file = File::create(&log).map_err(|error| Failure::of(log.display(), error))?;
        let started = Instant::now();
        let mut child = command
            .env("TMPDIR", folder)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| Failure::of("soundproofd", error))?;
        let (tell, told) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // Read to its end: a gateway that is started again tells it anew.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                    let _ = tell.send(line);
                }
            });
        }
        let mut server = Self {
            child,
            folder: folder.to_path_buf(),
            url: String::new(),
            policy: PathBuf::new(),
            start_ms: 0.0,
        };
        let line = told
            .recv_timeout(START)
            .map_err(|_| server.unwell("did not start"))?;
        server.start_ms = started.elapsed().as_secs_f64() * 1000.0;
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        match (line["url"].as_str(), line["policy"].as_str()) {
            (Some(url), Some(policy)) => {
                server.url = url.to_owned();
                server.policy = PathBuf::from(policy);
                Ok(server)
            }
            _ => Err(server.unwell("did not say where it listens")),
        }
    }

    /// A failure with the end of the log.
    pub(crate) fn unwell(&self, what: &str) -> Failure {
        let log = fs::read(self.log()).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(4000)..)
            .unwrap_or_default();
        Failure::of(
            format!("soundproofd {what}; the end of its log"),
            format!("\n{}", String::from_utf8_lossy(tail)),
        )
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The gateway's process.
    pub(crate) fn gateway(&self) -> Option<u32> {
        let below = descendants(self.pid());
        let mut gateways = below.iter().filter(|p| p.role == Role::Gateway);
        gateways.next().map(|p| p.pid)
    }

    /// The prover's processes, the busiest last.
    pub(crate) fn provers(&self) -> Vec<u32> {
        let below = descendants(self.pid());
        let mut provers: Vec<_> = below.iter().filter(|p| p.role == Role::Prover).collect();
        provers.sort_by_key(|p| p.ticks);
        provers.iter().map(|p| p.pid).collect()
    }

    /// Whether the keeper still runs.
    fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        signal("TERM", self.pid());
        let until = Instant::now() + STOP;
        while Instant::now() < until && self.alive() {
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    let status = kill
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null());
    status.status().is_ok_and(|status| status.success())
}

/// What a process is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    Keeper,
    Gateway,
    Prover,
    /// The child in which SP1 executes a guest.
    Runner,
    Connect,
    Sdk,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Gateway => "gateway",
            Self::Prover => "prover",
            Self::Runner => "SP1's runner",
            Self::Connect => "soundproof connect",
            Self::Sdk => "sdk-check",
        }
    }
}

struct Process {
    pid: u32,
    role: Role,
    /// Processor time.
    ticks: u64,
    peak_bytes: u64,
}

/// What `/proc` says of one process.
struct Entry {
    pid: u32,
    parent: u32,
    name: String,
    ticks: u64,
}

fn entry(pid: u32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = tail.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Entry {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        name: head.split_once(" (")?.1.to_owned(),
        ticks: number(11)? + number(12)?,
    })
}

fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes = line.trim().strip_suffix(" kB")?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}

/// The process and all below it.
fn descendants(root: u32) -> Vec<Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<Entry> = pids.filter_map(entry).collect();
    let mut found = Vec::new();
    let mut waiting = vec![(root, None)];
    while let Some((pid, above)) = waiting.pop() {
        let Some(entry) = all.iter().find(|entry| entry.pid == pid) else {
            continue;
        };
        let role = role(&entry.name, above);
        waiting.extend(
            all.iter()
                .filter(|e| e.parent == pid)
                .map(|e| (e.pid, role.or(above))),
        );
        if let (Some(role), Some(peak_bytes)) = (role, peak(pid)) {
            found.push(Process {
                pid,
                role,
                ticks: entry.ticks,
                peak_bytes,
            });
        }
    }
    found
}

/// By its name and by whose child it is. The keeper runs provers from memory
/// files: Linux names such a process by a descriptor's number.
fn role(name: &str, above: Option<Role>) -> Option<Role> {
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    match (above, name) {
        (None, "soundproofd") => Some(Role::Keeper),
        (Some(Role::Keeper), "soundproofd") => Some(Role::Gateway),
        (Some(Role::Keeper), _) => Some(Role::Prover),
        (Some(Role::Prover), _) if number => Some(Role::Prover),
        (Some(Role::Prover | Role::Sdk | Role::Runner), _) => Some(Role::Runner),
        (_, "soundproof") => Some(Role::Connect),
        (_, "sdk-check") => Some(Role::Sdk),
        _ => None,
    }
}

/// The largest resident memory of the processes below some, each role's, while
/// it lives.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    peaks: Arc<Mutex<BTreeMap<Role, u64>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(roots: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peaks = Arc::new(Mutex::new(BTreeMap::new()));
        let (until, kept) = (stop.clone(), peaks.clone());
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for process in roots.iter().flat_map(|root| descendants(*root)) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let peak = kept.entry(process.role).or_insert(0);
                    *peak = process.peak_bytes.max(*peak);
                }
                thread::sleep(SAMPLE);
            }
        });
        Self {
            stop,
            peaks,
            thread: Some(thread),
        }
    }

    /// Bytes by role.
    pub(crate) fn end(mut self) -> BTreeMap<Role, u64> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        peaks.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_its_memory() {
        let own = std::process::id();
        let found = entry(own).unwrap();
        assert_eq!(found.pid, own);
        assert!(peak(own).unwrap() > 1 << 20);
    }

    #[test]
    fn roles_follow_names_and_parents() {
        let keeper = role("soundproofd", None);
        assert_eq!(keeper, Some(Role::Keeper));
        assert_eq!(role("soundproofd", keeper), Some(Role::Gateway));
        assert_eq!(role("9", keeper), Some(Role::Prover));
        assert_eq!(role("9", Some(Role::Prover)), Some(Role::Prover));
        assert_eq!(role("anything", Some(Role::Prover)), Some(Role::Runner));
        assert_eq!(role("soundproof", None), Some(Role::Connect));
        assert_eq!(role("sdk-check", Some(Role::Connect)), Some(Role::Sdk));
        assert_eq!(role("bash", None), None);
    }
}
