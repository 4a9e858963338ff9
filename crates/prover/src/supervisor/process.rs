//! One prover process: from its hello to its certain end.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use soundproof_protocol::error::Code;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::SupervisorError;
use super::child::Child;
use super::launcher::{Started, User};
use super::link::Link;
use crate::sandbox::{Layer, SandboxLevel};
use crate::wire::{EXIT_MEMORY, EXIT_SIGNAL, Hello, ToKeeper, WireError};

/// Bytes of standard error that are looked at.
const STDERR: usize = 4096;
/// How long a process that hung up may take to die before it is killed: the
/// kernel takes back gigabytes first, and others may be at work.
const GRACE: Duration = Duration::from_secs(5);

/// A live process. Dropped, it is killed and reaped, whatever it is doing.
pub(super) struct Process {
    pub(super) hello: Hello,
    pub(super) link: Link,
    /// Jobs that it was given.
    pub(super) jobs: u32,
    /// Waits for its end, when it is dropped.
    pub(super) tracker: TaskTracker,
    /// The right to work; given back when the process is gone.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    body: Option<Body>,
    killed_for_memory: u64,
}

/// What stays until the process is reaped.
struct Body {
    child: Child,
    stderr: Arc<Stderr>,
    drain: JoinHandle<()>,
    _user: User,
}

impl Process {
    /// Waits for a new process's hello and looks whether it tells the truth.
    /// With folders it says first which other process goes on in its place.
    pub(super) async fn greet(
        started: Started,
        folders: bool,
        user: User,
        time: Duration,
        tracker: &TaskTracker,
    ) -> Result<Self, SupervisorError> {
        let mut link = Link::new(started.stream);
        let stderr = Arc::new(Stderr::default());
        let drain = tracker.spawn(drain(started.stderr, stderr.clone()));
        let mut body = Body {
            child: started.child,
            stderr,
            drain,
            _user: user,
        };
        let introduction = async {
            match link.receive().await? {
                ToKeeper::Moved(id) if folders => body.follow(id).await?,
                first if !folders => return Ok(first),
                _ => return Err(WireError::Order("where it moved")),
            }
            link.receive().await
        };
        let hello = match timeout(time, introduction).await {
            Ok(Ok(ToKeeper::Hello(hello))) => Ok(hello),
            Ok(Ok(_)) => Err(SupervisorError::Hello("its first message was not a hello")),
            Ok(Err(WireError::Closed | WireError::Io(_))) => {
                let _ = timeout(GRACE, body.child.wait()).await;
                let _ = timeout(GRACE, &mut body.drain).await;
                // It has seen nothing yet, so what it says may be shown.
                Err(SupervisorError::Start(body.stderr.public_text()))
            }
            Ok(Err(_)) => Err(SupervisorError::Hello("its first message was malformed")),
            Err(_) => Err(SupervisorError::Start("no hello in time".into())),
        };
        match hello {
            Ok(mut hello) => {
                hello.sandbox = seen(&hello.sandbox, body.child.id(), folders);
                body.stderr.forget();
                Ok(Self {
                    hello,
                    link,
                    jobs: 0,
                    tracker: tracker.clone(),
                    permit: None,
                    body: Some(body),
                    killed_for_memory: oom_kills(),
                })
            }
            Err(e) => {
                tracker.spawn(end(body, None));
                Err(e)
            }
        }
    }

    /// Whether it still runs, as far as can be known.
    pub(super) fn is_alive(&mut self) -> bool {
        self.body
            .as_mut()
            .is_some_and(|body| matches!(body.child.try_wait(), Ok(None)))
    }

    /// To be called before a job is given to it.
    pub(super) fn begin_job(&mut self) {
        self.jobs = self.jobs.saturating_add(1);
        self.killed_for_memory = oom_kills();
    }

