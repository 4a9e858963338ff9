//! [`ClientBackend`]: the requests of the SDK's dialects, proved by a server
//! that the client library appraises.

use crate::{
    Receipts, Standing,
    standing::{refusal, unacknowledged},
};
use async_trait::async_trait;
use bytes::Bytes;
use soundproof::{
    Client, Error, Input, JobAccess, JobOptions, Observer, Part, Program, Sp1Mode,
    protocol::{description::Limits, digest::Hasher, error::Code, id::JobId, ticket::Ticket},
};
use soundproof_sp1_network::{
    Backend, BackendError, Ended, MAX_TOKEN, Mode, Offers, ProofJob, Refusal, Secret, Token,
};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Ids that are tried for one submission: more than one only after a crash
/// between a job's acceptance and the record of its ticket.
const IDS: u8 = 4;
/// Bytes of the request's id before the ticket in a token.
const REQUEST: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct ClientBackend {
    client: Client,
    standing: Standing,
    receipts: Arc<Receipts>,
}

impl ClientBackend {
    /// Over a client and its standing with the server.
    pub fn new(client: Client, standing: Standing, receipts: Arc<Receipts>) -> Self {
        Self {
            client,
            standing,
            receipts,
        }
    }

    /// The options of a job's submission number `n`, for a mode that may be
    /// asked for.
    fn options(&self, job: &ProofJob, n: u8) -> JobOptions {
        let unlimited = |limit: u64| if limit == u64::MAX { 0 } else { limit };
        let left = job.deadline_ms.saturating_sub(soundproof::now_ms());
        JobOptions {
            limits: Limits {
                cycles: unlimited(job.cycle_limit),
                gas: unlimited(job.gas_limit),
                // A proof that comes after the deadline is of no use, and the
                // server need not make it, even if nobody cancels.
                time_ms: left.max(1),
                ..Limits::default()
            },
            start_within: Duration::from_millis(left),
            acknowledges_not_hiding: !hides(job.mode),
            job_id: Some(job_id(job, n)),
            ..JobOptions::default()
        }
    }

    /// A call failed: what the state machine needs to know.
    fn failed(&self, error: &Error) -> BackendError {
        let code = error.code();
        if matches!(
            code,
            Code::EvidenceRejected
                | Code::TranscriptMismatch
                | Code::TlsPinMismatch
                | Code::SessionUnknown
                | Code::KeyLost
        ) {
            self.standing.look_again();
        }
        BackendError {
            // A server that came back with another TLS key is judged anew
            // before anything is sent to it.
            passing: code.retryable() || code == Code::TlsPinMismatch,
            code,
            text: text(error),
        }
    }

