//! Starts processes, from a thread of its own.
//!
//! A prover asks the kernel to be killed when its parent dies; what the kernel
//! means by that is the *thread* that forked it. The runtime's threads come and
//! go, so one thread that lives as long as the supervisor forks them all.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::SupervisorError;
use super::child::Child;
use super::config::{ProverConfig, StageConfig};
use super::executable::Executable;
use super::process::Process;
use crate::child::Start;
use crate::wire::Hello;

/// Memory of a process that only introduces itself.
const DESCRIBE_MEMORY: u64 = 256 * 1024 * 1024;

/// Bytes that one side may be ahead of the other.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// Starts processes of one executable.
pub(super) struct Launcher {
    requests: Mutex<mpsc::Sender<Request>>,
    users: Arc<Users>,
    hello_time: Duration,
    tasks: TaskTracker,
}

struct Request {
    start: Start,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// A process that was just started.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) stderr: pipe::Receiver,
    pub(super) stream: UnixStream,
}

impl Launcher {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(
        executable: Executable,
        config: &ProverConfig,
        tasks: TaskTracker,
    ) -> Result<Self, SupervisorError> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("prover-launcher".into())
            .spawn(move || {
                for Request { start, reply } in inbox {
                    let _entered = runtime.enter();
                    // A receiver that is gone drops the child, which kills it.
                    let _ = reply.send(spawn(&executable, &start));
                }
            })
            .map_err(|e| SupervisorError::Start(e.to_string()))?;
        Ok(Self {
            requests: Mutex::new(requests),
            users: Arc::new(Users::new(config.first_user, config.users)),
            hello_time: config.hello_time,
            tasks,
        })
    }

    /// Starts a process that only introduces itself.
    pub(super) async fn describe(
        self: &Arc<Self>,
        stage: &StageConfig,
    ) -> Result<Hello, SupervisorError> {
        let start = Start {
            memory_bytes: DESCRIBE_MEMORY,
            ..stage.start("", stage.folder_bytes.unwrap_or(0), false)
        };
        let process = self.launch(start).await?;
        Ok(process.hello.clone())
    }

    /// Starts a process and waits for its hello. It is a task of its own, so that whoever stops waiting leaves no process that nobody reaps.
    pub(super) async fn launch(self: &Arc<Self>, start: Start) -> Result<Process, SupervisorError> {
        let launcher = self.clone();
        let launching = async move { launcher.launch_now(start).await };
        match self.tasks.spawn(launching).await {
            Ok(result) => result,
            Err(e) => Err(SupervisorError::Start(e.to_string())),
        }
    }

    /// For what must have ended before the supervisor has.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    async fn launch_now(&self, start: Start) -> Result<Process, SupervisorError> {
        let user = Users::take(&self.users)
            .ok_or_else(|| SupervisorError::Start("no user id is free".into()))?;
        let start = Start {
            parent: std::process::id(),
            user: user.id(),
            ..start
        };
        let stage = start.stage.clone();
        let folders = start.folder_bytes > 0 && !stage.is_empty();
        let (reply, answer) = oneshot::channel();
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(Request { start, reply })
            .map_err(|_| SupervisorError::Start("the launcher is gone".into()))?;
        let started = answer
            .await
            .map_err(|_| SupervisorError::Start("the launcher is gone".into()))?
            .map_err(|e| SupervisorError::Start(e.to_string()))?;
        let process = Process::greet(started, folders, user, self.hello_time, &self.tasks).await?;
        if process.hello.stage != stage {
            return Err(SupervisorError::Hello(
                "another stage than it was started for",
            ));
        }
        Ok(process)
    }
}

fn spawn(executable: &Executable, start: &Start) -> io::Result<Started> {
    let (ours, theirs) = StdStream::pair()?;
    for end in [&ours, &theirs] {
        // For fewer changes between the two processes; the default does too.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BUFFER);
    }
    let output: OwnedFd = theirs.try_clone()?.into();
    let mut child = Command::new(executable.path())
        .arg0(executable.name())
        .args(start.arguments())
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(output))
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let child = Child::adopt(child.id()).inspect_err(|_| {
        let _ = child.kill().and_then(|()| child.wait());
    })?;
    ours.set_nonblocking(true)?;
    Ok(Started {
        child,
        stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
        stream: UnixStream::from_std(ours)?,
    })
}

/// User ids, each for one process at a time.
struct Users {
    /// None: processes keep the keeper's user.
    free: Option<Mutex<Vec<u32>>>,
}

/// A process's user id; free again when this is dropped, which must be after
/// the process is gone.
pub(super) struct User {
    id: Option<u32>,
    users: Arc<Users>,
}

impl Users {
    fn new(first: Option<u32>, count: u32) -> Self {
        let root = rustix::process::geteuid().is_root();
        let ids = first
            .filter(|_| root)
            .map(|first| (first..first.saturating_add(count)).rev().collect());
        Self {
            free: ids.map(Mutex::new),
        }
    }

    fn take(users: &Arc<Self>) -> Option<User> {
        let id = match &users.free {
            None => None,
            Some(free) => Some(free.lock().unwrap_or_else(PoisonError::into_inner).pop()?),
        };
        Some(User {
            id,
            users: users.clone(),
        })
    }
}

impl User {
    fn id(&self) -> Option<u32> {
        self.id
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let (Some(id), Some(free)) = (self.id, &self.users.free) {
            free.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_serves_one_process_at_a_time() {
        let users = Arc::new(Users {
            free: Some(Mutex::new(vec![7, 8])),
        });
        let (a, b) = (Users::take(&users).unwrap(), Users::take(&users).unwrap());
        assert_ne!(a.id(), b.id());
        assert!(Users::take(&users).is_none());
        drop(a);
        assert!(Users::take(&users).is_some());
    }
}
