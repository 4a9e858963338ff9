//! An acknowledged job: follow it, wait for its outcome, check it.

use crate::{
    Client, Error, Timings,
    check::{Expected, check},
    event::{Event, Observer, phase},
    follow::follow,
    jobs::JobAccess,
    program::{SP1, VERIFYING_KEY},
    retry::mends,
    session::now_ms,
    verifier::{ProofCheck, Verifier},
};
use futures_util::future::{Either, select};
use reqwest::Method;
use soundproof_evidence::{Verdict, verify_session};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{HostEnd, JobState, JobView},
    cbor,
    description::JobDescription,
    digest::Digest,
    error::Code,
    id::JobId,
    outcome::{MAX_OUTCOME, PhaseTime},
    receipt::{Bundle, Receipt},
    ticket::Ticket,
    trust::TrustConfiguration,
};
use std::{sync::Arc, time::Duration, time::Instant};
use zeroize::Zeroizing;

/// Bytes of a sealed outcome that this client reads, for systems whose proofs
/// are short.
const MAX_SHORT_OUTCOME: usize = 64 * 1024 * 1024;
/// Seconds that the server is asked to hold a call until there is an outcome.
const WAIT_S: u64 = 25;

/// See the module. Dropping it loses nothing if the ticket was kept.
pub struct Submitted {
    pub(crate) client: Client,
    pub(crate) ticket: Ticket,
    pub(crate) description: JobDescription,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) verdict: Verdict,
    pub(crate) appraised: bool,
    pub(crate) seal: Duration,
    pub(crate) upload: Duration,
    pub(crate) acknowledged: Instant,
}

/// A proof that was verified, under attestation that was verified. By whom:
/// [`Proven::proof_verified`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Proven {
    /// The job.
    pub job: JobId,
    /// The proof; for Groth16 `proof.json` as snarkjs has it, for SP1 what
    /// `SP1ProofWithPublicValues::load` reads.
    pub proof: Vec<u8>,
    /// The public values; for Groth16 `public.json`, for SP1 their raw bytes.
    pub public_values: Vec<u8>,
    /// Who verified the proof.
    pub proof_verified: ProofCheck,
    /// The receipt, its signature and digests checked.
    pub receipt: Receipt,
    /// Receipt, evidence, path and endorsements, for anybody to check.
    pub bundle: Bundle,
    /// The verdict on the enclave that made the proof.
    pub verdict: Verdict,
    /// The enclave's own figures.
    pub phases: Vec<PhaseTime>,
    /// This client's.
    pub timings: Timings,
    /// Why the job had to be submitted anew, each time; empty as a rule.
    pub resubmissions: Vec<Code>,
}

impl Proven {
    /// The enclave's time in all phases of this name: `queue`, `witness`,
    /// `prove`, `verify`.
    pub fn phase(&self, name: &str) -> Duration {
        phase(&self.phases, name)
    }

    /// The bundle's bytes, as [`Bundle::from_slice`] reads them.
    pub fn bundle_bytes(&self) -> Vec<u8> {
        cbor::to_vec(&self.bundle)
    }
}

impl Client {
    /// Takes up a job by its ticket, in whatever process: its session is
    /// judged by this client's policy, now, and for Groth16 the verifying key is
    /// fetched and must have the description's digest.
    ///
    /// # Errors
    /// [`Error::Ticket`], [`Error::Transcript`], [`Error::Rejected`], and
    /// those of the network.
    pub async fn claim(&self, ticket: &Ticket) -> Result<Submitted, Error> {
        self.claim_with(ticket, None).await
    }

