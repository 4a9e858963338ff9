//! A supervisor over the probe, a store in memory that can lie, and looks into
//! `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::supervisor::{
    InputStream, JobRequest, JobResult, PartProvider, PartStream, ProverConfig, StageStatus,
    Supervisor,
};
use soundproof_prover::wire::Entropy;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Threads that a probe may have.
pub(crate) const THREADS: u64 = 8;
const MIB: u64 = 1 << 20;

pub(crate) fn executable() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_soundproof-prover-probe");
    std::env::var_os("SOUNDPROOF_PROBE").map_or_else(|| built.into(), PathBuf::from)
}

pub(crate) fn digest_of_file(path: &PathBuf) -> Digest {
    Digest::of(&fs::read(path).unwrap())
}

/// Tests run at the same time, each with users of its own.
fn users() -> u32 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // The process that is run by a test has other users than the tests'.
    let first = if std::env::args().any(|word| word == "--ignored") {
        70_000
    } else {
        64_000
    };
    first + 64 * u32::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap()
}

pub(crate) fn config() -> ProverConfig {
    let mut config = ProverConfig::new(executable());
    config.first_user = Some(users());
    config.users = 64;
    config.hello_time = Duration::from_secs(20);
    config.load_time = Duration::from_secs(10);
    config.default_stage.memory_bytes = 128 * MIB;
    config.default_stage.threads = THREADS;
    config.default_stage.jobs = 2;
    config.default_stage.programs = 2;
    let mut finish = config.default_stage.clone();
    finish.jobs = 1;
    config.stages.insert("finish".into(), finish);
    config
}

/// The probe under another file name, by which it knows what to do.
pub(crate) fn config_named(name: &str) -> ProverConfig {
    let folder = tempfile::tempdir().unwrap().keep();
    let path = folder.join(name);
    fs::copy(executable(), &path).unwrap();
    let mut config = config();
    config.executable = path;
    config
}

/// Bytes of folders that the probe asks for under that name.
pub(crate) const FOLDER_BYTES: u64 = 32 * MIB;

pub(crate) fn config_with_folders() -> ProverConfig {
    config_named("probe-folders")
}

/// How a store lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Flip,
    Short,
    Long,
    Missing,
    Huge,
}

#[derive(Default)]
struct Store {
    parts: Mutex<BTreeMap<[u8; 32], Vec<u8>>>,
    lie: Mutex<Option<Lie>>,
    fetches: AtomicUsize,
}

impl PartProvider for Store {
    fn open(&self, digest: Digest) -> BoxFuture<'_, Result<PartStream, Failure>> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.parts.lock().unwrap().get(&digest.0).unwrap().clone();
        let mut len = bytes.len() as u64;
        match *self.lie.lock().unwrap() {
            None => {}
            Some(Lie::Flip) => bytes[0] ^= 1,
            Some(Lie::Short) => len += 1,
            Some(Lie::Long) => len -= 1,
            Some(Lie::Missing) => {
                return async { Err(Failure::new(Code::BlobMissing, "")) }.boxed();
            }
            Some(Lie::Huge) => len = u64::MAX,
        }
        let pieces: Vec<_> = bytes
            .chunks(5)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        async move {
            Ok(PartStream {
                len,
                pieces: stream::iter(pieces).boxed(),
            })
        }
        .boxed()
    }
}

/// A supervisor that runs the probe.
pub(crate) struct Probe {
    pub(crate) supervisor: Supervisor,
    store: Arc<Store>,
    script: String,
    first_user: u32,
}

impl Probe {
    pub(crate) async fn start() -> Self {
        Self::with_script("plain script").await
    }

    /// With folders for the stage that runs a program.
    pub(crate) async fn with_folders() -> Self {
        Self::of(config_with_folders(), "plain script").await
    }

    pub(crate) async fn with_script(script: &str) -> Self {
        Self::of(config(), script).await
    }

    pub(crate) async fn of(config: ProverConfig, script: &str) -> Self {
        let first_user = config.first_user.unwrap();
        let supervisor = Supervisor::start(config).await.unwrap();
        Self {
            supervisor,
            store: Arc::default(),
            script: script.into(),
            first_user,
        }
    }

    pub(crate) async fn run(&self, input: &str) -> Result<JobResult, Failure> {
        self.run_with(input, |_| {}).await
    }

    /// What the stage that runs a program says of `what`, line by line.
    pub(crate) async fn report(&self, what: &str) -> String {
        let result = self.run(&format!("{what}|echo|")).await.unwrap();
        String::from_utf8_lossy(&result.proof)
            .trim_matches('|')
            .to_owned()
    }

