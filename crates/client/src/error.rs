//! One error for the whole library: what happened, whose side it is on,
//! whether trying again can help, and what to do. No text of it holds a byte
//! of a witness, key or credential.

use soundproof_evidence::Verdict;
use soundproof_protocol::{
    api::HostEnd,
    error::{Code, Failure, Fault},
};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL breaks a rule; nothing was sent.
    #[error("{0}")]
    Url(&'static str),
    /// No connection, or it broke.
    #[error("{call}: {cause}")]
    Unreachable {
        /// What was being done.
        call: &'static str,
        /// What the network said.
        cause: String,
    },
    /// The TLS key is not the one that evidence vouches for.
    #[error("{0}")]
    TlsPin(&'static str),
    /// The server refused, with a problem document. Its texts are the
    /// server's and were stripped of control characters.
    #[error("{call}: the server refused ({code}){}", text(.detail))]
    Refused {
        /// What was being done.
        call: &'static str,
        /// The server's code.
        code: Code,
        /// The server's words.
        detail: Option<String>,
        /// Seconds that the server asks to wait.
        retry_after_s: Option<u32>,
    },
    /// A reply that the protocol does not allow.
    #[error("{call}: the server's reply is not one of this protocol: {what}")]
    Reply {
        /// What was being done.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The session's transcript is not what was asked for, or does not vouch
    /// for what came with it.
    #[error("{0}")]
    Transcript(String),
    /// The evidence does not satisfy the policy; the verdict says why.
    #[error("the evidence was not accepted")]
    Rejected(Box<Verdict>),
    /// The session has ended, by this machine's own clock.
    #[error("the session has ended")]
    SessionOver,
    /// The program cannot be used.
    #[error("{what}")]
    Program {
        /// The nearest code.
        code: Code,
        /// Which part, and why.
        what: String,
    },
    /// A file of the caller's.
    #[error("{what}: {cause}")]
    File {
        /// Which.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The input changed while it was being sent, again and again.
    #[error("the input changed while it was being sent")]
    SourceChanged,
    /// Sealing or opening failed.
    #[error("{what}")]
    Seal {
        /// The code.
        code: Code,
        /// What failed.
        what: String,
    },
    /// The job ended without a proof; said by whoever opened the witness.
    #[error("the job failed ({}){}", .0.code, in_parentheses(.0))]
    Failed(Failure),
    /// The job ended without an outcome, as the host says.
    #[error("the job ended without an outcome: {}", .0.name())]
    Ended(HostEnd),
    /// The outcome is not from whoever opened the witness, or for another job.
    #[error("{0}")]
    Outcome(&'static str),
    /// The receipt does not verify or names something else.
    #[error("{0}")]
    Receipt(String),
    /// The proof does not verify under the program's verifying key.
    #[error("the proof that arrived does not verify: {0}")]
    Proof(String),
    /// A ticket that cannot be read.
    #[error("{0}")]
    Ticket(&'static str),
    /// A bundle that cannot be read.
    #[error("{0}")]
    Bundle(&'static str),
    /// The machine gave no randomness, or a task of ours was torn down.
    #[error("{0}")]
    Internal(&'static str),
}

fn text(detail: &Option<String>) -> String {
    detail
        .as_ref()
        .map(|text| format!(": {text}"))
        .unwrap_or_default()
}

fn in_parentheses(failure: &Failure) -> String {
    // The detail is for the client, and this is the client; it came sealed,
    // but a terminal is still no place for control characters.
    match clean(&failure.detail) {
        detail if detail.is_empty() => String::new(),
        detail => format!(": {detail}"),
    }
}

impl Error {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Url(_) => Code::UrlRefused,
            Self::Unreachable { .. } => Code::Unreachable,
            Self::TlsPin(_) => Code::TlsPinMismatch,
            Self::Refused { code, .. } | Self::Program { code, .. } | Self::Seal { code, .. } => {
                *code
            }
            Self::Reply { .. } => Code::ProtocolBroken,
            Self::Internal(_) => Code::Internal,
            Self::Transcript(_) => Code::TranscriptMismatch,
            Self::Rejected(_) => Code::EvidenceRejected,
            Self::SessionOver => Code::SessionUnknown,
            Self::File { .. } => Code::FileUnreadable,
            Self::SourceChanged => Code::SourceChanged,
            Self::Failed(failure) => failure.code,
            Self::Ended(HostEnd::KeyLost) => Code::KeyLost,
            Self::Ended(HostEnd::Cancelled) => Code::Cancelled,
            Self::Ended(HostEnd::Expired) => Code::Expired,
            Self::Ended(_) => Code::OutcomeGone,
            Self::Outcome(_) => Code::OutcomeForged,
            Self::Receipt(_) => Code::ReceiptInvalid,
            Self::Proof(_) => Code::ProofRejected,
            Self::Ticket(_) => Code::TicketInvalid,
            Self::Bundle(_) => Code::BundleInvalid,
        }
    }

    /// Whose side it is on.
    pub fn fault(&self) -> Fault {
        self.code().fault()
    }

    /// Whether trying again, unchanged, can help.
    pub fn retryable(&self) -> bool {
        self.code().retryable()
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        self.code().remedy()
    }

    /// The verdict, where evidence was judged and not accepted.
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Rejected(verdict) => Some(verdict),
            _ => None,
        }
    }

    pub(crate) fn file(what: impl Into<String>, cause: std::io::Error) -> Self {
        Self::File {
            what: what.into(),
            cause,
        }
    }

    /// A whole new appraisal, id and data key can mend it.
    pub(crate) fn wants_resubmission(&self) -> bool {
        matches!(
            self.code(),
            Code::KeyLost | Code::SessionUnknown | Code::SourceChanged | Code::TlsPinMismatch
        )
    }
}

/// What a stranger's text may show on a terminal or in a log: printable
/// characters, 600 at most: room for why a mode is not offered.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .take(600)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_steer_the_terminal() {
        let text = clean("ok\x1b[2J\u{202e}gnp\r\nnext");
        assert_eq!(text, "ok [2Jgnp  next");
        assert_eq!(clean(&"x".repeat(1000)).len(), 600);
    }

    #[test]
    fn a_failure_shows_its_detail_to_the_client_only() {
        let failure = Failure::new(Code::ConstraintFailed, "line 12");
        assert!(!format!("{failure:?}").contains("line 12"));
        let error = Error::Failed(failure);
        assert!(error.to_string().contains("line 12"));
        assert_eq!(error.code(), Code::ConstraintFailed);
        assert_eq!(error.fault(), Fault::Client);
    }
}
