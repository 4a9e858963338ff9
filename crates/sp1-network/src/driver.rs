//! What happens to a request once it was taken: submitted, waited for, its
//! proof kept; or stopped. One task for each, begun again after a restart
//! from wherever the journal says it was.

use crate::{
    backend::{Ended, Kind, Mode, ProofJob, Secret, StashError, StashId, Token, incoming_of},
    ending,
    network::{Inner, Network},
    records::{Done, End, Id, RequestRecord},
};
use futures_util::FutureExt as _;
use soundproof_protocol::error::Code;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::time::{sleep, timeout};

/// How long a cancellation may take before the request ends without it.
const CANCEL_TIME: Duration = Duration::from_secs(5);
/// Bytes of a failure's text at most.
const MAX_TEXT: usize = 1024;

/// Nothing is decided: the same once more, after a pause.
struct Again;

impl Network {
    /// Begins to drive a request.
    pub(crate) fn spawn_driver(&self, id: Id) {
        let network = self.clone();
        self.0.tasks.spawn(async move { network.drive(id).await });
    }

    async fn drive(&self, id: Id) {
        let inner = &self.0;
        let stop = match inner.lock().requests.get(&id) {
            Some(request) => request.stop.clone(),
            None => return,
        };
        let proving = AssertUnwindSafe(inner.prove(&id)).catch_unwind();
        let end = tokio::select! {
            biased;
            () = inner.stopping.cancelled() => return,
            () = stop.cancelled() => inner.abandon(&id).await,
            end = proving => end.unwrap_or_else(|_| failure(Code::Internal, "")),
        };
        inner.finish(&id, end).await;
    }

    /// A proof is not in the stash although it was: it is waited for anew.
    pub(crate) fn reopen(&self, id: Id) {
        {
            let mut state = self.0.lock();
            let Some(request) = state.requests.get_mut(&id) else {
                return;
            };
            if request.record.token.is_none() || request.record.end.is_none() {
                return;
            }
            request.record.end = None;
            request.ended.send_replace(false);
        }
        self.spawn_driver(id);
    }
}

