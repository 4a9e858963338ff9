//! A session, from the nonce to its acceptance. [`AcceptedSession`] has no
//! other source than [`Judge`], so that sealing without an accepted verdict
//! does not compile (invariant 1); what lets go of that has `danger` in its
//! name.

use crate::{Error, seen::SeenStore, transport::Transport};
use soundproof_evidence::{Accepted, Policy, Verdict, appraise, explain, verify_session};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{OpenSession, SessionOpened},
    attestation::{Endorsements, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
    receipt::SessionEvidence,
    suite::Suite,
    transcript::{KeyAlgorithm, KeyPurpose, MAX_LIFETIME_S, Transcript, VouchedKey},
    trust::TrustConfiguration,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// An enclave that this client's policy accepted, for as long as the session
/// lasts by this client's own clocks.
pub struct AcceptedSession {
    pub(crate) judged: Judged,
    pub(crate) transport: Arc<Transport>,
    started: Instant,
    started_ms: u64,
    lifetime: Duration,
    /// From the request to its reply.
    pub opening: Duration,
    /// Every check of the reply, the verdict included.
    pub appraisal: Duration,
}

/// Why a session may be sealed for.
pub(crate) enum Grounds {
    /// Its evidence was accepted.
    Accepted(Box<Accepted>),
    /// The caller seals on the server's own machine for clients that appraise
    /// nothing, and said so. The verdict only explains.
    DangerUnappraised(Box<Verdict>),
}

impl Grounds {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        match self {
            Self::Accepted(accepted) => accepted.verdict(),
            Self::DangerUnappraised(verdict) => verdict,
        }
    }
}

/// How a client comes to its grounds.
pub(crate) enum Judge {
    /// By a policy, raised to what was seen before.
    Policy(Box<Policy>, SeenStore),
    /// Not at all.
    DangerUnappraised,
}

impl Judge {
    /// Judges a session whose path and binding were checked.
    ///
    /// # Errors
    /// [`Error::Rejected`]; [`Error::File`], if what was seen before cannot be
    /// read or kept.
    pub(crate) fn judge(
        &self,
        session: &SessionEvidence,
        binding: &Binding,
        trust: &TrustConfiguration,
        now_ms: u64,
    ) -> Result<Grounds, Error> {
        let (evidence, endorsements) = (&session.evidence, &session.endorsements);
        match self {
            Self::Policy(policy, seen) => {
                let mut policy = policy.clone();
                policy.raise(&seen.load()?);
                let accepted = appraise(evidence, endorsements, binding, trust, &policy, now_ms)
                    .accept()
                    .map_err(|verdict| Error::Rejected(Box::new(verdict)))?;
                seen.note(&accepted)?;
                Ok(Grounds::Accepted(Box::new(accepted)))
            }
            Self::DangerUnappraised => {
                let verdict = explain(evidence, endorsements, now_ms);
                Ok(Grounds::DangerUnappraised(Box::new(verdict)))
            }
        }
    }
}

/// A reply whose evidence was judged.
pub(crate) struct Judged {
    pub(crate) grounds: Grounds,
    pub(crate) transcript: Transcript,
    /// SHA-256 that names the transcript.
    pub(crate) digest: Digest,
    pub(crate) evidence: SessionEvidence,
    pub(crate) seal_key: Bytes,
}

impl AcceptedSession {
    /// `started` is when the request was sent.
    pub(crate) fn new(
        judged: Judged,
        transport: Arc<Transport>,
        (started, started_ms): (Instant, u64),
        opening: Duration,
    ) -> Self {
        let lifetime = Duration::from_secs(u64::from(judged.transcript.lifetime_s));
        Self {
            judged,
            transport,
            started,
            started_ms,
            lifetime,
            opening,
            appraisal: started.elapsed().saturating_sub(opening),
        }
    }

    /// The verdict that accepted it; under
    /// [`danger_unappraised`](crate::ClientBuilder::danger_unappraised) one
    /// that explains and accepts nothing.
    pub fn verdict(&self) -> &Verdict {
        self.judged.grounds.verdict()
    }

    /// What was vouched for.
    pub fn transcript(&self) -> &Transcript {
        &self.judged.transcript
    }

    /// What anybody needs to appraise it again.
    pub fn evidence(&self) -> &SessionEvidence {
        &self.judged.evidence
    }

    /// How long it may still be used: by the monotonic clock and by the wall
    /// clock, whichever says less (one of them stands still in suspend).
    pub fn remaining(&self) -> Duration {
        let walked = Duration::from_millis(now_ms().abs_diff(self.started_ms));
        self.lifetime
            .saturating_sub(self.started.elapsed())
            .min(self.lifetime.saturating_sub(walked))
    }

    /// # Errors
    /// [`Error::SessionOver`].
    pub(crate) fn check_live(&self) -> Result<(), Error> {
        if self.remaining().is_zero() {
            return Err(Error::SessionOver);
        }
        Ok(())
    }
}

impl core::fmt::Debug for AcceptedSession {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AcceptedSession({})", self.judged.transcript.session)
    }
}

/// Milliseconds since 1970, by this machine's wall clock.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// What a client knows when a session's reply arrives.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a OpenSession,
    /// Endorsements named in the request, by digest.
    pub(crate) held: &'a [Endorsements],
    /// The key of every connection so far; `None` on plain HTTP.
    pub(crate) tls_key: Option<Digest>,
}

