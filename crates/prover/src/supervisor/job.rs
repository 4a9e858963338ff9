//! One job, from its first stage to its last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::ProverInfo;
use super::config::JobLimits;
use super::parts::PartProvider;
use super::pool::{Lease, Pool, StageProgram};
use crate::wire::{
    Done, Entropy, Job, MAX_VERIFYING_KEY, OutputKind, Progress, ToKeeper, ToProver, WireError,
};

/// Bytes of a phase's name, at most.
const MAX_PHASE: usize = 64;
/// More than a job's time before the supervisor's own kill, so that a stage can
/// say itself that its time is up.
const GRACE: Duration = Duration::from_secs(1);

/// A job to do.
pub struct JobRequest {
    /// The program's parts, as in the description.
    pub parts: Vec<ProgramPart>,
    /// Where the parts are. Kept for a while: processes are started ahead with it.
    pub provider: Arc<dyn PartProvider>,
    /// The mode.
    pub mode: String,
    /// What the job may use; nought: as much as there is.
    pub limits: Limits,
    /// The client's entropy.
    pub entropy: Entropy,
    /// Digest of the job description.
    pub description: Digest,
    /// The plaintext.
    pub input: InputStream,
    /// Where progress goes. What does not fit at once is lost.
    pub progress: mpsc::Sender<Progress>,
    /// Ends the job.
    pub cancel: CancellationToken,
}

/// A job's plaintext.
pub struct InputStream {
    /// Bytes in all.
    pub len: u64,
    /// The bytes, in pieces of any size. An error ends the job with it.
    pub pieces: BoxStream<'static, Result<Zeroizing<Vec<u8>>, Failure>>,
}

/// What a job made.
pub struct JobResult {
    /// The proof.
    pub proof: Zeroizing<Vec<u8>>,
    /// The public values.
    pub public: Zeroizing<Vec<u8>>,
    /// Whether the prover verified the proof, under the verifying key that the
    /// program names.
    pub verified: bool,
    /// The verifying key, where the proof system computes it from the program;
    /// 1 to [`MAX_VERIFYING_KEY`] bytes.
    pub verifying_key: Option<Vec<u8>>,
    /// Name and version of the prover.
    pub version: String,
    /// For each stage that ran, its name and how long it worked.
    pub stages: Vec<(String, Duration)>,
}

impl std::fmt::Debug for JobResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobResult")
            .field("verified", &self.verified)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Does a job and waits until every process that it used alone is gone.
pub(super) async fn run(
    info: &ProverInfo,
    limits: &JobLimits,
    pools: &[Arc<Pool>],
    request: JobRequest,
) -> Result<JobResult, Failure> {
    let plan: Vec<_> = pools
        .iter()
        .map(|pool| (pool.clone(), pool.program(&request.parts)))
        .filter(|(_, program)| !program.is_empty())
        .collect();
    // The last stage makes the result, so it cannot be skipped.
    if plan.last().map(|(pool, _)| &pool.stage.name) != pools.last().map(|pool| &pool.stage.name) {
        return Err(fail(Code::ProgramPartMissing));
    }
    if !info
        .modes
        .iter()
        .any(|mode| mode.offered() && mode.name == request.mode)
    {
        return Err(fail(Code::ModeUnavailable));
    }
    if request.input.len > limits.max_input_bytes {
        return Err(fail(Code::InputTooLarge));
    }

    let tracker = TaskTracker::new();
    let (cancel, provider) = (request.cancel.clone(), request.provider.clone());
    let result = {
        let work = Work {
            info,
            limits,
            plan: &plan,
            tracker: &tracker,
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(fail(Code::Cancelled)),
            result = work.pipeline(request) => result,
        }
    };
    tracker.close();
    tracker.wait().await;
    for (pool, program) in plan {
        pool.refill(Some((program, provider.clone())));
    }
    result
}

/// A verifying key is absent, or neither empty nor larger than one can be.
fn has_sane_key(done: &Done) -> bool {
    let len = done.verifying_key.as_ref().map(|key| key.0.len());
    len.is_none_or(|len| (1..=MAX_VERIFYING_KEY).contains(&len))
}

fn fail(code: Code) -> Failure {
    Failure::new(code, "")
}

struct Work<'a> {
    info: &'a ProverInfo,
    limits: &'a JobLimits,
    plan: &'a [(Arc<Pool>, StageProgram)],
    tracker: &'a TaskTracker,
}

/// Where a stage's input comes from.
enum Source {
    Client(InputStream),
    Stage(Box<Running>, u64),
}

/// A stage at work.
struct Running {
    lease: Lease,
    /// The time that is left to it.
    left: Duration,
    worked: Duration,
}