    /// [`Client::claim`] with the verifying key at hand: for a caller whose
    /// credentials are the ticket alone, to whom the server shows no program
    /// parts. It must have the description's digest.
    ///
    /// # Errors
    /// As [`Client::claim`], and [`Error::Program`] for another key.
    pub async fn claim_with(
        &self,
        ticket: &Ticket,
        verifying_key: Option<&[u8]>,
    ) -> Result<Submitted, Error> {
        if ticket.version != PROTOCOL_VERSION {
            return Err(Error::Ticket("the ticket is of another version"));
        }
        let description = JobDescription::from_slice(&ticket.description.0)
            .map_err(|_| Error::Ticket("the ticket's job description is none"))?;
        let (transcript, binding) = verify_session(&ticket.session)
            .map_err(|error| Error::Transcript(error.to_string()))?;
        if !description.recipients.contains(&transcript.digest()) {
            return Err(Error::Ticket(
                "the ticket's session is none of the job's recipients",
            ));
        }
        let trust = TrustConfiguration::from_slice(&ticket.session.trust.0)
            .map_err(|error| Error::Transcript(error.to_string()))?;
        let grounds = self.0.judge(&ticket.session, &binding, &trust, now_ms())?;
        let named = description.part(VERIFYING_KEY);
        let key = match (verifying_key, named) {
            (Some(key), Some(digest)) if Digest::of(key) == *digest => key.to_vec(),
            (Some(_), Some(_)) => {
                return Err(Error::Program {
                    code: Code::VkeyMismatch,
                    what: "the verifying key is not the one that the job names".into(),
                });
            }
            _ if !Verifier::needs_key(&description.system) => Vec::new(),
            (None, Some(digest)) => self.blob(digest, Verifier::MAX_KEY).await?,
            (_, None) => return Err(Error::Ticket("the ticket's job has no verifying key")),
        };
        Ok(Submitted {
            client: self.clone(),
            verifier: Arc::new(Verifier::of(&description.system, &key)?),
            ticket: ticket.clone(),
            description,
            appraised: grounds.is_accepted(),
            verdict: grounds.verdict().clone(),
            seal: Duration::ZERO,
            upload: Duration::ZERO,
            acknowledged: Instant::now(),
        })
    }

    /// Waits for a job's end by its ticket, and checks what comes.
    ///
    /// # Errors
    /// As [`Client::claim`] and [`Submitted::wait`].
    pub async fn fetch(&self, ticket: &Ticket, observer: Observer<'_>) -> Result<Proven, Error> {
        self.claim(ticket).await?.wait(observer).await
    }

    /// A program part from the server, with the digest asked for.
    async fn blob(&self, digest: &Digest, max: usize) -> Result<Vec<u8>, Error> {
        const CALL: &str = "fetching the verifying key";
        let transport = self.vouched_transport().await?;
        let path = format!("v1/blobs/{digest}");
        let attempt = || async {
            let request = transport.request(Method::GET, &path, None)?;
            let response = transport.send(CALL, request).await?;
            transport.body(CALL, response, max).await
        };
        let bytes = self.0.retry.run(attempt).await?;
        if Digest::of(&bytes) != *digest {
            return Err(Error::Reply {
                call: CALL,
                what: "the bytes have another digest".into(),
            });
        }
        Ok(bytes)
    }
}

impl Submitted {
    /// The job's id.
    pub fn job(&self) -> JobId {
        self.description.job
    }

