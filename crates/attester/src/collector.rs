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

use crate::{
    Machine,
    azure::{Host, SnpCertificates, TD_REPORT},
    error::{DeviceError, Interface, Problem},
    nvml::Gpus,
};
use minicbor::{Decode, Encode, bytes::ByteVec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use soundproof_protocol::{binding::GpuNonce, cbor};
use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Bytes of a question at most.
const MAX_QUESTION: usize = 4096;
/// Bytes of an answer at most: evidence of 16 GPUs.
const MAX_ANSWER: usize = 384 * 1024;
/// For one answer: sixteen GPUs take some seconds.
const LIMIT: Duration = Duration::from_secs(60);

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

fn place(problem: Problem) -> DeviceError {
    DeviceError::new(Interface::Collector, "soundproofd collector", problem)
}

fn error(error: io::Error) -> DeviceError {
    DeviceError::system(Interface::Collector, "soundproofd collector", error)
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

fn write_frame(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let frame = [&length.to_be_bytes() as &[u8], bytes].concat();
    output.write_all(&frame)?;
    output.flush()
}

/// None at the end of the stream.
fn read_frame(input: &mut impl Read, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let [first, rest @ ..] = &mut length;
    let read = loop {
        match input.read(std::slice::from_mut(first)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if read == 0 {
        return Ok(None);
    }
    input.read_exact(rest)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "too long a frame",
        ));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// The collector's end: answers what is asked until nobody asks any more.
///
/// # Errors
/// What the system says of the pipes; `InvalidData` for what is no question.
pub fn serve(mut input: impl Read, mut output: impl Write, answerer: &Answerer) -> io::Result<()> {
    while let Some(question) = read_frame(&mut input, MAX_QUESTION)? {
        let question = cbor::from_slice(&question, MAX_QUESTION)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let answer = answerer.answer(&question).unwrap_or_else(failed);
        write_frame(&mut output, &cbor::to_vec(&answer))?;
    }
    Ok(())
}

/// Who answers in the collector's process.
pub struct Answerer {
    host: std::sync::Arc<dyn Host>,
    gpus: crate::nvml::Nvml,
}

impl Answerer {
    /// By the machine's metadata service, and the GPUs of `gpus`.
    pub fn new(machine: &Machine, gpus: crate::nvml::Nvml) -> Self {
        Self {
            host: machine.host.clone(),
            gpus,
        }
    }

    fn answer(&self, question: &Question) -> Result<Answer, DeviceError> {
        match question {
            Question::TdQuote(report) => {
                let report = report.as_slice().try_into().map_err(|_| unexpected())?;
                Ok(Answer::Bytes(self.host.td_quote(report)?.into()))
            }
            Question::SnpCertificates => {
                let SnpCertificates { signer, chain } = self.host.snp_certificates()?;
                Ok(Answer::Certificates {
                    signer: signer.into(),
                    chain: chain.into_iter().map(ByteVec::from).collect(),
                })
            }
            Question::Gpus(nonce) => {
                let nonce = nonce.as_slice().try_into().map_err(|_| unexpected())?;
                Ok(Answer::Bytes(self.gpus.reports(nonce)?.into()))
            }
        }
    }
}

fn failed(error: DeviceError) -> Answer {
    let text = match &error.problem {
        Problem::Throttled { tries } => tries.to_string(),
        Problem::Malformed(why) | Problem::Refused(why) | Problem::NotConfidential(why) => {
            why.clone()
        }
        other => other.to_string(),
    };
    Answer::Failed {
        imds: error.interface == Interface::Imds,
        place: error.place,
        code: error.problem.code().into(),
        text,
    }
}
