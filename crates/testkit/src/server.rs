//! A running `soundproofd` on the software platform: started on a free
//! loopback port with folders of its own, its output kept in files, its
//! children known by pid. Ends with the value that stands for it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Names the folder that holds the executables, where it is not the one that
/// the test's own executable was built into.
pub const BIN_DIR: &str = "SOUNDPROOF_BIN_DIR";
const POLL: Duration = Duration::from_millis(10);

/// How to start one.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Milliseconds that one quote takes.
    pub quote_delay_ms: u64,
    /// Proof system and executable's name or path.
    pub provers: Vec<(String, PathBuf)>,
    /// Data folder; a temporary one if none.
    pub data: Option<PathBuf>,
    /// Folder of the software platform's keys; a temporary one if none.
    pub pki: Option<PathBuf>,
    /// More arguments.
    pub args: Vec<OsString>,
    /// More of the environment; `RUST_LOG=trace` unless it is here.
    pub env: Vec<(String, String)>,
    /// How long it may take to listen.
    pub start_limit: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            quote_delay_ms: 0,
            provers: vec![("groth16".into(), "soundproof-prover-groth16".into())],
            data: None,
            pki: None,
            args: Vec::new(),
            env: Vec::new(),
            start_limit: Duration::from_secs(120),
        }
    }
}

/// What a child of the keeper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The gateway.
    Gateway,
    /// The collector.
    Collector,
    /// Any other: a prover process.
    Prover,
}

/// Path of an executable of ours: in the folder that [`BIN_DIR`] names, or in
/// the one that this test was built into.
///
/// # Errors
/// If it is in neither, with how to build it.
pub fn executable(name: &OsStr) -> io::Result<PathBuf> {
    let named = std::env::var_os(BIN_DIR).map(PathBuf::from);
    let own = std::env::current_exe()?;
    // target/PROFILE/deps/test-0123 or target/PROFILE/program
    let beside = own.ancestors().skip(1).take(2).map(Path::to_owned);
    let found = named
        .into_iter()
        .chain(beside)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "{} is not built: cargo build --release, or name its folder in {BIN_DIR}",
                name.display()
            ),
        )
    })
}

/// See the module.
pub struct ServerProcess {
    keeper: Child,
    url: String,
    anchor: Option<PathBuf>,
    policy: Option<PathBuf>,
    data: PathBuf,
    pki: PathBuf,
    logs: PathBuf,
    // Holds the folders that were not given.
    home: Option<TempDir>,
}

