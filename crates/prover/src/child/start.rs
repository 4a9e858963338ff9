//! From `main` to hello: arguments, sandbox, introduction.

use std::io::Write;
use std::process::ExitCode;

use super::{Channel, Stage, serve, watch};
use crate::sandbox::{Profile, SandboxError, confine};
use soundproof_protocol::mode::ModeInfo;

use crate::wire::{Hello, PROTOCOL, StageInfo, ToKeeper, WireError};

/// What an executable can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prover {
    /// The proof system's name, as job descriptions have it.
    pub system: String,
    /// Name and version of the prover, for receipts.
    pub version: String,
    /// Modes in which it can prove.
    pub modes: Vec<ModeInfo>,
    /// Its stages, in order.
    pub stages: Vec<StageInfo>,
}

/// What the supervisor says to a process by its arguments. All of it is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The stage to serve; empty only to describe the executable.
    pub stage: String,
    /// The supervisor's process.
    pub parent: u32,
    /// User to become.
    pub user: Option<u32>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Threads, the first included.
    pub threads: u64,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
    /// Bytes of folders of its own, `/tmp` and `/dev/shm` together, which are
    /// among `memory_bytes`; 0: none. Not 0 just where the stage's
    /// [`StageInfo::folder_bytes`] is not. To describe the executable: those that
    /// the operator has set for its stages, if any; there are none meanwhile.
    pub folder_bytes: u64,
    /// Whether it may reach the machine's GPUs; just where the stage's
    /// [`StageInfo::gpu`] says that it must.
    pub gpu: bool,
}

/// Why a prover did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Not arguments of the supervisor's.
    #[error("this program is started by soundproofd, not by hand")]
    Arguments,
    /// The stage asked for is not one of this executable's.
    #[error("no such stage")]
    Stage,
    /// The memory of all its processes cannot be watched.
    #[error("the memory that is used cannot be watched")]
    Watch(#[source] std::io::Error),
    /// The sandbox does not hold.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The supervisor did not take the hello, or sent nonsense.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Start {
    /// The arguments that say this.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--stage={}", self.stage),
            format!("--parent={}", self.parent),
            format!("--memory={}", self.memory_bytes),
            format!("--threads={}", self.threads),
        ];
        arguments.extend(self.user.map(|user| format!("--user={user}")));
        arguments.extend(self.cpu_seconds.map(|seconds| format!("--cpu={seconds}")));
        if self.folder_bytes > 0 {
            arguments.push(format!("--folders={}", self.folder_bytes));
        }
        if self.gpu {
            arguments.push("--gpu=true".to_owned());
        }
        arguments
    }

    /// Reads arguments, the program's name not among them.
    ///
    /// # Errors
    /// [`StartError::Arguments`] for an unknown, malformed, repeated or missing one.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, StartError> {
        let (mut stage, mut parent, mut memory, mut threads) = (None, None, None, None);
        let (mut user, mut cpu, mut folders, mut gpu) = (None, None, None, None);
        for argument in arguments {
            let (name, value) = argument.split_once('=').ok_or(StartError::Arguments)?;
            match name {
                "--stage" => once(&mut stage, value)?,
                "--parent" => once(&mut parent, value)?,
                "--memory" => once(&mut memory, value)?,
                "--threads" => once(&mut threads, value)?,
                "--user" => once(&mut user, value)?,
                "--cpu" => once(&mut cpu, value)?,
                "--folders" => once(&mut folders, value)?,
                "--gpu" => once(&mut gpu, value)?,
                _ => return Err(StartError::Arguments),
            }
        }
        Ok(Self {
            stage: stage.ok_or(StartError::Arguments)?,
            parent: parent.ok_or(StartError::Arguments)?,
            user,
            memory_bytes: memory.ok_or(StartError::Arguments)?,
            threads: threads.ok_or(StartError::Arguments)?,
            cpu_seconds: cpu,
            folder_bytes: folders.unwrap_or(0),
            gpu: gpu.unwrap_or(false),
        })
    }

    /// Whether a stage's process is given folders, and a GPU, just if it needs
    /// them.
    fn fits(&self, stage: Option<&StageInfo>) -> bool {
        stage.is_none_or(|stage| {
            (stage.folder_bytes > 0) == (self.folder_bytes > 0)
                && self.folder_bytes < self.memory_bytes
                && stage.gpu == self.gpu
        })
    }

    fn profile(&self, stage: Option<&StageInfo>) -> Profile {
        Profile {
            parent: self.parent,
            user: self.user,
            memory_bytes: self.memory_bytes,
            threads: self.threads,
            cpu_seconds: self.cpu_seconds,
            executable_memory: stage.is_some_and(|stage| stage.runs_program),
            folder_bytes: if stage.is_some() {
                self.folder_bytes
            } else {
                0
            },
            gpu: stage.is_some() && self.gpu,
        }
    }
}

