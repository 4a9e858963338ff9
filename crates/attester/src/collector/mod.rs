//! What the keeper must not do itself: use the network, as Azure's metadata
//! service needs, and run a vendor's library in its address space, as NVIDIA's
//! GPUs need. A process of its own does both, and is given nothing but what is
//! public: a TD report, a nonce. It holds no key and learns no secret; if it
//! lies, evidence is rejected, which the host can have more cheaply.
//!
//! `soundproofd` starts itself as the collector, when something is asked for
//! the first time, and again if it died. Question and answer go over its
//! standard input and output, each with its length (four bytes, big endian) in
//! front, in CBOR; one at a time.

mod frame;
mod process;

pub use process::{Answerer, run, serve};

use crate::{
    azure::{Host, SnpCertificates, TD_REPORT},
    error::{DeviceError, Interface, Problem},
    nvml::Gpus,
};
use frame::{read_frame, write_frame};
use minicbor::{Decode, Encode, bytes::ByteVec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use soundproof_protocol::{binding::GpuNonce, cbor};
use std::{
    io::{self, Read},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Bytes of a question at most.
const MAX_QUESTION: usize = 4096;
/// Bytes of an answer at most: evidence of 16 GPUs.
const MAX_ANSWER: usize = 384 * 1024;
/// For one answer: sixteen GPUs take some seconds.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The argument that an executable starts its collector with.
pub const ARGUMENT: &str = "collector";
/// Of the environment it gets what the loader and the log need.
const ENVIRONMENT: [&str; 3] = ["LD_LIBRARY_PATH", "RUST_LOG", "SOUNDPROOF_LOG_FORMAT"];

#[derive(Encode, Decode)]
enum Question {
    #[n(0)]
    TdQuote(#[n(0)] ByteVec),
    #[n(1)]
    SnpCertificates,
    #[n(2)]
    Gpus(#[n(0)] ByteVec),
}

#[derive(Encode, Decode)]
enum Answer {
    #[n(0)]
    Bytes(#[n(0)] ByteVec),
    #[n(1)]
    Certificates {
        #[n(0)]
        signer: ByteVec,
        #[n(1)]
        chain: Vec<ByteVec>,
    },
    #[n(2)]
    Failed {
        #[n(0)]
        imds: bool,
        #[n(1)]
        place: String,
        /// [`Problem::code`].
        #[n(2)]
        code: String,
        #[n(3)]
        text: String,
    },
}

/// The keeper's end.
pub struct Collector {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    limit: Duration,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Collector {
    /// One that is `executable`, told so by [`ARGUMENT`]: it must call
    /// [`run`]. Of the environment it gets what the loader and the log need.
    pub fn of(executable: impl Into<PathBuf>) -> Self {
        let executable = executable.into();
        Self::new(move || {
            let mut command = Command::new(&executable);
            command.arg(ARGUMENT).env_clear();
            let kept = ENVIRONMENT.map(|name| (name, std::env::var_os(name)));
            command.envs(
                kept.into_iter()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
            command
        })
    }

    /// One that `command` starts: a process that calls [`serve`].
    pub fn new(command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Self {
            command: Box::new(command),
            limit: LIMIT,
            running: Mutex::default(),
        }
    }

    /// With another limit for one answer.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn ask(&self, question: &Question) -> Result<Answer, DeviceError> {
        let mut held = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = match held.take() {
            Some(running) => running,
            None => start(&self.command).map_err(error)?,
        };
        let asked = match exchange(&mut running, question, self.limit) {
            // It died since it was last asked: nothing was answered, so that
            // another may be asked the same.
            Err(broken) if broken.kind() == io::ErrorKind::BrokenPipe => {
                running = start(&self.command).map_err(error)?;
                exchange(&mut running, question, self.limit)
            }
            asked => asked,
        };
        // After a failure it is not known where in the stream it stands.
        let answer = asked.map_err(|failed| match failed.kind() {
            io::ErrorKind::TimedOut => place(Problem::TimedOut(self.limit)),
            _ => error(failed),
        })?;
        *held = Some(running);
        match answer {
            Answer::Failed {
                imds,
                place,
                code,
                text,
            } => {
                let interface = if imds {
                    Interface::Imds
                } else {
                    Interface::Nvml
                };
                Err(DeviceError::new(interface, place, problem(&code, text)))
            }
            answer => Ok(answer),
        }
    }

    fn bytes(&self, question: &Question) -> Result<Vec<u8>, DeviceError> {
        match self.ask(question)? {
            Answer::Bytes(bytes) => Ok(bytes.into()),
            _ => Err(unexpected()),
        }
    }
}

impl Host for Collector {
    fn td_quote(&self, report: &[u8; TD_REPORT]) -> Result<Vec<u8>, DeviceError> {
        self.bytes(&Question::TdQuote(report.to_vec().into()))
    }

    fn snp_certificates(&self) -> Result<SnpCertificates, DeviceError> {
        match self.ask(&Question::SnpCertificates)? {
            Answer::Certificates { signer, chain } => Ok(SnpCertificates {
                signer: signer.into(),
                chain: chain.into_iter().map(Vec::from).collect(),
            }),
            _ => Err(unexpected()),
        }
    }
}

impl Gpus for Collector {
    fn evidence(&self, nonce: &GpuNonce) -> Result<Vec<u8>, DeviceError> {
        self.bytes(&Question::Gpus(nonce.as_bytes().to_vec().into()))
    }
}

/// In messages.
const PLACE: &str = "its standard output";

fn place(problem: Problem) -> DeviceError {
    DeviceError::new(Interface::Collector, PLACE, problem)
}

fn error(error: io::Error) -> DeviceError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => place(Problem::Died),
        _ => DeviceError::system(Interface::Collector, PLACE, error),
    }
}

fn unexpected() -> DeviceError {
    place(Problem::Malformed(
        "another answer than was asked for".into(),
    ))
}

/// A problem that crossed the pipe.
fn problem(code: &str, text: String) -> Problem {
    let text = crate::shown(&text);
    match code {
        "no_device" => Problem::NoDevice,
        "no_permission" => Problem::NoPermission,
        "throttled" => Problem::Throttled {
            tries: text.parse().unwrap_or(1),
        },
        "timed_out" => Problem::TimedOut(Duration::ZERO),
        "malformed_answer" => Problem::Malformed(text),
        "not_confidential" => Problem::NotConfidential(text),
        _ => Problem::Refused(text),
    }
}

fn start(command: &dyn Fn() -> Command) -> io::Result<Running> {
    let mut child = command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Ok(Running {
            child,
            input,
            output,
        }),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn exchange(running: &mut Running, question: &Question, limit: Duration) -> io::Result<Answer> {
    let until = Instant::now() + limit;
    write_frame(&mut running.input, &cbor::to_vec(question))?;
    let mut output = Bounded {
        output: &mut running.output,
        until,
    };
    let Some(answer) = read_frame(&mut output, MAX_ANSWER)? else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    cbor::from_slice(&answer, MAX_ANSWER)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an answer that is none"))
}

/// Reads until a moment, and no longer.
struct Bounded<'a> {
    output: &'a mut ChildStdout,
    until: Instant,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut ready = [PollFd::new(&*self.output, PollFlags::IN)];
        if poll(&mut ready, Some(&left))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.output.read(buffer)
    }
}