impl ServerProcess {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// If an executable is missing, or it ends or is silent for longer than
    /// the limit; the text holds the end of its log.
    pub fn start(options: &ServerOptions) -> io::Result<Self> {
        let home = TempDir::new()?;
        let data = options
            .data
            .clone()
            .unwrap_or_else(|| home.path().join("data"));
        let pki = options
            .pki
            .clone()
            .unwrap_or_else(|| home.path().join("pki"));
        let logs = home.path().join("logs");
        fs::create_dir_all(&logs)?;
        let mut command = Command::new(executable(OsStr::new("soundproofd"))?);
        command
            .args(["--listen", "127.0.0.1:0", "--platform", "software"])
            .arg("--data")
            .arg(&data)
            .arg("--software-pki")
            .arg(&pki)
            .arg("--software-quote-delay-ms")
            .arg(options.quote_delay_ms.to_string());
        for (system, path) in &options.provers {
            let path = if path.components().count() == 1 {
                executable(path.as_os_str())?
            } else {
                path.clone()
            };
            let mut value = OsString::from(format!("{system}="));
            value.push(path);
            command.arg("--prover").arg(value);
        }
        let mut keeper = command
            .args(&options.args)
            .env("RUST_LOG", "trace")
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(logs.join("stderr"))?)
            .spawn()?;
        let lines = follow(&mut keeper, &logs.join("stdout"))?;
        let mut server = Self {
            keeper,
            url: String::new(),
            anchor: None,
            policy: None,
            data,
            pki,
            logs,
            home: Some(home),
        };
        server.wait_until_listening(&lines, options.start_limit)?;
        Ok(server)
    }

    fn wait_until_listening(
        &mut self,
        lines: &mpsc::Receiver<String>,
        limit: Duration,
    ) -> io::Result<()> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).map_err(|_| {
                let state = self.keeper.try_wait().ok().flatten();
                let state =
                    state.map_or("is silent".to_owned(), |status| format!("ended: {status}"));
                io::Error::other(format!("soundproofd {state}\n{}", self.log_tail()))
            })?;
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            if event.get("event").and_then(|name| name.as_str()) != Some("listening") {
                continue;
            }
            let text = |key: &str| event.get(key).and_then(|v| v.as_str()).map(str::to_owned);
            self.url = text("url").ok_or_else(|| io::Error::other("no url in the event"))?;
            self.anchor = text("anchor").map(PathBuf::from);
            self.policy = text("policy").map(PathBuf::from);
            return Ok(());
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its trust anchor's file.
    pub fn anchor(&self) -> Option<&Path> {
        self.anchor.as_deref()
    }

    /// A policy that accepts exactly it.
    pub fn policy(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The folder of its platform's keys.
    pub fn pki(&self) -> &Path {
        &self.pki
    }

    /// The folder that holds `stdout` and `stderr`.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The keeper's pid.
    pub fn keeper(&self) -> u32 {
        self.keeper.id()
    }

    /// The keeper's live descendants.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn children(&self) -> io::Result<Vec<(u32, Kind)>> {
        descendants(self.keeper.id())
    }

    /// The pids of one kind.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn pids(&self, kind: Kind) -> io::Result<Vec<u32>> {
        let children = self.children()?.into_iter();
        Ok(children
            .filter_map(|(pid, is)| (is == kind).then_some(pid))
            .collect())
    }

    /// The gateway's pid, if it runs.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn gateway(&self) -> io::Result<Option<u32>> {
        Ok(self.pids(Kind::Gateway)?.first().copied())
    }

    /// kill -9 of a child, by a pid that [`children`](Self::children) gave.
    /// One that is gone already is no error.
    ///
    /// # Errors
    /// If it may not be killed, or is no descendant of the keeper.
    pub fn kill_child(&self, pid: u32) -> io::Result<()> {
        if !self.children()?.iter().any(|(child, _)| *child == pid) {
            return Ok(());
        }
        kill(pid, Signal::KILL)
    }

    /// kill -9 of the keeper; waits until it is gone, and for its children,
    /// which must not outlive it, at most ten seconds.
    ///
    /// # Errors
    /// If a child is still there after that; it is killed then.
    pub fn kill_keeper(&mut self) -> io::Result<ExitStatus> {
        let children = self.children()?;
        self.keeper.kill()?;
        let status = self.keeper.wait()?;
        let survivors = wait_for_end(&children, Duration::from_secs(10));
        for pid in &survivors {
            kill(*pid, Signal::KILL)?;
        }
        if survivors.is_empty() {
            Ok(status)
        } else {
            Err(io::Error::other(format!(
                "outlived the keeper: {survivors:?}"
            )))
        }
    }

    /// Asks it to stop (SIGTERM) and waits; after `limit` kills it.
    ///
    /// # Errors
    /// If it had to be killed, or left a child behind.
    pub fn stop(mut self, limit: Duration) -> io::Result<ExitStatus> {
        let children = self.children()?;
        kill(self.keeper.id(), Signal::TERM)?;
        let until = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.keeper.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                return Err(io::Error::other(format!(
                    "did not stop\n{}",
                    self.log_tail()
                )));
            }
            thread::sleep(POLL);
        };
        let survivors = wait_for_end(&children, Duration::from_secs(10));
        if survivors.is_empty() {
            Ok(status)
        } else {
            Err(io::Error::other(format!(
                "outlived the keeper: {survivors:?}"
            )))
        }
    }

    /// The end of what it wrote to stderr.
    pub fn log_tail(&self) -> String {
        const TAIL: usize = 4000;
        let log = fs::read(self.logs.join("stderr")).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(TAIL)..)
            .unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let children = self.children().unwrap_or_default();
        if matches!(self.keeper.try_wait(), Ok(None)) {
            let _ = kill(self.keeper.id(), Signal::TERM);
            let until = Instant::now() + Duration::from_secs(3);
            while matches!(self.keeper.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(POLL);
            }
            let _ = self.keeper.kill();
            let _ = self.keeper.wait();
        }
        for pid in wait_for_end(&children, Duration::from_secs(3)) {
            let _ = kill(pid, Signal::KILL);
        }
        // A test that fails leaves the logs behind.
        if thread::panicking()
            && let Some(home) = self.home.take()
        {
            eprintln!("soundproofd's folder: {}", home.keep().display());
        }
    }
}