fn once<T: std::str::FromStr>(slot: &mut Option<T>, value: &str) -> Result<(), StartError> {
    let value = value.parse().map_err(|_| StartError::Arguments)?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(StartError::Arguments),
    }
}

/// A prover's whole `main`: confines the process, says hello, serves jobs until
/// the keeper hangs up. `make` is called once, inside the sandbox; threads that
/// it starts are confined too.
///
/// Must run before anything starts a thread.
pub fn main(prover: Prover, make: impl FnOnce(&Start) -> Box<dyn Stage>) -> ExitCode {
    match run(prover, make) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Read by the supervisor until the hello; nothing is secret yet.
            let _ = writeln!(std::io::stderr(), "{e}");
            ExitCode::FAILURE
        }
    }
}

fn run(prover: Prover, make: impl FnOnce(&Start) -> Box<dyn Stage>) -> Result<(), StartError> {
    let start = Start::parse(std::env::args().skip(1))?;
    let stage = prover.stages.iter().find(|stage| stage.name == start.stage);
    if stage.is_none() && !start.stage.is_empty() {
        return Err(StartError::Stage);
    }
    let describing = stage.is_none();
    if !start.fits(stage) {
        return Err(StartError::Arguments);
    }
    let mut channel = Channel::take_stdio().map_err(WireError::Io)?;
    let profile = start.profile(stage);
    let sandbox = confine(&profile, &mut channel, |channel, process| {
        // If this is not heard, neither is the other's hello.
        let _ = channel.send(&ToKeeper::Moved(process));
    })?;
    if profile.folder_bytes > 0 {
        // A GPU's driver shares memory that belongs to no file. What is counted
        // with it is the folders' too, once for each process that maps them.
        let apart = if profile.gpu { 0 } else { profile.folder_bytes };
        watch::start(start.memory_bytes - apart, profile.gpu).map_err(StartError::Watch)?;
    }
    channel.send(&ToKeeper::Hello(Hello {
        protocol: PROTOCOL,
        system: prover.system,
        version: prover.version,
        stage: start.stage.clone(),
        sandbox,
        stages: prover.stages,
        modes: prover.modes,
    }))?;
    if describing {
        let _ = channel.receive(); // stays until the supervisor has looked at it
        return Ok(());
    }
    let mut stage = make(&start);
    match serve(&mut channel, stage.as_mut()) {
        Ok(()) | Err(WireError::Closed) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start {
            stage: "prove".into(),
            parent: 7,
            user: Some(64000),
            memory_bytes: 1 << 40,
            threads: 3,
            cpu_seconds: None,
            folder_bytes: 0,
            gpu: false,
        }
    }

    #[test]
    fn arguments_round_trip() {
        for start in [
            start(),
            Start {
                user: None,
                cpu_seconds: Some(60),
                folder_bytes: 1 << 30,
                gpu: true,
                ..start()
            },
        ] {
            assert_eq!(Start::parse(start.arguments()).unwrap(), start);
        }
    }

    #[test]
    fn other_arguments_are_refused() {
        let with =
            |more: &str| Start::parse(start().arguments().into_iter().chain([more.to_owned()]));
        for refused in [
            "--stage=prove",
            "--user=1",
            "--user",
            "prove",
            "--colour=1",
            "--cpu=-1",
            "--cpu=",
            "--folders=",
            "--folders=-1",
            "--gpu=",
            "--gpu=1",
        ] {
            assert!(with(refused).is_err(), "{refused}");
        }
        for missing in 0..4 {
            let mut arguments = start().arguments();
            arguments.remove(missing);
            assert!(
                Start::parse(arguments).is_err(),
                "without argument {missing}"
            );
        }
    }
}