    /// All that a program needs works, and a second time too.
    pub(crate) async fn works(&self) {
        for _ in 0..2 {
            let report = self.report("work").await;
            assert!(report.lines().count() >= 9, "{report}");
            assert!(
                report.lines().all(|line| line.ends_with(": ok")),
                "{report}"
            );
        }
    }

    pub(crate) async fn run_script(&self, script: &str, input: &str) -> Result<JobResult, Failure> {
        let part = self.part("script", script);
        self.run_with(input, |request| request.parts[1] = part)
            .await
    }

    pub(crate) async fn run_key(&self, key: &str, input: &str) -> Result<JobResult, Failure> {
        let part = self.part("key", key);
        self.run_with(input, |request| request.parts[0] = part)
            .await
    }

    pub(crate) async fn run_with(
        &self,
        input: &str,
        change: impl FnOnce(&mut JobRequest),
    ) -> Result<JobResult, Failure> {
        let mut request = JobRequest {
            parts: vec![
                self.part("key", "plain key"),
                self.part("script", &self.script),
            ],
            provider: self.store.clone(),
            mode: "plain".into(),
            limits: Limits::default(),
            entropy: Entropy(Zeroizing::new([7; 32])),
            description: Digest([1; 32]),
            input: input_of(input.as_bytes()),
            progress: tokio::sync::mpsc::channel(1).0,
            cancel: CancellationToken::new(),
        };
        change(&mut request);
        tokio::time::timeout(Duration::from_secs(120), self.supervisor.run(request))
            .await
            .expect("a job must end")
    }

    pub(crate) fn lie(&self, lie: Option<Lie>) {
        *self.store.lie.lock().unwrap() = lie;
    }

    pub(crate) fn fetches(&self) -> usize {
        self.store.fetches.load(Ordering::Relaxed)
    }

    pub(crate) fn stage(&self, name: &str) -> StageStatus {
        self.supervisor
            .status()
            .into_iter()
            .find(|stage| stage.name == name)
            .unwrap()
    }

    /// This probe's processes: of its users, or (not as root) all children's.
    pub(crate) fn children(&self) -> Vec<u32> {
        let own = self.first_user..self.first_user + 64;
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                status(*pid, "PPid:").is_some_and(|parent| parent == std::process::id().to_string())
            })
            .filter(|pid| {
                let uid = status(*pid, "Uid:").and_then(|uid| uid.parse().ok());
                !rustix::process::geteuid().is_root() || uid.is_some_and(|uid| own.contains(&uid))
            })
            .filter(|pid| alive(*pid))
            .collect()
    }

    pub(crate) fn part(&self, role: &str, text: &str) -> ProgramPart {
        let digest = Digest::of(text.as_bytes());
        self.store
            .parts
            .lock()
            .unwrap()
            .insert(digest.0, text.into());
        ProgramPart {
            role: role.into(),
            digest,
        }
    }
}

pub(crate) fn input_of(bytes: &[u8]) -> InputStream {
    let pieces: Vec<_> = bytes
        .chunks(1 << 20)
        .map(|piece| Ok(Zeroizing::new(piece.to_vec())))
        .collect();
    InputStream {
        len: bytes.len() as u64,
        pieces: stream::iter(pieces).boxed(),
    }
}

/// One good piece, then an error.
pub(crate) fn broken_input(code: Code) -> InputStream {
    let pieces = vec![
        Ok(Zeroizing::new(vec![b'x'; 10])),
        Err(Failure::new(code, "")),
    ];
    InputStream {
        len: 20,
        pieces: stream::iter(pieces).boxed(),
    }
}

/// Processes that have `word` among their arguments, but this one.
pub(crate) fn named(word: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && line.split(|byte| *byte == 0).any(|w| w == word.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(holds)
        .collect()
}

/// Whether a process exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    status(pid, "State:").is_some_and(|state| state != "Z" && state != "X")
}

/// The stage that a process was started for.
pub(crate) fn stage_of(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.split('\0')
        .find_map(|word| word.strip_prefix("--stage="))
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The word after `name=`.
pub(crate) fn field<'a>(report: &'a str, name: &str) -> &'a str {
    let start = report
        .find(&format!("{name}="))
        .unwrap_or_else(|| panic!("no {name} in {report}"));
    report[start + name.len() + 1..]
        .split_whitespace()
        .next()
        .unwrap_or_default()
}

/// Waits for something that will come; how long does not matter.
pub(crate) async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn status(pid: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()
        .map(str::to_owned)
}
