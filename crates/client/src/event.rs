//! What a caller is told while a job goes its way, and how long each phase
//! took.

use soundproof_evidence::Verdict;
use soundproof_protocol::{api::JobState, error::Code, id::JobId, outcome::PhaseTime};
use std::time::Duration;

/// Told of each event, in order.
#[derive(Clone, Copy, Default)]
pub struct Observer<'a>(Option<&'a (dyn Fn(&Event<'_>) + Send + Sync)>);

impl<'a> Observer<'a> {
    /// Nobody. A job is then not followed, which saves a connection.
    pub const NONE: Self = Self(None);

    /// `observer` must return quickly.
    pub fn new(observer: &'a (dyn Fn(&Event<'_>) + Send + Sync)) -> Self {
        Self(Some(observer))
    }

    pub(crate) fn is_some(self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn tell(self, event: &Event<'_>) {
        if let Some(observer) = self.0 {
            observer(event);
        }
    }
}

impl core::fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Observer(…)")
    }
}

/// Something happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Evidence was accepted; nothing that depends on the witness was sent
    /// before this.
    Accepted {
        /// The verdict.
        verdict: &'a Verdict,
        /// It was accepted for an earlier job, and the session still lasts.
        reused: bool,
    },
    /// A program part goes up.
    Program {
        /// Its role.
        role: &'a str,
        /// Its length in bytes.
        bytes: u64,
    },
    /// The job has an id.
    Created(JobId),
    /// Sealed bytes that the server acknowledged.
    Uploaded {
        /// So far.
        bytes: u64,
        /// In all.
        of: u64,
    },
    /// The job was accepted: it will end exactly once.
    Acknowledged(JobId),
    /// The host's word on where the job is.
    State(JobState),
    /// Sealed progress, from whoever opened the witness.
    Progress {
        /// `opening`, `witness`, `prove`, `verify`.
        phase: &'a str,
        /// Thousandths of the phase.
        permille: u16,
        /// Which attempt at the job, from 1.
        attempt: u32,
    },
    /// The job is submitted anew: a new appraisal, id and data key.
    Resubmitting {
        /// Which submission comes now, from 2.
        submission: u32,
        /// Why.
        because: Code,
    },
    /// Proof and receipt verified.
    Verified,
}

/// How long each phase took. `queue`, `witness` and `prove` are the
/// enclave's own figures, the others this client's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From the session's request to its reply; none if it was reused.
    pub session: Duration,
    /// Checking the session and judging its evidence; none if reused.
    pub appraisal: Duration,
    /// Reading and encrypting the input.
    pub seal: Duration,
    /// From the first program part to the acknowledgement, sealing left out.
    pub upload: Duration,
    /// From the acknowledgement to the outcome's arrival.
    pub wait: Duration,
    /// Opening the outcome, checking the receipt, verifying the proof.
    pub verify: Duration,
    /// All of it, from the call to its return; for a job that was submitted
    /// and waited for apart, from sealing on.
    pub total: Duration,
}

/// Sum of the phases with this name.
pub(crate) fn phase(phases: &[PhaseTime], name: &str) -> Duration {
    let us = phases
        .iter()
        .filter(|time| time.phase == name)
        .map(|time| time.us)
        .fold(0, u64::saturating_add);
    Duration::from_micros(us)
}
