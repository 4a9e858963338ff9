//! What can go wrong in a store, and the public code of each.

use soundproof_protocol::{digest::Digest, error::Code};

/// Why a store refused or failed. Cheap to clone, because one failed commit
/// may have to be told to everyone who shared it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the room that the operator granted, is full.
    #[error("the store is full")]
    Full,
    /// A tenant's quota would be exceeded.
    #[error("quota of {what} used up")]
    Quota {
        /// Which one.
        what: &'static str,
    },
    /// There is no such job.
    #[error("no such job")]
    NoJob,
    /// A job with this id and other digests exists, or another tenant's.
    #[error("a job with this id and other contents exists")]
    Conflict,
    /// A job with this id has been here and was deleted.
    #[error("a job with this id was here before")]
    Replayed,
    /// The call does not fit the state that the job is in.
    #[error("the job is in another state")]
    State,
    /// The job has no such part.
    #[error("no such part")]
    PartOutOfRange,
    /// The part has another length than the job's layout gives it.
    #[error("part of {found} bytes, {expected} expected")]
    PartLength {
        /// Bytes that the layout gives it.
        expected: u64,
        /// Bytes received until it was clear.
        found: u64,
    },
    /// The part is held with other bytes.
    #[error("the part is held with other bytes")]
    PartConflict,
    /// A blob that a job names is not held.
    #[error("blob {0} is not held")]
    BlobMissing(Digest),
    /// The bytes do not have the digest that they were sent under.
    #[error("bytes with digest {found}")]
    BlobDigest {
        /// Their digest.
        found: Digest,
    },
    /// More bytes than the caller's bound.
    #[error("more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: u64,
    },
    /// There is no outcome.
    #[error("no outcome")]
    NoOutcome,
    /// Bytes that were to be stored stopped coming.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another process has the store open.
    #[error("another process has this store open")]
    InUse,
    /// The store was written by a newer version.
    #[error(
        "the store has schema version {found}, this program knows up to {known}; run the newer program"
    )]
    Newer {
        /// Version found.
        found: i64,
        /// Latest version known.
        known: i64,
    },
    /// The database or the file system failed; for the operator's log.
    #[error("{0}")]
    Failed(String),
}

/// Why a stream of bytes ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SourceError {
    /// What it is to the caller.
    pub code: Code,
    /// Public.
    pub detail: String,
}

impl StoreError {
    /// The public code.
    pub fn code(&self) -> Code {
        match self {
            Self::Full => Code::StorageFull,
            Self::Quota { .. } => Code::QuotaExceeded,
            Self::NoJob => Code::JobNotFound,
            Self::Conflict => Code::JobConflict,
            Self::Replayed => Code::JobReplayed,
            Self::State => Code::InputClosed,
            Self::PartOutOfRange => Code::PartOutOfRange,
            Self::PartLength { .. } => Code::PartLength,
            Self::PartConflict => Code::PartConflict,
            Self::BlobMissing(_) => Code::BlobMissing,
            Self::BlobDigest { .. } => Code::BlobDigestMismatch,
            Self::TooLarge { .. } => Code::BodyTooLarge,
            Self::NoOutcome => Code::OutcomeGone,
            Self::Source(source) => source.code,
            Self::InUse | Self::Newer { .. } | Self::Failed(_) => Code::StorageFailed,
        }
    }

    pub(crate) fn failed(what: &str, why: impl core::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::failed("file system", error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const SQLITE_FULL: &str = "13";
        match error.as_database_error().and_then(|e| e.code()) {
            Some(code) if code == SQLITE_FULL => Self::Full,
            _ => Self::failed("database", error),
        }
    }
}