/// What a stage answered.
enum Answer {
    /// It announced output for the next stage.
    Intermediate(u64),
    Result {
        proof: Zeroizing<Vec<u8>>,
        public: Zeroizing<Vec<u8>>,
        done: Done,
    },
}

/// A failure, and whether the process can do another job.
struct Ended {
    failure: Failure,
    usable: bool,
}

impl Ended {
    /// The process said so itself, or was told to forget the job.
    fn well(failure: Failure) -> Self {
        Self {
            failure,
            usable: true,
        }
    }

    /// The process is late, dead, or does not keep to the protocol.
    fn badly(code: Code) -> Self {
        Self {
            failure: fail(code),
            usable: false,
        }
    }
}

impl Work<'_> {
    async fn pipeline(&self, request: JobRequest) -> Result<JobResult, Failure> {
        let JobRequest {
            provider,
            mode,
            limits,
            entropy,
            description,
            input,
            progress,
            ..
        } = request;
        let mut source = Source::Client(input);
        let mut times = Vec::with_capacity(self.plan.len());
        let mut worked = Duration::ZERO;
        for (at, (pool, program)) in self.plan.iter().enumerate() {
            let last = at + 1 == self.plan.len();
            let lease = pool
                .acquire(program, provider.as_ref(), self.tracker)
                .await?;
            let granted = pool.config.limits(&limits);
            let whole = Duration::from_millis(granted.time_ms);
            // What the client allows is for all stages together.
            let left = if limits.time_ms == 0 {
                whole
            } else {
                whole.saturating_sub(worked)
            };
            let job = Job {
                mode: mode.clone(),
                limits: Limits {
                    time_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                    ..granted
                },
                entropy: entropy.clone(),
                description,
                input_len: source.len(),
            };
            let mut running = Running {
                lease,
                left: left + GRACE,
                worked: Duration::ZERO,
            };
            match running
                .work(job, source, &progress, last, self.limits, &mut times)
                .await
            {
                Ok(Answer::Intermediate(len)) => {
                    worked += running.worked;
                    source = Source::Stage(Box::new(running), len);
                }
                Ok(Answer::Result {
                    proof,
                    public,
                    done,
                }) => {
                    running.done(&mut times);
                    let version = self.info.version.clone();
                    return Ok(JobResult {
                        proof,
                        public,
                        verified: done.verified,
                        verifying_key: done.verifying_key.map(|key| key.0),
                        version,
                        stages: times,
                    });
                }
                Err(Ended { failure, usable }) => {
                    if usable {
                        running.lease.keep();
                    }
                    return Err(failure);
                }
            }
        }
        Err(fail(Code::ProverProtocol))
    }
}

impl Source {
    fn len(&self) -> u64 {
        match self {
            Self::Client(input) => input.len,
            Self::Stage(_, len) => *len,
        }
    }
}

impl Running {
    async fn work(
        &mut self,
        job: Job,
        source: Source,
        progress: &mpsc::Sender<Progress>,
        last: bool,
        limits: &JobLimits,
        times: &mut Vec<(String, Duration)>,
    ) -> Result<Answer, Ended> {
        if job.limits.time_ms == 0 {
            return Err(Ended::well(fail(Code::TimeLimit)));
        }
        self.lease.process.begin_job();
        self.send(&ToProver::Job(job), limits.idle_time).await?;
        self.feed(source, limits.idle_time, times).await?;
        self.answer(progress, last, limits).await
    }

    /// Ends a stage that did its part.
    fn done(self, times: &mut Vec<(String, Duration)>) {
        times.push((self.lease.pool.stage.name.clone(), self.worked));
        self.lease.keep();
    }

    /// Sends the input piece by piece, as it comes.
    async fn feed(
        &mut self,
        source: Source,
        idle: Duration,
        times: &mut Vec<(String, Duration)>,
    ) -> Result<(), Ended> {
        match source {
            Source::Client(input) => self.feed_input(input, idle).await?,
            Source::Stage(mut before, len) => {
                self.feed_stage(&mut before, len, idle).await?;
                before.done(times);
            }
        }
        self.send(&ToProver::End, idle).await
    }

    async fn feed_input(&mut self, mut input: InputStream, idle: Duration) -> Result<(), Ended> {
        let mut left = input.len;
        while left > 0 {
            let piece = match timeout(idle, input.pieces.next()).await {
                Ok(Some(Ok(piece))) if piece.len() as u64 <= left => piece,
                Ok(Some(Err(failure))) => return self.cut(failure, idle).await,
                Ok(Some(Ok(_)) | None) => return self.cut(fail(Code::ChunkInvalid), idle).await,
                Err(_) => return self.cut(fail(Code::StorageFailed), idle).await,
            };
            left -= piece.len() as u64;
            self.send_data(&piece, idle).await?;
        }
        Ok(())
    }

