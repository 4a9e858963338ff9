//! The outcome of a job, success and failure alike, and its progress: made by
//! whoever opened the witness, encrypted under the job's outcome key.
//!
//! An attempt that is repeated makes another outcome: every envelope has a
//! fresh random salt, from which its own key is derived, so that no key
//! encrypts twice.

use crate::{
    cbor::{Bytes, fixed_bytes},
    digest::Digest,
    error::Failure,
    id::JobId,
};
use minicbor::{Decode, Encode};

/// Bytes of a sealed outcome at most.
pub const MAX_OUTCOME: usize = 1024 * 1024 * 1024;
/// Every outcome is padded to at least this many bytes before encryption, so
/// that its size does not tell failure from success.
pub const MIN_OUTCOME_PLAINTEXT: usize = 16 * 1024;
/// Every progress event is padded to this many bytes before encryption.
pub const PROGRESS_PLAINTEXT: usize = 256;

fixed_bytes!(
    /// Makes an envelope's key its own.
    Salt, 32
);
crate::cbor::hex_text!(Salt);

/// What stands before the chunks of a sealed outcome: 4 bytes of magic and
/// version, then the salt.
pub const ENVELOPE_MAGIC: [u8; 4] = *b"SPO\x01";
/// Bytes before the first chunk of a sealed outcome.
pub const ENVELOPE_HEADER: usize = 4 + 32;

/// See the module.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Outcome {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// Whose it is.
    #[n(1)]
    pub job: JobId,
    /// Digest of the description that was carried out.
    #[n(2)]
    pub description: Digest,
    /// How it ended.
    #[n(3)]
    pub end: End,
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum End {
    /// With a proof that was verified inside the enclave.
    #[n(0)]
    Proved(#[n(0)] Proved),
    /// Without one.
    #[n(1)]
    Failed(#[n(0)] Failure),
}

/// A proof, its public values, and the receipt for them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Proved {
    /// The proof in the system's own form; for Groth16 snarkjs's proof.json.
    #[n(0)]
    pub proof: Bytes,
    /// The public values likewise; for Groth16 snarkjs's public.json.
    #[n(1)]
    pub public_values: Bytes,
    /// COSE_Sign1 of the [`receipt`](crate::receipt).
    #[n(2)]
    pub receipt: Bytes,
    /// SEC1 point of the key that signed it.
    #[n(3)]
    pub receipt_key: Bytes,
    /// Milliseconds spent in each phase, in order; from the enclave's
    /// monotonic clock.
    #[n(4)]
    pub phases: Vec<PhaseTime>,
}

/// Time spent in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PhaseTime {
    /// `queue`, `open`, `witness`, `prove`, `verify`, …
    #[n(0)]
    pub phase: String,
    /// Microseconds.
    #[n(1)]
    pub us: u64,
}

impl core::fmt::Debug for Outcome {
    // An outcome is a secret until its client has it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Outcome({}, …)", self.job)
    }
}

/// Fine progress, before it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Progress {
    /// `opening`, `witness`, `prove`, `verify`, …: at most 64 bytes.
    #[n(0)]
    pub phase: String,
    /// Thousandths of the phase that are done.
    #[n(1)]
    pub permille: u16,
    /// Which attempt at the job, from 1.
    #[n(2)]
    pub attempt: u32,
}

/// A sealed progress event.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SealedProgress {
    /// The attempt's salt.
    #[n(0)]
    pub salt: Salt,
    /// Rising from 0 within the salt; the nonce.
    #[n(1)]
    pub sequence: u32,
    /// [`PROGRESS_PLAINTEXT`] bytes and a tag.
    #[n(2)]
    pub ciphertext: Bytes,
}