/// Copies the keeper's output to a file and hands its lines on.
fn follow(keeper: &mut Child, path: &Path) -> io::Result<mpsc::Receiver<String>> {
    let (lines, received) = mpsc::channel();
    let mut copy = File::create(path)?;
    let stdout = keeper.stdout.take();
    let stdout = stdout.ok_or_else(|| io::Error::other("no standard output"))?;
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            let _ = writeln!(copy, "{line}");
            // Nobody listens once it has started; the copy goes on.
            let _ = lines.send(line);
        }
    });
    Ok(received)
}

fn kill(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Which of `pids` still run after they all had `limit` to end.
fn wait_for_end(children: &[(u32, Kind)], limit: Duration) -> Vec<u32> {
    let until = Instant::now() + limit;
    loop {
        let alive: Vec<u32> = children
            .iter()
            .map(|(pid, _)| *pid)
            .filter(|pid| is_running(*pid))
            .collect();
        if alive.is_empty() || Instant::now() >= until {
            return alive;
        }
        thread::sleep(POLL);
    }
}

/// A zombie runs no more, whether or not anybody has reaped it.
fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, state)| !matches!(state, b'Z' | b'X'))
}

/// Parent and state of a process.
fn stat(pid: u32) -> Option<(u32, u8)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    Some((fields.next()?.parse().ok()?, state))
}

fn descendants(root: u32) -> io::Result<Vec<(u32, Kind)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some((parent, state)) = stat(pid)
            && !matches!(state, b'Z' | b'X')
        {
            parents.push((pid, parent));
        }
    }
    let mut found: Vec<(u32, Kind)> = Vec::new();
    let mut level = vec![root];
    while !level.is_empty() {
        let next: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| {
                level.contains(parent) && !found.iter().any(|(known, _)| known == pid)
            })
            .map(|(pid, _)| *pid)
            .collect();
        found.extend(next.iter().map(|pid| (*pid, kind(*pid))));
        level = next;
    }
    Ok(found)
}

fn kind(pid: u32) -> Kind {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let second = command.split(|byte| *byte == 0).nth(1);
    match second {
        Some(b"gateway") => Kind::Gateway,
        Some(b"collector") => Kind::Collector,
        _ => Kind::Prover,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_and_its_end_is_seen() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let grandchild = loop {
            let below = descendants(child.id()).unwrap();
            if let Some((pid, _)) = below.first() {
                break *pid;
            }
            assert!(Instant::now() < until, "the shell started nothing");
            thread::sleep(POLL);
        };
        assert!(
            descendants(std::process::id())
                .unwrap()
                .iter()
                .any(|(pid, _)| *pid == grandchild)
        );
        kill(grandchild, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(
            wait_for_end(&[(grandchild, Kind::Prover)], Duration::from_secs(10)),
            [0; 0]
        );
        kill(grandchild, Signal::KILL).unwrap();
    }

    #[test]
    fn an_executable_that_is_not_built_is_an_error_that_says_so() {
        let error = executable(OsStr::new("soundproof-no-such-program")).unwrap_err();
        assert!(error.to_string().contains("is not built"));
    }
}
