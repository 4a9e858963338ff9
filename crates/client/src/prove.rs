//! The main call: the whole path, failing closed, submitted anew when the
//! enclave that held the key is gone.

use crate::{
    Client, Error, Input, JobOptions, Program, Proven, Submitted,
    event::{Event, Observer},
};
use soundproof_protocol::error::Code;
use std::time::{Duration, Instant};

impl Client {
    /// Has a proof of `program` made for `input`, and checks it: session,
    /// appraisal, sealing, upload, outcome, receipt, proof.
    ///
    /// # Errors
    /// [`Error`]. Whatever it is, no byte that depends on `input` was sent to
    /// a server whose evidence had not been accepted.
    pub async fn prove(&self, program: &Program, input: impl Into<Input>) -> Result<Proven, Error> {
        self.prove_with(
            program,
            &input.into(),
            &JobOptions::default(),
            Observer::NONE,
        )
        .await
    }

    /// [`Client::prove`] with options, and somebody who is told of events.
    ///
    /// # Errors
    /// As [`Client::prove`].
    pub async fn prove_with(
        &self,
        program: &Program,
        input: &Input,
        options: &JobOptions,
        observer: Observer<'_>,
    ) -> Result<Proven, Error> {
        let started = Instant::now();
        let mut resubmissions = Vec::new();
        let mut spent = Opening::default();
        loop {
            let done = match self
                .submit_once(program, input, options, observer, &mut spent)
                .await
            {
                Ok(submitted) => submitted.wait(observer).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(mut proven) => {
                    proven.timings.session = spent.session;
                    proven.timings.appraisal = spent.appraisal;
                    proven.timings.total = started.elapsed();
                    proven.resubmissions = resubmissions;
                    return Ok(proven);
                }
                Err(error) => {
                    self.again(error, options, &mut resubmissions, observer)
                        .await?;
                }
            }
        }
    }

    /// Has a job acknowledged and returns: [`Submitted::wait`], or a ticket
    /// for another process.
    ///
    /// # Errors
    /// As [`Client::prove`].
    pub async fn submit(
        &self,
        program: &Program,
        input: &Input,
        options: &JobOptions,
        observer: Observer<'_>,
    ) -> Result<Submitted, Error> {
        let mut resubmissions = Vec::new();
        let mut spent = Opening::default();
        loop {
            match self
                .submit_once(program, input, options, observer, &mut spent)
                .await
            {
                Err(error) => {
                    self.again(error, options, &mut resubmissions, observer)
                        .await?;
                }
                submitted => return submitted,
            }
        }
    }

    async fn submit_once(
        &self,
        program: &Program,
        input: &Input,
        options: &JobOptions,
        observer: Observer<'_>,
        spent: &mut Opening,
    ) -> Result<Submitted, Error> {
        program.check_acknowledged(options.acknowledges_not_hiding)?;
        let (session, reused) = self.accepted(observer).await?;
        if !reused {
            spent.session += session.opening;
            spent.appraisal += session.appraisal;
        }
        let mut upload = self.upload(&session, program, input, options)?;
        let mut cut = 0;
        loop {
            match upload.run(observer).await {
                // Each call was tried often enough already; the whole upload
                // is resumed a few times beyond that.
                Err(error @ Error::Unreachable { .. }) if cut + 1 < self.0.retry.attempts => {
                    cut += 1;
                    tokio::time::sleep(self.0.retry.wait(cut, &error)).await;
                }
                done => return done,
            }
        }
    }

    /// Whether to submit anew after `error`, which must not have been so too
    /// often: everything is made afresh, the appraisal too.
    async fn again(
        &self,
        error: Error,
        options: &JobOptions,
        resubmissions: &mut Vec<Code>,
        observer: Observer<'_>,
    ) -> Result<(), Error> {
        let code = error.code();
        let often = resubmissions.len() >= self.0.resubmissions as usize;
        // An input that changed once may have been replaced; twice, it is
        // being written to.
        let changes = code == Code::SourceChanged && resubmissions.contains(&code);
        // An id that is the caller's is taken once the job is there.
        let taken = options.job_id.is_some() && code != Code::SessionUnknown;
        if often || changes || taken || !error.wants_resubmission() {
            return Err(error);
        }
        resubmissions.push(code);
        tracing::info!(because = %code, "submitting anew");
        observer.tell(&Event::Resubmitting {
            submission: u32::try_from(resubmissions.len()).unwrap_or(u32::MAX - 1) + 1,
            because: code,
        });
        self.forget_session().await;
        Ok(())
    }
}

#[derive(Default)]
struct Opening {
    session: Duration,
    appraisal: Duration,
}
