//! `sdk-check`, by `soundproof connect` or against the enclave itself.

use super::{Built, server::Server};
use crate::shell::{self, Failure, Result};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// No call of the SDK may last longer, whatever happens to the server: its own
/// timeouts end it before.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How the SDK reaches the prover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// `soundproof connect`, which appraises and seals.
    Connect,
    /// The gateway itself.
    Direct,
}

impl Route {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Direct => "direct",
        }
    }
}

/// One call of `sdk-check`.
pub(crate) struct Call<'a> {
    pub(crate) built: &'a Built,
    pub(crate) server: &'a Server,
    pub(crate) route: Route,
    /// Instead of the server's own, where something stands between.
    pub(crate) server_url: Option<String>,
    /// HTTP proxy of the SDK's process alone.
    pub(crate) http_proxy: Option<String>,
    /// Whether `--acknowledge-not-hiding` is given to `connect`.
    pub(crate) acknowledge: bool,
    /// Where `connect` writes receipts.
    pub(crate) receipts: Option<PathBuf>,
    pub(crate) arguments: Vec<String>,
}

/// What came of it.
pub(crate) struct Answer {
    /// `sdk-check`'s object; null when there is none.
    pub(crate) said: Value,
    pub(crate) success: bool,
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    /// The stderr of all.
    pub(crate) stderr: PathBuf,
}

impl Answer {
    pub(crate) fn is(&self, field: &str) -> bool {
        self.said[field] == true
    }

    /// That it succeeded and that the SDK verified the proof.
    pub(crate) fn verified(&self) -> Result {
        match self.success && self.is("proof_verified") {
            true => Ok(()),
            false => Err(self.unexpected("no verified proof")),
        }
    }

    pub(crate) fn unexpected(&self, what: &str) -> Failure {
        let log = std::fs::read(&self.stderr).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(2000)..)
            .unwrap_or_default();
        let tail = String::from_utf8_lossy(tail);
        Failure::of(what, format!("{}\n{tail}", self.said))
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(built: &'a Built, server: &'a Server, route: Route) -> Self {
        Self {
            built,
            server,
            route,
            server_url: None,
            http_proxy: None,
            acknowledge: true,
            receipts: None,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn with<I: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = I>) -> Self {
        let arguments = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Adds an option whose value is a path.
    pub(crate) fn file(self, option: &str, path: &Path) -> Self {
        let path = path.to_string_lossy().into_owned();
        self.with([option.to_owned(), path])
    }

    pub(crate) fn receipts(mut self, folder: PathBuf) -> Self {
        self.receipts = Some(folder);
        self
    }

    fn command(&self) -> Command {
        let url = self.server_url.as_ref().unwrap_or(&self.server.url);
        let mut command = match self.route {
            Route::Connect => {
                let mut command = shell::command(shell::release_dir().join("soundproof"));
                command
                    .arg("connect")
                    .arg(url)
                    .arg("--policy")
                    .arg(&self.server.policy);
                if self.acknowledge {
                    command.arg("--acknowledge-not-hiding");
                }
                if let Some(folder) = &self.receipts {
                    command.arg("--receipts").arg(folder);
                }
                command.arg("--").arg("env");
                command
            }
            Route::Direct => {
                let mut command = shell::command("env");
                command.env("SOUNDPROOF_RPC_URL", url);
                command
            }
        };
        // reqwest takes the proxy for what it sends over plain HTTP, which is
        // the artifacts and proofs; gRPC takes none.
        for name in [
            "NO_PROXY",
            "no_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.args(["-u", name]);
        }
        if let Some(proxy) = &self.http_proxy {
            command.arg(format!("http_proxy={proxy}"));
        }
        command.arg(&self.built.sdk_check).args(&self.arguments);
        command
    }

    /// Starts it; stdout and stderr go to files in the server's folder.
    pub(crate) fn start(&self) -> Result<Running> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = |end: &str| self.server.folder.join(format!("client-{count}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let create = |path: &Path| {
            std::fs::File::create(path).map_err(|error| Failure::of(path.display(), error))
        };
        let child = self
            .command()
            .stdout(create(&out)?)
            .stderr(create(&err)?)
            .spawn()
            .map_err(|error| Failure::of(self.route.name(), error))?;
        Ok(Running {
            child,
            started: Instant::now(),
            out,
            err,
        })
    }

    pub(crate) fn run(&self) -> Result<Answer> {
        self.start()?.wait()
    }
}

pub(crate) struct Running {
    child: Child,
    started: Instant,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn wait(mut self) -> Result<Answer> {
        while !self.ended() {
            if self.started.elapsed() > PATIENCE {
                super::server::signal("TERM", self.pid());
                let _ = self.child.wait();
                return Err(Failure::new("sdk-check did not end in half an hour"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let wall = self.started.elapsed();
        let status = self
            .child
            .wait()
            .map_err(|error| Failure::of("waiting", error))?;
        let out = std::fs::read_to_string(&self.out)
            .map_err(|error| Failure::of(self.out.display(), error))?;
        // `connect` may say something there too; sdk-check's object is last.
        let objects = out
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut objects = objects.filter(|value: &Value| value["ok"].is_boolean());
        Ok(Answer {
            said: objects.next().unwrap_or_default(),
            success: status.success(),
            wall,
            stderr: self.err,
        })
    }
}

/// Options of a solvency proof for random balances.
pub(crate) fn solvency(balances: u32) -> Vec<String> {
    let mut arguments = vec!["prove".to_owned()];
    arguments.extend(program("solvency"));
    arguments.extend(["--random-balances".to_owned(), balances.to_string()]);
    arguments
}

/// `--elf` of a committed guest.
pub(crate) fn program(name: &str) -> [String; 2] {
    let path = super::guest(name);
    ["--elf".to_owned(), path.to_string_lossy().into_owned()]
}

/// Checks a receipt with `soundproof verify receipt`.
pub(crate) fn receipt_verifies(
    server: &Server,
    bundle: &Path,
    proof: Option<&Path>,
) -> Result<bool> {
    let mut verify = shell::command(shell::release_dir().join("soundproof"));
    verify
        .args(["verify", "receipt"])
        .arg(bundle)
        .arg("--policy")
        .arg(&server.policy);
    if let Some(proof) = proof {
        verify.arg("--proof").arg(proof);
    }
    let status = verify
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| Failure::of("soundproof verify", error))?;
    Ok(status.success())
}

/// The bundles in a folder.
pub(crate) fn bundles(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| Failure::of(folder.display(), error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.extension().is_some_and(|e| e == "bundle"))
        .collect())
}
