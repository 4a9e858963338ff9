//! The server's executables: where they are, and one that runs for a demo.

use crate::failure::Failure;
use serde::Deserialize;
use soundproof::protocol::error::Code;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// The keeper's executable.
pub(crate) const SOUNDPROOFD: &str = "soundproofd";
/// The Groth16 prover's.
pub(crate) const PROVER: &str = "soundproof-prover-groth16";
/// Folder in which executables are looked for first.
const BIN_DIR: &str = "SOUNDPROOF_BIN_DIR";

/// How long a server may take until it listens, and to stop.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(10);
/// Bytes of the server's log that are shown when it fails.
const LOG_TAIL: usize = 4000;

/// Finds an executable: in `SOUNDPROOF_BIN_DIR`, beside this one, in `PATH`.
pub(crate) fn find(name: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os(BIN_DIR)
        .map(PathBuf::from)
        .into_iter()
        .chain(beside)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| {
            Failure::new(
                Code::FileUnreadable,
                format!("{name} is not beside this command, nor in PATH"),
            )
            .remedy(format!("Install it, or say where it is with {BIN_DIR}."))
        })
}

/// What a server says on its first line of stdout.
#[derive(Debug, Deserialize)]
struct Listening {
    event: String,
    url: String,
    policy: Option<PathBuf>,
}

/// A server that was started here, and ends with this value.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) url: String,
    /// A policy that accepts exactly it.
    pub(crate) policy: PathBuf,
}

impl Daemon {
    /// Starts a server and waits until it listens. Its log goes to `log`.
    pub(crate) async fn start<A: AsRef<OsStr>>(
        executable: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let file = std::fs::File::create(&log).map_err(|error| Failure::file(&log, &error))?;
        let mut child = Command::new(executable)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::file(executable, &error))?;
        let line = match child.stdout.take() {
            Some(out) => timeout(START, BufReader::new(out).lines().next_line()).await,
            None => return Err(Failure::new(Code::Internal, "the server has no stdout")),
        };
        let listening: Option<Listening> = match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).ok(),
            _ => None,
        };
        match listening {
            Some(Listening {
                event,
                url,
                policy: Some(policy),
            }) if event == "listening" => Ok(Self {
                child,
                log,
                url,
                policy,
            }),
            _ => {
                let daemon = Self {
                    child,
                    log,
                    url: String::new(),
                    policy: PathBuf::new(),
                };
                let tail = daemon.log_tail();
                daemon.stop().await;
                Err(Failure::new(
                    Code::ProverUnavailable,
                    format!("the server did not start:\n{tail}"),
                )
                .remedy("See the server's words above."))
            }
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(LOG_TAIL);
        String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
    }

    /// Asks it to stop, and makes it after a while.
    pub(crate) async fn stop(mut self) {
        #[cfg(unix)]
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if timeout(STOP, self.child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = self.child.kill().await;
    }
}