    /// Why the wire broke: what the end of the process says, if it has one.
    pub(super) async fn post_mortem(&mut self, broken: &WireError) -> Code {
        let Some(body) = self.body.as_mut() else {
            return Code::ProverDied;
        };
        match broken {
            WireError::Closed | WireError::Io(_) => {}
            WireError::Memory => return Code::MemoryLimit,
            _ => return Code::ProverProtocol,
        }
        let Ok(Ok(status)) = timeout(GRACE, body.child.wait()).await else {
            return Code::ProverProtocol; // hung up, but lives
        };
        let _ = timeout(GRACE, &mut body.drain).await;
        let by_kernel = oom_kills() > self.killed_for_memory;
        cause(status, body.stderr.says_out_of_memory(), by_kernel)
    }
}

impl Body {
    /// The process made a sibling that goes on; itself it ends.
    async fn follow(&mut self, id: u32) -> io::Result<()> {
        let mut left = std::mem::replace(&mut self.child, Child::adopt(id)?);
        left.wait().await?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let permit = self.permit.take();
        if let Some(body) = self.body.take() {
            // At once, and not when the task is first polled.
            let _ = body.child.kill();
            if Handle::try_current().is_ok() {
                self.tracker.spawn(end(body, permit));
            }
        }
    }
}

/// Kills and reaps; gives back what the process held only then.
async fn end(mut body: Body, permit: Option<OwnedSemaphorePermit>) {
    let _ = body.child.kill();
    if let Err(e) = body.child.wait().await {
        tracing::warn!(error = %e, "a prover process could not be killed");
    }
    body.drain.abort();
    drop(body);
    drop(permit);
}

/// What a process's end means. What the process itself wrote is a hint that
/// only ever chooses between codes.
fn cause(status: ExitStatus, says_out_of_memory: bool, killed_for_memory: bool) -> Code {
    let code = status.code();
    let signal = status.signal().or(code
        .map(|code| code - EXIT_SIGNAL)
        .filter(|signal| (1..=64).contains(signal)));
    match (signal, code) {
        (None, Some(EXIT_MEMORY)) => Code::MemoryLimit,
        (Some(libc::SIGKILL), _) if killed_for_memory => Code::MemoryLimit,
        (Some(libc::SIGABRT), _) if says_out_of_memory => Code::MemoryLimit,
        (Some(libc::SIGXCPU), _) => Code::TimeLimit,
        (Some(libc::SIGABRT), _) | (None, Some(101)) => Code::ProverPanic,
        (Some(_), _) => Code::ProverDied,
        (None, _) => Code::ProverProtocol,
    }
}

/// How often the kernel has killed a process for want of memory.
fn oom_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// The layers claimed, less those that the kernel contradicts.
fn seen(claimed: &SandboxLevel, pid: u32, folders: bool) -> SandboxLevel {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let mut words = status
            .lines()
            .find_map(|line| line.strip_prefix(name))?
            .split_whitespace();
        words.next().map(str::to_owned)
    };
    let is = |name: &str, value: &str| field(name).is_some_and(|found| found == value);
    let own = rustix::process::getuid().as_raw().to_string();
    let holds = |layer: Layer| match layer {
        Layer::Seccomp => is("Seccomp:", "2"),
        Layer::NoNewPrivileges => is("NoNewPrivs:", "1"),
        Layer::Powerless => is("CapEff:", "0000000000000000") && is("CapPrm:", "0000000000000000"),
        Layer::User => field("Uid:").is_some_and(|uid| uid != own),
        Layer::Folders if folders => first_of_a_namespace(&status),
        _ => true,
    };
    Layer::ALL
        .into_iter()
        .filter(|layer| claimed.contains(*layer) && holds(*layer))
        .collect()
}

