//! Collects evidence inside a TEE: one module a platform. An attester takes
//! typed bindings only, so that nothing can make it quote a caller's bytes.
//!
//! | module | what |
//! |---|---|
//! | [`software`] | the software platform (feature `software`): protects nothing |
#![forbid(unsafe_code)]

#[cfg(feature = "software")]
pub mod software;

use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
};

/// Makes evidence on one platform.
pub trait Attester: Send + Sync {
    /// Which platform it is.
    fn platform(&self) -> Platform;

    /// Evidence that carries `binding`. Blocks while the quote is made:
    /// hardware makes one at a time and takes tens of milliseconds for it.
    ///
    /// # Errors
    /// [`AttestError`].
    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError>;

    /// The endorsements that go with its evidence.
    ///
    /// # Errors
    /// [`AttestError`].
    fn endorsements(&self) -> Result<Endorsements, AttestError>;
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// A file could not be read or written.
    #[error("{what}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of keys does not hold what it must.
    #[error("{0}")]
    Keys(String),
    /// A time that no certificate can hold.
    #[error("the time {0} ms since 1970 is out of range")]
    Time(u64),
    /// A certificate, list or document could not be made.
    #[error("cannot make {what}: {why}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}