    async fn feed_stage(
        &mut self,
        before: &mut Running,
        len: u64,
        idle: Duration,
    ) -> Result<(), Ended> {
        let mut left = len;
        loop {
            match timeout(idle, before.lease.process.link.receive_data(left)).await {
                Ok(Ok(Some(piece))) => {
                    left -= piece.len() as u64;
                    self.send_data(&piece, idle).await?;
                }
                Ok(Ok(None)) => break,
                Ok(Err(e)) => {
                    let code = before.lease.process.post_mortem(&e).await;
                    return self.cut(fail(code), idle).await;
                }
                Err(_) => return self.cut(fail(Code::ProverProtocol), idle).await,
            }
        }
        match timeout(idle, before.lease.process.link.receive()).await {
            Ok(Ok(ToKeeper::Done(done))) if done == Done::default() => Ok(()),
            _ => self.cut(fail(Code::ProverProtocol), idle).await,
        }
    }

    /// Waits for what the stage makes, no longer than its time.
    async fn answer(
        &mut self,
        progress: &mpsc::Sender<Progress>,
        last: bool,
        limits: &JobLimits,
    ) -> Result<Answer, Ended> {
        let begun = Instant::now();
        let (mut proof, mut public) = (None, None);
        loop {
            let left = self.left.saturating_sub(begun.elapsed());
            let link = &mut self.lease.process.link;
            let message = match timeout(left, link.receive()).await {
                Ok(Ok(message)) => message,
                Ok(Err(e)) => return Err(self.died(&e).await),
                Err(_) => return Err(Ended::badly(Code::TimeLimit)),
            };
            self.worked = begun.elapsed();
            match message {
                ToKeeper::Progress(at) if at.phase.len() <= MAX_PHASE && at.permille <= 1000 => {
                    let _ = progress.try_send(at);
                }
                ToKeeper::Output(output) if !last && output.kind == OutputKind::Intermediate => {
                    if output.len > limits.max_input_bytes {
                        return Err(Ended::badly(Code::MemoryLimit));
                    }
                    return Ok(Answer::Intermediate(output.len));
                }
                ToKeeper::Output(output) if last && output.kind != OutputKind::Intermediate => {
                    if output.len > limits.max_output_bytes {
                        return Err(Ended::badly(Code::OutputTooLarge));
                    }
                    let slot = if output.kind == OutputKind::Proof {
                        &mut proof
                    } else {
                        &mut public
                    };
                    match timeout(
                        left,
                        link.receive_stream(output.len, limits.max_output_bytes),
                    )
                    .await
                    {
                        Ok(Ok(bytes)) if slot.is_none() => *slot = Some(bytes),
                        Ok(Ok(_)) => return Err(Ended::badly(Code::ProverProtocol)),
                        Ok(Err(e)) => return Err(self.died(&e).await),
                        Err(_) => return Err(Ended::badly(Code::TimeLimit)),
                    }
                }
                ToKeeper::Done(done) if last && has_sane_key(&done) => {
                    return match (proof, public) {
                        (Some(proof), Some(public)) => Ok(Answer::Result {
                            proof,
                            public,
                            done,
                        }),
                        _ => Err(Ended::badly(Code::ProverProtocol)),
                    };
                }
                ToKeeper::Failed(failure) if proof.is_none() && public.is_none() => {
                    return Err(Ended::well(Failure::new(failure.code, failure.detail)));
                }
                _ => return Err(Ended::badly(Code::ProverProtocol)),
            }
        }
    }

    async fn send(&mut self, message: &ToProver, idle: Duration) -> Result<(), Ended> {
        match timeout(idle, self.lease.process.link.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.died(&e).await),
            Err(_) => Err(Ended::badly(Code::ProverProtocol)),
        }
    }

    async fn send_data(&mut self, bytes: &[u8], idle: Duration) -> Result<(), Ended> {
        match timeout(idle, self.lease.process.link.send_data(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.died(&e).await),
            Err(_) => Err(Ended::badly(Code::ProverProtocol)),
        }
    }

    /// Tells the process to forget the job, for a reason that is not its own.
    async fn cut<T>(&mut self, failure: Failure, idle: Duration) -> Result<T, Ended> {
        self.send(&ToProver::Cut, idle).await?;
        Err(Ended::well(failure))
    }

    async fn died(&mut self, broken: &WireError) -> Ended {
        Ended::badly(self.lease.process.post_mortem(broken).await)
    }
}
