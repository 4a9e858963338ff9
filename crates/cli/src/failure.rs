//! What a command says when it fails: what happened, whose side it is on,
//! what to do.

use serde::Serialize;
use soundproof::{
    Error,
    protocol::error::{Code, Fault},
};

/// A failure, ready to be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// Stable.
    code: &'static str,
    /// What happened.
    what: String,
    /// Whose side it is on.
    fault: &'static str,
    /// Whether trying again can help.
    retryable: bool,
    /// What to do.
    remedy: String,
    /// The verdict, where evidence was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Box<soundproof::Verdict>>,
    #[serde(skip)]
    usage: bool,
}

impl Failure {
    /// With a code's own words for whose fault it is and what to do.
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            code: code.name(),
            what: what.into(),
            fault: code.fault().name(),
            retryable: code.retryable(),
            remedy: code.remedy().into(),
            verdict: None,
            usage: false,
        }
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: "usage",
            what: what.into(),
            fault: Fault::Client.name(),
            retryable: false,
            remedy: remedy.into(),
            verdict: None,
            usage: true,
        }
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Code::FileUnreadable, format!("{}: {error}", path.display()))
    }

    /// Something was judged and does not hold; it was shown already.
    pub(crate) fn judged(code: Code, what: impl Into<String>) -> Self {
        Self::new(code, what)
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    pub(crate) fn exit(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut failure = Self::new(error.code(), error.to_string());
        failure.verdict = error.verdict().cloned().map(Box::new);
        failure
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if let Some(verdict) = &self.verdict {
            writeln!(f, "{verdict}")?;
        }
        let side = match self.fault {
            "client" => "yours",
            "program" => "the program's",
            "server" => "Soundproof's",
            _ => "the host's",
        };
        writeln!(f, "error: {} [{}]", self.what, self.code)?;
        writeln!(f, "whose side: {side}")?;
        write!(f, "what to do: {}", self.remedy)
    }
}
