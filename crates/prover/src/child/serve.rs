//! The loop of a prover process: load a program, do a job, forget.

use std::io::{Read, Write};

use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use zeroize::Zeroizing;

use super::Channel;
use crate::hygiene::scrub_stack;
use crate::wire::{
    Done, Form, Job, Need, Output, OutputKind, Part, Program, Progress, ToKeeper, ToProver,
    WireError,
};

/// KiB of stack that are overwritten after each job.
const SCRUB_KIB: usize = 512;
/// Bytes of a phase's name, at most.
const MAX_PHASE: usize = 64;

/// One step of the pipeline, as a proof system implements it.
pub trait Stage {
    /// Makes ready for jobs with `program`, fetching from `loader` what is not
    /// at hand. Also called when it is loaded already.
    ///
    /// # Errors
    /// [`Abandon::Failed`] when the program cannot be used.
    fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon>;

    /// Does one job with the program that was loaded last.
    ///
    /// # Errors
    /// [`Abandon::Failed`] when it cannot be done.
    fn run(
        &mut self,
        job: &Job,
        input: Zeroizing<Vec<u8>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon>;
}

/// What a stage made.
pub enum StageOutput {
    /// The next stage's input.
    Intermediate(Zeroizing<Vec<u8>>),
    /// The last stage's result.
    Result {
        /// The proof.
        proof: Zeroizing<Vec<u8>>,
        /// The public values.
        public: Zeroizing<Vec<u8>>,
        /// Whether the proof was verified here.
        verified: bool,
        /// The verifying key, where it is computed from the program.
        verifying_key: Option<Vec<u8>>,
    },
}

/// Why a stage gave up.
#[derive(Debug)]
pub enum Abandon {
    /// For a reason that the client is told. The process goes on.
    Failed(Failure),
    /// The keeper is gone, took the job back, or does not keep to the protocol.
    Wire(WireError),
}

impl From<WireError> for Abandon {
    fn from(e: WireError) -> Self {
        Self::Wire(e)
    }
}

impl From<Failure> for Abandon {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The part of a [`Channel`] that loading needs, whatever it runs over.
trait LoadFrom {
    fn fetch(&mut self, need: Need, max: u64) -> Result<Zeroizing<Vec<u8>>, WireError>;
    fn keep(&mut self, derived: Part, bytes: &[u8]) -> Result<(), WireError>;
    fn tell(&mut self, message: &ToKeeper) -> Result<(), WireError>;
}

impl<S: Read + Write> LoadFrom for Channel<S> {
    fn fetch(&mut self, need: Need, max: u64) -> Result<Zeroizing<Vec<u8>>, WireError> {
        self.send(&ToKeeper::Need(need.clone()))?;
        match self.receive()? {
            ToProver::Part(part) if part.digest == need.digest && part.form == need.form => {
                self.receive_stream(part.len, max)
            }
            ToProver::Cut => Err(WireError::Cut),
            _ => Err(WireError::Order("the part that was asked for")),
        }
    }

    fn keep(&mut self, derived: Part, bytes: &[u8]) -> Result<(), WireError> {
        self.send_stream(&ToKeeper::Derived(derived), bytes)
    }

    fn tell(&mut self, message: &ToKeeper) -> Result<(), WireError> {
        self.send(message)
    }
}

/// Fetches a program's parts. Their digests were checked by the keeper.
pub struct Loader<'a>(&'a mut dyn LoadFrom);

impl Loader<'_> {
    /// A part's bytes, at most `max` of them.
    ///
    /// # Errors
    /// [`Abandon::Failed`] with [`Code::MemoryLimit`] when it is too large;
    /// [`Abandon::Wire`] when there is
    /// no more point in going on.
    pub fn source(&mut self, digest: &Digest, max: u64) -> Result<Zeroizing<Vec<u8>>, Abandon> {
        self.fetch(digest, Form::Source, max)
    }