/// A reply that answers what was asked, with everything that its transcript
/// vouches for; its evidence was not judged.
pub(crate) struct Answer {
    pub(crate) transcript: Transcript,
    pub(crate) binding: Binding,
    pub(crate) trust: TrustConfiguration,
    pub(crate) evidence: SessionEvidence,
    seal_key: Bytes,
}

/// Checks all that a session's reply says, but not its evidence.
///
/// # Errors
/// [`Error::Transcript`], [`Error::TlsPin`].
pub(crate) fn answer(asked: &Asked<'_>, reply: SessionOpened) -> Result<Answer, Error> {
    let endorsements = endorsements(asked, &reply)?;
    let evidence = SessionEvidence {
        transcript: reply.transcript,
        path: reply.path,
        evidence: reply.evidence,
        endorsements,
        trust: reply.trust,
    };
    // Path to the root, trust configuration's digest, binding.
    let (transcript, binding) =
        verify_session(&evidence).map_err(|error| Error::Transcript(error.to_string()))?;
    check_transcript(&transcript, asked.request)?;
    check_key(
        &transcript,
        KeyPurpose::Seal,
        transcript.suite.into(),
        &reply.seal_key,
    )?;
    check_key(
        &transcript,
        KeyPurpose::Receipt,
        KeyAlgorithm::Es256,
        &reply.receipt_key,
    )?;
    if let Some(key) = asked.tls_key {
        check_tls(&transcript, key)?;
    }
    let trust = TrustConfiguration::from_slice(&evidence.trust.0)
        .map_err(|error| Error::Transcript(error.to_string()))?;
    Ok(Answer {
        transcript,
        binding,
        trust,
        evidence,
        seal_key: reply.seal_key,
    })
}

/// Has an answer's evidence judged.
///
/// # Errors
/// [`Error::Rejected`].
pub(crate) fn judge(answer: Answer, judge: &Judge, now_ms: u64) -> Result<Judged, Error> {
    let grounds = judge.judge(&answer.evidence, &answer.binding, &answer.trust, now_ms)?;
    Ok(Judged {
        grounds,
        digest: answer.transcript.digest(),
        transcript: answer.transcript,
        evidence: answer.evidence,
        seal_key: answer.seal_key,
    })
}

fn endorsements(asked: &Asked<'_>, reply: &SessionOpened) -> Result<Endorsements, Error> {
    let digest = reply.endorsements_digest;
    match &reply.endorsements {
        Some(sent) if sent.digest() == digest => Ok(sent.clone()),
        Some(_) => Err(Error::Transcript(
            "the endorsements do not have the digest that came with them".into(),
        )),
        None => asked
            .held
            .iter()
            .find(|held| held.digest() == digest)
            .cloned()
            .ok_or_else(|| {
                Error::Transcript(
                    "endorsements that this client does not hold were left out".into(),
                )
            }),
    }
}

fn check_transcript(transcript: &Transcript, request: &OpenSession) -> Result<(), Error> {
    let no = |what: &str| Err(Error::Transcript(what.into()));
    if transcript.version != PROTOCOL_VERSION {
        return no("the transcript is of another protocol version");
    }
    if transcript.nonce != request.nonce {
        return no("the transcript answers another nonce: a replay");
    }
    if transcript.offered != request.suites {
        return no(
            "the offer in the transcript is not the one that was sent: a suite was stripped",
        );
    }
    // Every server of this version speaks every suite, so the best that was
    // offered is what an honest one chooses.
    if Suite::choose(&request.suites) != Some(transcript.suite) {
        return no("the chosen suite is not the best that was offered");
    }
    if transcript.role != Role::Keeper {
        return no("the evidence is not a keeper's");
    }
    if !(1..=MAX_LIFETIME_S).contains(&transcript.lifetime_s) {
        return no("the session's lifetime is not from one second to an hour");
    }
    Ok(())
}

/// The transcript vouches for exactly one key for `purpose`, and this is it.
fn check_key(
    transcript: &Transcript,
    purpose: KeyPurpose,
    algorithm: KeyAlgorithm,
    key: &Bytes,
) -> Result<(), Error> {
    let vouched = VouchedKey {
        purpose,
        algorithm,
        digest: Digest::of(&key.0),
    };
    if transcript.key(purpose) == Some(&vouched) {
        Ok(())
    } else {
        Err(Error::Transcript(format!(
            "the {} key is not the one that the transcript vouches for",
            match purpose {
                KeyPurpose::Seal => "sealing",
                _ => "receipt",
            }
        )))
    }
}

fn check_tls(transcript: &Transcript, key: Digest) -> Result<(), Error> {
    let vouched = VouchedKey {
        purpose: KeyPurpose::Tls,
        algorithm: KeyAlgorithm::Spki,
        digest: key,
    };
    match transcript.key(KeyPurpose::Tls) {
        Some(found) if *found == vouched => Ok(()),
        Some(_) => Err(Error::TlsPin(
            "the evidence vouches for another TLS key than this connection's",
        )),
        None => Err(Error::TlsPin(
            "the evidence vouches for no TLS key, and this connection has one",
        )),
    }
}