/// The process's ids, one for each process namespace that it is in.
fn first_of_a_namespace(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<_> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

/// The last bytes of standard error. Secret once the process has seen a job: it
/// is then only ever searched for the words below.
#[derive(Default)]
struct Stderr(Mutex<Zeroizing<Vec<u8>>>);

impl Stderr {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.capacity() == 0 {
            // Never grows again, so that no copy is left behind.
            kept.reserve_exact(2 * STDERR);
        }
        kept.extend_from_slice(
            bytes
                .get(bytes.len().saturating_sub(STDERR)..)
                .unwrap_or_default(),
        );
        let surplus = kept.len().saturating_sub(STDERR);
        kept.drain(..surplus);
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::default();
    }

    /// What Rust's standard library says before it aborts.
    fn says_out_of_memory(&self) -> bool {
        let needle = b"memory allocation of ";
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.windows(needle.len()).any(|window| window == needle)
    }

    fn public_text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let line = text.lines().last().unwrap_or("it ended without a word");
        line.chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

async fn drain(mut pipe: pipe::Receiver, stderr: Arc<Stderr>) {
    let mut buffer = Zeroizing::new([0u8; STDERR]);
    while let Ok(n) = pipe.read(&mut buffer[..]).await {
        match buffer.get(..n) {
            Some(bytes) if n > 0 => stderr.push(bytes),
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes() {
        let signal = ExitStatus::from_raw;
        let code = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(cause(signal(libc::SIGKILL), true, false), Code::ProverDied);
        assert_eq!(cause(signal(libc::SIGKILL), false, true), Code::MemoryLimit);
        assert_eq!(cause(signal(libc::SIGABRT), true, false), Code::MemoryLimit);
        assert_eq!(
            cause(signal(libc::SIGABRT), false, false),
            Code::ProverPanic
        );
        assert_eq!(cause(signal(libc::SIGXCPU), false, false), Code::TimeLimit);
        assert_eq!(cause(signal(libc::SIGSEGV), false, false), Code::ProverDied);
        assert_eq!(cause(code(101), false, false), Code::ProverPanic);
        assert_eq!(cause(code(102), false, false), Code::MemoryLimit);
        let shielded = |signal: i32| code(EXIT_SIGNAL + signal);
        assert_eq!(
            cause(shielded(libc::SIGABRT), true, false),
            Code::MemoryLimit
        );
        assert_eq!(
            cause(shielded(libc::SIGABRT), false, false),
            Code::ProverPanic
        );
        assert_eq!(
            cause(shielded(libc::SIGXCPU), false, false),
            Code::TimeLimit
        );
        assert_eq!(cause(code(0), false, false), Code::ProverProtocol);
    }

    #[test]
    fn ids_in_namespaces() {
        let first = |ids: &str| first_of_a_namespace(&format!("Name:\tx\nNSpid:\t{ids}\n"));
        assert!(first("4711\t1") && first("4711\t12\t1"));
        assert!(!first("4711") && !first("1") && !first("4711\t2") && !first(""));
    }

    #[test]
    fn standard_error_is_bounded_and_searched_only() {
        let stderr = Stderr::default();
        for _ in 0..100 {
            stderr.push(&[b'x'; 10_000]);
        }
        assert_eq!(stderr.0.lock().unwrap().len(), STDERR);
        assert!(!stderr.says_out_of_memory());
        stderr.push(b"\nmemory allocation of 5 bytes failed\n");
        assert!(stderr.says_out_of_memory());
        assert_eq!(stderr.public_text(), "memory allocation of 5 bytes failed");
    }

    #[test]
    fn a_claim_that_the_kernel_contradicts_does_not_count() {
        // This process has none of these; the others cannot be seen from outside.
        let level = seen(&SandboxLevel::full(), std::process::id(), true);
        assert!(!level.contains(Layer::Folders));
        let level = seen(&SandboxLevel::full(), std::process::id(), false);
        assert!(level.contains(Layer::Folders));
        assert!(!level.contains(Layer::Seccomp));
        assert!(!level.contains(Layer::User));
        assert!(level.contains(Layer::LandlockFiles));
        assert!(seen(&SandboxLevel::default(), std::process::id(), true).is_empty());
    }
}