impl Inner {
    /// From wherever it stands to its end.
    async fn prove(&self, id: &Id) -> End {
        let first = self.config.times.retry.max(1);
        let mut pause = first;
        loop {
            match self.attempt(id).await {
                Ok(end) => return end,
                Err(Again) => {
                    sleep(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(first * 64);
                }
            }
        }
    }

    async fn attempt(&self, id: &Id) -> Result<End, Again> {
        let token = match self.token(id) {
            Some(token) => token,
            None => match self.submit(id).await? {
                Ok(token) => token,
                Err(end) => return self.renew(id, end).await,
            },
        };
        match self.backend.wait(&token).await {
            Ok(Ended::Proved { proof }) => self.keep(proof).await,
            Ok(Ended::Failed { code, text }) => self.renew(id, failure(code, &text)).await,
            Err(error) if error.passing => Err(Again),
            Err(error) => self.renew(id, failure(error.code, &error.text)).await,
        }
    }

    fn token(&self, id: &Id) -> Option<Token> {
        self.lock().requests.get(id)?.record.token.clone()
    }

    /// Submits it with its program and its input, and notes the token.
    async fn submit(&self, id: &Id) -> Result<Result<Token, End>, Again> {
        let Ok(_turn) = self.submits.acquire().await else {
            return Err(Again);
        };
        let Some((job, elf, stdin)) = self.job(id) else {
            let text = "The program is not registered any more.";
            return Ok(Err(failure(Code::ProgramMismatch, text)));
        };
        let elf = match self.stash.get(elf).await {
            Ok(elf) => elf.into_bytes(),
            Err(error) => return gone(error),
        };
        let stdin = match self.stash.get(stdin).await {
            Ok(stdin) => stdin,
            Err(error) => return gone(error),
        };
        match self.backend.submit(&job, elf, stdin).await {
            Ok(token) => {
                // If it is not written, a restart submits the same job again,
                // and the backend finds it.
                let noted = token.clone();
                let note = |record: &mut RequestRecord| record.token = Some(noted);
                let _ = self.update(id, true, note).await;
                Ok(Ok(token))
            }
            Err(error) if error.passing => Err(Again),
            Err(error) => Ok(Err(failure(error.code, &error.text))),
        }
    }

    /// What to submit: the job, its program, its input.
    fn job(&self, id: &Id) -> Option<(ProofJob, StashId, StashId)> {
        let state = self.lock();
        let request = state.requests.get(id)?;
        let program = state.programs.get(&request.program())?;
        let limits = &self.config.limits;
        let job = ProofJob {
            request_id: *id,
            attempt: request.record.attempt,
            vk_hash: request.body.vk_hash,
            mode: Mode::from_wire(request.body.mode)?,
            cycle_limit: request.body.cycle_limit.min(limits.cycles),
            gas_limit: request.body.gas_limit.min(limits.gas),
            deadline_ms: request.record.deadline_ms,
        };
        Some((job, program.elf.stash, request.record.stdin))
    }

    /// An end without a proof: submitted again if that can help, for as often
    /// as is allowed.
    async fn renew(&self, id: &Id, end: End) -> Result<End, Again> {
        let End::Failed(code, _) = &end else {
            return Ok(end);
        };
        let (attempt, old) = match self.lock().requests.get(id) {
            Some(request) => (request.record.attempt, request.record.token.clone()),
            None => return Ok(end),
        };
        if !ending::worth_another_try(*code) || attempt >= self.config.limits.resubmits {
            return Ok(end);
        }
        tracing::warn!(%code, "a request is submitted again");
        let anew = |record: &mut RequestRecord| {
            record.attempt = attempt + 1;
            record.token = None;
        };
        let _ = self.update(id, true, anew).await;
        if let Some(token) = old {
            let _ = self.backend.forget(&token).await;
        }
        Err(Again)
    }

    /// Puts a proof where it can be had.
    async fn keep(&self, proof: Secret) -> Result<End, Again> {
        let stash = self.random().map(StashId).map_err(|_| Again)?;
        let len = proof.len() as u64;
        let source = incoming_of(proof.into_bytes());
        match self.stash.put(stash, Kind::Proof, source, len).await {
            Ok(len) => Ok(End::Proved(Done { stash, len })),
            Err(error) => {
                tracing::error!(%error, "a proof cannot be kept yet");
                Err(Again)
            }
        }
    }

    /// Stops it, because its owner says so or its time is up.
    async fn abandon(&self, id: &Id) -> End {
        if let Some(token) = self.token(id) {
            let cancelled = timeout(CANCEL_TIME, self.backend.cancel(&token)).await;
            if !matches!(cancelled, Ok(Ok(()))) {
                tracing::warn!("a request that ended could not be stopped at the backend");
            }
        }
        let cancelled = self
            .lock()
            .requests
            .get(id)
            .is_some_and(|request| request.record.cancelled);
        failure(
            if cancelled {
                Code::Cancelled
            } else {
                Code::DeadlinePassed
            },
            "",
        )
    }

    /// Makes an end the request's: written first, then told.
    async fn finish(&self, id: &Id, end: End) {
        let now = self.clock.now_ms();
        let found = self.lock().requests.get(id).map(|request| {
            let late = now >= request.record.deadline_ms;
            (late, request.program(), request.record.clone())
        });
        let Some((late, program, before)) = found else {
            // Forgotten while it ended.
            if let End::Proved(done) = end {
                self.unstash(done.stash).await;
            }
            return;
        };
        let end = match end {
            End::Failed(Code::TimeLimit, _) if late => failure(Code::DeadlinePassed, ""),
            end => end,
        };
        let failed = match &end {
            End::Failed(code, _) => Some(*code),
            End::Proved(_) => None,
        };
        match failed {
            None => self.program_proven(&program).await,
            Some(Code::ProgramMismatch) => self.delete_program(&program).await,
            Some(_) => {}
        }
        let set = |record: &mut RequestRecord| {
            record.end = Some(end);
            record.updated_ms = now;
            // A cancellation that came too late did nothing.
            record.cancelled &= failed.is_some();
            // What was proved stays with the backend until it is forgotten
            // here, so that a volatile stash can be filled again.
            if failed.is_some() {
                record.token = None;
            }
        };
        // If it is not written, a restart finds it as it was and ends it anew.
        let _ = self.update(id, true, set).await;
        if let Some(request) = self.lock().requests.get(id) {
            request.ended.send_replace(true);
        }
        self.delete_artifact(&before.artifact).await;
        if let (Some(token), Some(_)) = (before.token, failed) {
            let _ = self.backend.forget(&token).await;
        }
    }
}

fn failure(code: Code, text: &str) -> End {
    let text = if text.is_empty() { code.title() } else { text };
    let cut = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    End::Failed(
        code,
        text.get(..cut.unwrap_or(0)).unwrap_or_default().to_owned(),
    )
}

fn gone(error: StashError) -> Result<Result<Token, End>, Again> {
    match error {
        StashError::Missing => Ok(Err(End::Failed(
            Code::OutcomeGone,
            "The input or the program was lost with the server's memory: send the request again."
                .to_owned(),
        ))),
        error => {
            tracing::error!(%error, "the stash failed");
            Err(Again)
        }
    }
}