    /// A secret: whoever has it reads the outcome and may cancel the job.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// The ticket's bytes, as [`Ticket::from_slice`] reads them.
    pub fn ticket_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::to_vec(&self.ticket))
    }

    /// Waits for the outcome, opens it, and checks all of it.
    ///
    /// # Errors
    /// [`Error::Failed`] if the job failed; [`Error::Ended`] if the host says
    /// that it ended without an outcome; [`Error::Outcome`],
    /// [`Error::Receipt`] and [`Error::Proof`] for what must not be believed.
    pub async fn wait(&self, observer: Observer<'_>) -> Result<Proven, Error> {
        let outcome = std::pin::pin!(self.outcome());
        let sealed = if observer.is_some() {
            // Following never ends by itself; the outcome ends both.
            let events = std::pin::pin!(follow(self, observer));
            match select(outcome, events).await {
                Either::Left((outcome, _)) => outcome?,
                Either::Right((never, _)) => match never {},
            }
        } else {
            outcome.await?
        };
        let wait = self.acknowledged.elapsed();
        let started = Instant::now();
        let checked = check(
            &Expected {
                description: &self.description,
                outcome_key: &self.ticket.outcome_key,
                sealed_input: self.ticket.sealed_input,
                commitment: self.ticket.commitment,
                session: &self.ticket.session,
                verifier: &self.verifier,
                appraised: self.appraised,
            },
            &sealed,
        )?;
        observer.tell(&Event::Verified);
        Ok(Proven {
            job: self.job(),
            proof: checked.proof,
            public_values: checked.public_values,
            proof_verified: checked.proof_verified,
            receipt: checked.receipt,
            bundle: checked.bundle,
            verdict: self.verdict.clone(),
            phases: checked.phases,
            timings: Timings {
                seal: self.seal,
                upload: self.upload,
                wait,
                verify: started.elapsed(),
                total: self.seal + self.upload + self.acknowledged.elapsed(),
                ..Timings::default()
            },
            resubmissions: Vec::new(),
        })
    }

    /// Follows the job until it has ended, without fetching its outcome.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn watch(&self, observer: Observer<'_>) -> Result<JobView, Error> {
        let ended = std::pin::pin!(async {
            loop {
                let view = self.client.job(self.access()).await?;
                if view.state == JobState::Ended {
                    return Ok(view);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let events = std::pin::pin!(follow(self, observer));
        match select(ended, events).await {
            Either::Left((view, _)) => view,
            Either::Right((never, _)) => match never {},
        }
    }

    /// The sealed outcome, as soon as there is one.
    async fn outcome(&self) -> Result<Vec<u8>, Error> {
        let retry = &self.client.0.retry;
        let mut failed = 0;
        loop {
            let asked = Instant::now();
            match self.ask_for_outcome().await {
                Ok(sealed) => return Ok(sealed),
                Err(Error::Refused {
                    code: Code::OutcomeNotReady,
                    ..
                }) => {
                    failed = 0;
                    // A server that does not hold the call is asked once a
                    // second.
                    let pause = Duration::from_secs(1).saturating_sub(asked.elapsed());
                    tokio::time::sleep(pause).await;
                }
                Err(Error::Refused { code, .. }) if ended_as(code).is_some() => {
                    return Err(self.how_it_ended(code).await);
                }
                // The gateway came back with another key: evidence must vouch
                // for it before the access secret goes there.
                Err(Error::TlsPin(_)) if failed + 1 < retry.attempts => {
                    failed += 1;
                    self.client.forget_session().await;
                }
                Err(error) if mends(&error) && failed + 1 < retry.attempts => {
                    failed += 1;
                    tokio::time::sleep(retry.wait(failed, &error)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask_for_outcome(&self) -> Result<Vec<u8>, Error> {
        const CALL: &str = "waiting for the outcome";
        let transport = self.client.vouched_transport().await?;
        let path = format!("v1/jobs/{}/outcome?wait={WAIT_S}", self.job());
        let request = transport
            .request(Method::GET, &path, Some(&self.ticket.access_secret))?
            .timeout(Duration::from_secs(WAIT_S + 60));
        let response = transport.send(CALL, request).await?;
        let most = match self.description.system.as_str() {
            // A core proof grows with the program's run.
            SP1 => MAX_OUTCOME,
            _ => MAX_SHORT_OUTCOME,
        };
        transport.body(CALL, response, most).await
    }

    /// The host's word for an end without an outcome.
    async fn how_it_ended(&self, code: Code) -> Error {
        let access = self.access();
        let end = match self.client.job(access).await {
            Ok(view) => view.end.filter(|end| *end != HostEnd::Sealed),
            Err(_) => None,
        };
        match end.or(ended_as(code)) {
            Some(end) => Error::Ended(end),
            None => Error::Refused {
                call: "waiting for the outcome",
                code,
                detail: None,
                retry_after_s: None,
            },
        }
    }

    /// How the job is named and reached.
    pub fn access(&self) -> JobAccess<'_> {
        JobAccess {
            job: self.job(),
            secret: Some(&self.ticket.access_secret),
        }
    }
}

fn ended_as(code: Code) -> Option<HostEnd> {
    match code {
        Code::KeyLost => Some(HostEnd::KeyLost),
        Code::Cancelled => Some(HostEnd::Cancelled),
        Code::Expired => Some(HostEnd::Expired),
        Code::OutcomeGone => Some(HostEnd::Sealed),
        _ => None,
    }
}

impl core::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Submitted({}, …)", self.job())
    }
}