    async fn submitted(&self, job: &ProofJob, request: &Request) -> Result<Token, BackendError> {
        for n in 0..IDS {
            let options = self.options(job, n);
            let done = self
                .client
                .submit(&request.program, &request.input, &options, Observer::NONE)
                .await;
            match done {
                Ok(submitted) => return token(&job.request_id, &submitted.ticket_bytes()),
                Err(Error::Refused {
                    code: Code::JobConflict | Code::JobReplayed,
                    ..
                }) => {
                    // An earlier life of ours submitted it, and its keys are
                    // lost: nobody can read what comes of it.
                    if let Some(orphan) = options.job_id {
                        let _ = self.client.cancel(orphan).await;
                        let _ = self.client.delete(orphan).await;
                    }
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(BackendError::of(Code::JobConflict))
    }
}

/// What is submitted, each attempt.
struct Request {
    program: Program,
    input: Input,
}

#[async_trait]
impl Backend for ClientBackend {
    async fn ready(&self) -> Result<Offers, Refusal> {
        self.standing.now()
    }

    async fn submit(
        &self,
        job: &ProofJob,
        elf: Bytes,
        stdin: Secret,
    ) -> Result<Token, BackendError> {
        if let Err(Refusal { passing, text }) = self.standing.now() {
            let code = if passing {
                Code::Unreachable
            } else {
                Code::EvidenceRejected
            };
            return Err(BackendError {
                passing,
                code,
                text,
            });
        }
        if !hides(job.mode) && !self.standing.acknowledged() {
            return Err(BackendError {
                passing: false,
                code: Code::ModeNotHiding,
                text: unacknowledged(job.mode),
            });
        }
        let program = Program::sp1(Part::Bytes(elf), mode(job.mode), Some(job.vk_hash))
            .map_err(|error| self.failed(&error))?;
        let mut stdin = stdin.into_vec();
        let request = Request {
            program,
            input: Input::bytes(core::mem::take(&mut *stdin)),
        };
        self.submitted(job, &request).await
    }

    async fn wait(&self, token: &Token) -> Result<Ended, BackendError> {
        let (request, ticket) = open(token)?;
        let done = match self.client.claim(&ticket).await {
            Ok(submitted) => submitted.wait(Observer::NONE).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(proven) => {
                self.receipts.keep(request, &proven).await;
                let proof = Secret::from(proven.proof);
                Ok(Ended::Proved { proof })
            }
            Err(error) => match ended(&error) {
                Some(end) => {
                    if matches!(
                        &end,
                        Ended::Failed {
                            code: Code::KeyLost,
                            ..
                        }
                    ) {
                        self.standing.look_again();
                    }
                    Ok(end)
                }
                None => Err(self.failed(&error)),
            },
        }
    }

    async fn cancel(&self, token: &Token) -> Result<(), BackendError> {
        let (_, ticket) = open(token)?;
        let cancelled = self.client.cancel(access(&ticket)?).await;
        gone(cancelled.map(drop)).map_err(|error| self.failed(&error))
    }

    async fn forget(&self, token: &Token) -> Result<(), BackendError> {
        let (_, ticket) = open(token)?;
        let deleted = self.client.delete(access(&ticket)?).await;
        gone(deleted).map_err(|error| self.failed(&error))
    }
}

const fn hides(mode: Mode) -> bool {
    matches!(mode, Mode::Plonk | Mode::Groth16)
}

const fn mode(mode: Mode) -> Sp1Mode {
    match mode {
        Mode::Core => Sp1Mode::Core,
        Mode::Compressed => Sp1Mode::Compressed,
        Mode::Plonk => Sp1Mode::Plonk,
        Mode::Groth16 => Sp1Mode::Groth16,
    }
}

/// The same for the same request, attempt and number: a submission that is
/// repeated is noticed. Tells nothing of the request's id, which is a
/// capability.
fn job_id(job: &ProofJob, n: u8) -> JobId {
    let mut hasher = Hasher::new();
    hasher.update(b"soundproof/1/sp1-job-id");
    hasher.update(&job.request_id);
    hasher.update(&job.attempt.to_be_bytes());
    hasher.update(&[n]);
    let digest = hasher.finish();
    let mut random = [0; 10];
    random
        .iter_mut()
        .zip(digest.0)
        .for_each(|(to, byte)| *to = byte);
    JobId::new(job.deadline_ms, random)
}

/// Request id, then ticket.
fn token(request: &[u8; REQUEST], ticket: &[u8]) -> Result<Token, BackendError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(REQUEST + ticket.len()));
    bytes.extend_from_slice(request);
    bytes.extend_from_slice(ticket);
    if bytes.len() > MAX_TOKEN {
        return Err(BackendError {
            passing: false,
            code: Code::Internal,
            text: "The session's evidence is larger than can be kept with a request.".into(),
        });
    }
    Ok(Token(bytes))
}

fn open(token: &Token) -> Result<([u8; REQUEST], Ticket), BackendError> {
    let invalid = || BackendError::of(Code::TicketInvalid);
    let (request, ticket) = token.0.split_first_chunk::<REQUEST>().ok_or_else(invalid)?;
    let ticket = Ticket::from_slice(ticket).map_err(|_| invalid())?;
    Ok((*request, ticket))
}

fn access(ticket: &Ticket) -> Result<JobAccess<'_>, BackendError> {
    JobAccess::try_from(ticket).map_err(|_| BackendError::of(Code::TicketInvalid))
}

/// What is not there any more need not be cancelled or deleted.
fn gone(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Refused {
            code: Code::JobNotFound | Code::NotFound,
            ..
        }) => Ok(()),
        done => done,
    }
}

/// Whether waiting came to an end of the job, without a proof.
fn ended(error: &Error) -> Option<Ended> {
    let code = match error {
        Error::Failed(failure) => failure.code,
        // Nobody can read what the store lost: as good as a lost key.
        Error::Refused {
            code: Code::JobNotFound,
            ..
        } => Code::KeyLost,
        Error::Ended(_) | Error::Outcome(_) | Error::Receipt(_) | Error::Proof(_) => error.code(),
        _ => return None,
    };
    let text = match error {
        Error::Receipt(_) | Error::Outcome(_) | Error::Proof(_) => text(error),
        // What to do is added where the end is told.
        _ => code.title().to_owned(),
    };
    Some(Ended::Failed { code, text })
}

/// What the requester may read. A job's failure is told by its code alone:
/// the detail may hold what the guest said.
fn text(error: &Error) -> String {
    match error {
        Error::Failed(failure) => failure.code.title().to_owned(),
        error => refusal(error).text,
    }
}