    /// What an earlier process derived from a part; to be asked for only where
    /// [`Program::derived`] lists it. It comes from a process that had loaded
    /// the same program and had seen no input.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn derived(&mut self, digest: &Digest, max: u64) -> Result<Zeroizing<Vec<u8>>, Abandon> {
        self.fetch(digest, Form::Derived, max)
    }

    /// Offers the keeper what was derived from a part, for later processes.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn keep(&mut self, digest: &Digest, derived: &[u8]) -> Result<(), Abandon> {
        let part = Part {
            digest: *digest,
            form: Form::Derived,
            len: derived.len() as u64,
        };
        Ok(self.0.keep(part, derived)?)
    }

    fn fetch(
        &mut self,
        digest: &Digest,
        form: Form,
        max: u64,
    ) -> Result<Zeroizing<Vec<u8>>, Abandon> {
        self.0
            .fetch(
                Need {
                    digest: *digest,
                    form,
                },
                max,
            )
            .map_err(|e| too_large(e, Code::MemoryLimit))
    }
}

/// Reports how far a job is.
pub struct Reporter<'a>(&'a mut dyn LoadFrom);

impl Reporter<'_> {
    /// A phase, and thousandths of the stage that are done.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn progress(&mut self, phase: &str, permille: u16) -> Result<(), Abandon> {
        let phase = truncated(phase, MAX_PHASE).to_owned();
        Ok(self.0.tell(&ToKeeper::Progress(Progress {
            phase,
            permille: permille.min(1000),
        }))?)
    }
}

/// Serves one keeper until it hangs up.
///
/// # Errors
/// [`WireError::Closed`] at the end; any other when the keeper does not keep to
/// the protocol.
pub fn serve<S: Read + Write>(
    channel: &mut Channel<S>,
    stage: &mut dyn Stage,
) -> Result<(), WireError> {
    let mut loaded = false;
    loop {
        match channel.receive()? {
            ToProver::Program(program) => {
                loaded = false;
                match stage.load(&program, &mut Loader(channel)) {
                    Ok(()) => {
                        channel.send(&ToKeeper::Ready)?;
                        loaded = true;
                    }
                    Err(abandon) => give_up(channel, abandon)?,
                }
            }
            ToProver::Job(job) if loaded => {
                let result = work(channel, stage, &job);
                drop(job);
                scrub_stack(SCRUB_KIB);
                if let Err(abandon) = result {
                    give_up(channel, abandon)?;
                }
            }
            ToProver::Cut => {}
            _ => {
                return Err(WireError::Order(
                    "a program, or a job for one that is loaded",
                ));
            }
        }
    }
}

#[inline(never)]
fn work<S: Read + Write>(
    channel: &mut Channel<S>,
    stage: &mut dyn Stage,
    job: &Job,
) -> Result<(), Abandon> {
    let input = channel
        .receive_stream(job.input_len, job.limits.memory_bytes)
        .map_err(|e| too_large(e, Code::InputTooLarge))?;
    let done = match stage.run(job, input, &mut Reporter(channel))? {
        StageOutput::Intermediate(bytes) => {
            output(channel, OutputKind::Intermediate, &bytes)?;
            Done::default()
        }
        StageOutput::Result {
            proof,
            public,
            verified,
            verifying_key,
        } => {
            output(channel, OutputKind::Public, &public)?;
            output(channel, OutputKind::Proof, &proof)?;
            Done {
                verified,
                verifying_key: verifying_key.map(Into::into),
            }
        }
    };
    Ok(channel.send(&ToKeeper::Done(done))?)
}

fn output<S: Read + Write>(
    channel: &mut Channel<S>,
    kind: OutputKind,
    bytes: &[u8],
) -> Result<(), WireError> {
    channel.send_stream(
        &ToKeeper::Output(Output {
            kind,
            len: bytes.len() as u64,
        }),
        bytes,
    )
}

/// Tells the keeper what it has to know. A cut needs no answer.
fn give_up<S: Read + Write>(channel: &mut Channel<S>, abandon: Abandon) -> Result<(), WireError> {
    match abandon {
        Abandon::Failed(failure) => channel.send(&ToKeeper::Failed(Failure::new(
            failure.code,
            failure.detail,
        ))),
        Abandon::Wire(WireError::Cut) => Ok(()),
        Abandon::Wire(e) => Err(e),
    }
}

/// A stream that has no room ends the job, not the process.
fn too_large(e: WireError, code: Code) -> Abandon {
    match e {
        WireError::TooLong => Abandon::Failed(Failure::new(code, "")),
        WireError::Memory => Abandon::Failed(Failure::new(Code::MemoryLimit, "")),
        e => Abandon::Wire(e),
    }
}

fn truncated(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
