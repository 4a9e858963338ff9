//! What can be wrong: with one answer, and with all of them together.

use crate::{item, target::TargetError};

/// Why one source's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No connection, or it broke.
    #[error("cannot be reached ({0})")]
    Unreachable(String),
    /// Not all of it came in time.
    #[error("no answer within {ms} ms")]
    Slow {
        /// The limit.
        ms: u64,
    },
    /// It asks to be left alone for a while.
    #[error("asks to wait{}", retry_after(*.retry_after_s))]
    Throttled {
        /// How long, if it says.
        retry_after_s: Option<u64>,
    },
    /// It says that it failed, or that there is no such thing.
    #[error("answers with HTTP status {0}")]
    Status(u16),
    /// An OCSP responder that says no, or not now (RFC 6960, 4.2.1).
    #[error("answers with OCSP status {0}")]
    Refused(u8),
    /// It points elsewhere. Not followed.
    #[error("redirects (HTTP status {0}), which is not followed")]
    Redirected(u16),
    /// More than such a document can have.
    #[error("sends more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Not what was asked for, in form.
    #[error("sends what is no {0}")]
    Malformed(&'static str),
    /// Another machine's.
    #[error("sends the document of {found}, not of {expected}")]
    Other {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// Not signed by the key beside it.
    #[error("sends {0} whose signature does not hold")]
    Signature(&'static str),
    /// Over.
    #[error("sends {part} that ended {}", item::date(*.until_ms))]
    Expired {
        /// Which part.
        part: &'static str,
        /// When; ms since 1970.
        until_ms: u64,
    },
    /// Not yet begun.
    #[error("sends {part} that begins {}", item::date(*.from_ms))]
    NotYetValid {
        /// Which part.
        part: &'static str,
        /// When; ms since 1970.
        from_ms: u64,
    },
    /// It cannot be spoken to as configured.
    #[error("is not usable: {0}")]
    Setup(String),
}

fn retry_after(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |seconds| format!(" {seconds} s"))
}

impl Fault {
    /// Whether asking again, a little later, can help.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Slow { .. } | Self::Throttled { .. } => true,
            Self::Status(status) => *status >= 500,
            // internalError, tryLater.
            Self::Refused(status) => matches!(status, 2 | 3),
            _ => false,
        }
    }

    /// The name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Slow { .. } => "slow",
            Self::Throttled { .. } => "throttled",
            Self::Status(_) => "status",
            Self::Refused(_) => "refused",
            Self::Redirected(_) => "redirected",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Other { .. } => "other",
            Self::Signature(_) => "signature",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Setup(_) => "setup",
        }
    }
}

/// What one source answered, the last time that it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its base URL.
    pub source: String,
    /// The document that it failed at.
    pub document: &'static str,
    /// Why.
    pub fault: Fault,
}

impl core::fmt::Display for Attempt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({}): {}", self.source, self.document, self.fault)
    }
}

/// Why there are no endorsements.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    /// Evidence does not say what is needed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Every source failed, and what was there is over or never was.
    #[error("{}", unavailable(target, *since_ms, *ended_ms, attempts))]
    Unavailable {
        /// What is missing.
        target: String,
        /// Since when every source fails; ms since 1970.
        since_ms: u64,
        /// When the copy that was held ended, if there was one.
        ended_ms: Option<u64>,
        /// What each source answered.
        attempts: Vec<Attempt>,
    },
    /// There is nowhere to fetch it from.
    #[error("no endorsements of {target}: {}", if *offline { "fetching is off (offline = true)" } else { "no source for them is configured" })]
    NoSource {
        /// What is missing.
        target: String,
        /// Fetching is off altogether.
        offline: bool,
    },
    /// A setting that cannot be.
    #[error("{0}")]
    Config(String),
    /// A file of endorsements that is none.
    #[error("{path}: {why}")]
    Bundle {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
}

impl CollateralError {
    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Target(TargetError::HostKey | TargetError::MaskedChip) => {
                "Let the host give its certificate with the evidence (extended report, or the cloud's metadata service)."
            }
            Self::Target(_) => "The evidence is damaged, or of a kind that needs a newer version.",
            Self::NoSource { .. } => {
                "Configure a source, or bring a bundle: `soundproof collateral fetch` on a machine with a network, then `bundle = \"FILE\"`."
            }
            Self::Config(_) | Self::Bundle { .. } => "Correct the setting or the file.",
            Self::Unavailable { attempts, .. } => {
                let all = |test: fn(&Fault) -> bool| {
                    !attempts.is_empty() && attempts.iter().all(|attempt| test(&attempt.fault))
                };
                if all(|fault| matches!(fault, Fault::Throttled { .. })) {
                    "Wait, or add a mirror of your own (a PCCS, a KDS proxy) to the sources."
                } else if all(|fault| matches!(fault, Fault::Unreachable(_) | Fault::Slow { .. })) {
                    "Check this machine's network, firewall, proxy and name resolution; or bring a bundle: `soundproof collateral fetch` elsewhere."
                } else if all(|fault| {
                    matches!(fault, Fault::Expired { .. } | Fault::NotYetValid { .. })
                }) {
                    "Check this machine's clock; if it is right, the sources serve old copies: have them refreshed."
                } else {
                    "See what each source answered; add another source, or bring a bundle: `soundproof collateral fetch` elsewhere."
                }
            }
        }
    }
}

fn unavailable(target: &str, since_ms: u64, ended_ms: Option<u64>, attempts: &[Attempt]) -> String {
    let mut text = format!("no endorsements of {target}: ");
    match ended_ms {
        Some(ended) => text.push_str(&format!(
            "the copy that was held ended {}; ",
            item::date(ended)
        )),
        None => text.push_str("none were ever had; "),
    }
    text.push_str(&format!(
        "every source fails since {}",
        item::date(since_ms)
    ));
    for (index, attempt) in attempts.iter().enumerate() {
        text.push_str(if index == 0 { ": " } else { "; " });
        text.push_str(&attempt.to_string());
    }
    text
}

/// A failure at one document of a source's.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) document: &'static str,
    pub(crate) fault: Fault,
}

/// Says which document a fault was in.
pub(crate) trait At<T> {
    fn at(self, document: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Fault> {
    fn at(self, document: &'static str) -> Result<T, Failure> {
        self.map_err(|fault| Failure { document, fault })
    }
}
