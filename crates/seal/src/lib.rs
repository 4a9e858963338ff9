//! Seal a witness so that exactly one attested enclave can open it, for
//! exactly one job. No I/O and no randomness of its own; builds for wasm.
//!
//! | module | what |
//! |---|---|
//! | [`recipient`] | HPKE (RFC 9180): wrap and unwrap the data key |
//! | [`keys`] | what is derived from the data key |
//! | [`header`] | build and open a sealed header |
//! | [`stream`] | chunks: STREAM-BE32 over AES-256-GCM |
//! | [`plaintext`] | prologue and padding |
//! | [`outcome`], [`progress`] | the way back |
#![forbid(unsafe_code)]

pub mod header;
pub mod keys;
pub mod outcome;
pub mod plaintext;
pub mod progress;
pub mod recipient;
pub mod stream;

pub use header::{Addressee, open_header, seal_header};
pub use keys::{DataKey, JobKeys};
pub use plaintext::{Padding, Prologue};
pub use recipient::Recipient;
pub use stream::{Opener, Sealer};

use soundproof_protocol::error::Code;

/// Why something does not seal or open. Says nothing of keys or plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A public key, encapsulation or ciphertext is not one of its suite.
    #[error("not a key or encapsulation of this suite")]
    Malformed,
    /// HPKE does not open: another session, another job, or altered bytes.
    #[error("the data key does not open with this session and this description")]
    DataKey,
    /// The header is not addressed to this session, or its recipients are not
    /// the description's.
    #[error("the header's recipients are not the description's, or this session is none of them")]
    Recipients,
    /// The data key is not the one that the header commits to.
    #[error("the data key is not the one that the header commits to")]
    Commitment,
    /// A chunk does not open, or there is no such chunk.
    #[error("a chunk is not what was sealed")]
    Chunk,
    /// The plaintext does not begin with a prologue that fits its length.
    #[error("the plaintext does not begin as it must")]
    Prologue,
    /// An outcome or progress event does not open under this job's key.
    #[error("not sealed by whoever opened the witness")]
    Outcome,
    /// Longer than the format allows.
    #[error("too long for the format")]
    TooLong,
}

impl SealError {
    /// The code under which it crosses an interface.
    pub fn code(self) -> Code {
        match self {
            Self::Malformed | Self::TooLong => Code::HeaderInvalid,
            Self::DataKey | Self::Recipients => Code::SealInvalid,
            Self::Commitment => Code::CommitmentMismatch,
            Self::Chunk => Code::ChunkInvalid,
            Self::Prologue => Code::PrologueInvalid,
            Self::Outcome => Code::OutcomeForged,
        }
    }
}
