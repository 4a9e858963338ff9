//! What this crate needs of whoever embeds it: somebody who proves, somewhere
//! to keep bytes, somewhere to keep records, a clock and randomness. Traits
//! and plain types only; nothing here does anything.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use minicbor::{Decode, Encode};
use soundproof_protocol::error::Code;
use std::{collections::HashSet, sync::Arc};
use zeroize::Zeroizing;

/// Kinds of proof, with the SDK's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// Shards' proofs, as many as the program is long. Does not hide.
    Core = 1,
    /// One proof of constant size. Does not hide.
    Compressed = 2,
    /// A PLONK proof over BN254.
    Plonk = 3,
    /// A Groth16 proof over BN254.
    Groth16 = 4,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Core, Self::Compressed, Self::Plonk, Self::Groth16];

    /// The name in job descriptions and texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Compressed => "compressed",
            Self::Plonk => "plonk",
            Self::Groth16 => "groth16",
        }
    }

    /// From the SDK's number (`ProofMode` of its protos).
    pub fn from_wire(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.to_wire() == number)
    }

    /// The SDK's number.
    pub const fn to_wire(self) -> i32 {
        self as i32
    }
}

/// Which modes are proved at present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// Modes that are offered.
    pub modes: Vec<Mode>,
    /// Modes that are not, each with a public text: what is missing and how
    /// to get it. A mode in neither list is refused without a reason.
    pub missing: Vec<(Mode, String)>,
}

/// Nothing is taken at present: no program, no input, no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether to ask again in a moment can help: the SDK is told
    /// `Unavailable` and tries for two minutes. Otherwise
    /// `FailedPrecondition`, and it stops at once.
    pub passing: bool,
    /// What happened, whose side it is on and what to do: public.
    pub text: String,
}

/// Bytes that are wiped when their last clone goes; never printed.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }

    /// A view for the stream and HTTP types; it wipes as the `Secret` does.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// The bytes: without a copy where this is the only clone.
    pub fn into_vec(self) -> Zeroizing<Vec<u8>> {
        Arc::unwrap_or_clone(self.0)
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Zeroizing::new(bytes))
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl core::ops::Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One proof to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofJob {
    /// The request's id: 32 random bytes, a capability.
    pub request_id: [u8; 32],
    /// Which submission of this request it is, from 0. The same pair of id
    /// and attempt is the same job: a backend that derives its job id from
    /// them makes no second job when it is called again after a crash.
    pub attempt: u32,
    /// SP1's `vk.hash_bytes()`.
    pub vk_hash: [u8; 32],
    /// What to prove it with.
    pub mode: Mode,
    /// Cycles at most.
    pub cycle_limit: u64,
    /// Prover gas at most.
    pub gas_limit: u64,
    /// When it is of no use any more, in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// What [`Backend::submit`] gives to find the job again, after a restart too:
/// at most [`MAX_TOKEN`] bytes, kept in the [`Journal`] and never shown to
/// anybody. It may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Zeroizing<Vec<u8>>);

/// Bytes of a [`Token`] at most.
pub const MAX_TOKEN: usize = 64 << 10;

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How a job ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Ended {
    /// With a proof, verified under the job's `vk_hash`: the bytes that the
    /// SDK downloads, bincode of `ProofFromNetwork`.
    Proved {
        /// The proof with its public values.
        proof: Secret,
    },
    /// Without one.
    Failed {
        /// What happened. `program_mismatch` makes the registration of the
        /// program forgotten; `key_lost` makes the request submitted anew.
        code: Code,
        /// What the requester may read: no byte of the input, no count of
        /// cycles.
        text: String,
    },
}

/// A call to the backend that did not work out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {text}")]
pub struct BackendError {
    /// Whether the same call can work in a moment. It is then made again
    /// until the request's deadline; otherwise the request ends with `code`.
    pub passing: bool,
    /// What happened.
    pub code: Code,
    /// What the requester may read.
    pub text: String,
}

impl BackendError {
    /// With the code's own text, and passing if the code says so.
    pub fn of(code: Code) -> Self {
        Self {
            passing: code.retryable(),
            code,
            text: code.title().to_owned(),
        }
    }
}

/// Who proves. All futures may be dropped at any moment and the call made
/// again.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What is offered now. Asked before anything is taken, so it must be
    /// quick: an answer at hand, not a network call.
    ///
    /// # Errors
    /// With a refusal, everything is refused with its text.
    async fn ready(&self) -> Result<Offers, Refusal>;

    /// Submits a job and returns once it is accepted for good. `elf` is the
    /// ELF itself; `stdin` is the upload as it came: bincode of `SP1Stdin`, or
    /// zstd of that, or anything else, for the prover to refuse. Where the
    /// future is dropped before it returns (the request was cancelled), the
    /// job, if it came to be, is the backend's to stop.
    ///
    /// # Errors
    /// See [`BackendError`].
    async fn submit(
        &self,
        job: &ProofJob,
        elf: Bytes,
        stdin: Secret,
    ) -> Result<Token, BackendError>;

    /// Waits for a job's end, however long it takes. Asked again after an
    /// end, it gives the same end until [`Backend::forget`].
    ///
    /// # Errors
    /// See [`BackendError`].
    async fn wait(&self, token: &Token) -> Result<Ended, BackendError>;

    /// Stops a job. No error if it has ended or is unknown.
    ///
    /// # Errors
    /// See [`BackendError`].
    async fn cancel(&self, token: &Token) -> Result<(), BackendError>;

    /// The job's end is not needed any more. No error if it is unknown.
    ///
    /// # Errors
    /// See [`BackendError`]. It is not called again.
    async fn forget(&self, token: &Token) -> Result<(), BackendError>;
}

/// What is kept under an id in the [`Stash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An upload that should be a program; public.
    ProgramUpload,
    /// An ELF; public.
    Program,
    /// An input; secret.
    Stdin,
    /// A finished proof with its public values; secret.
    Proof,
}

impl Kind {
    /// Whether it must never lie in clear outside protected memory.
    pub const fn secret(self) -> bool {
        matches!(self, Self::Stdin | Self::Proof)
    }
}

/// Names bytes in the [`Stash`]: random, never sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct StashId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// Bytes on their way in. An error is whatever broke the upload.
pub type Incoming<'a> = BoxStream<'a, Result<Bytes, IncomingError>>;

/// The source of an upload failed; nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IncomingError {
    /// The connection broke, or the body ended early or came too slowly.
    #[error("the body did not arrive whole")]
    Broken,
    /// There is more than may be kept for this requester.
    #[error("more bytes than may be kept")]
    Quota,
    /// A later upload to the same place began.
    #[error("another upload took its place")]
    Superseded,
}

/// Bytes that are at hand, as a source.
pub fn incoming_of(bytes: Bytes) -> Incoming<'static> {
    stream::once(async move { Ok(bytes) }).boxed()
}

/// The stash did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StashError {
    /// Nothing under this id.
    #[error("nothing is kept under this id")]
    Missing,
    /// Longer than `max`.
    #[error("longer than accepted")]
    TooLong,
    /// No room.
    #[error("no room")]
    Full,
    /// The source failed.
    #[error(transparent)]
    Source(#[from] IncomingError),
    /// The medium failed; the text goes to the log.
    #[error("{0}")]
    Failed(String),
}

/// Keeps bytes. What is of a [`Kind`] that is secret lies in protected memory
/// or is encrypted before it leaves it, also while it streams in, and is
/// wiped when it is deleted.
#[async_trait]
pub trait Stash: Send + Sync + 'static {
    /// Keeps what the source gives, `max` bytes at most, and returns how many
    /// they were. Kept for good when it returns; an error, or the future
    /// dropped, keeps nothing. An id is put once.
    ///
    /// # Errors
    /// `TooLong`, `Full`, `Source`, `Failed`.
    async fn put(
        &self,
        id: StashId,
        kind: Kind,
        source: Incoming<'_>,
        max: u64,
    ) -> Result<u64, StashError>;

    /// The bytes.
    ///
    /// # Errors
    /// `Missing`, `Failed`.
    async fn get(&self, id: StashId) -> Result<Secret, StashError>;

    /// Deletes them; no error if there are none.
    ///
    /// # Errors
    /// `Failed`.
    async fn delete(&self, id: StashId) -> Result<(), StashError>;

    /// Deletes everything that is not named: what a crash left behind. Called
    /// once, at the start. Does nothing by default, which is right for a
    /// stash that starts empty.
    ///
    /// # Errors
    /// `Failed`.
    async fn keep_only(&self, _ids: &HashSet<StashId>) -> Result<(), StashError> {
        Ok(())
    }
}

/// The journal did not do it; the text goes to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// A key of the journal and its value.
pub type Record = (Vec<u8>, Zeroizing<Vec<u8>>);

/// Keeps records over a restart: keys of at most 33 bytes, values of at most
/// 128 KiB, a few thousand of them. Values hold capabilities and tokens: where
/// others can read the medium, it is the implementation's to encrypt keys and
/// values. A volatile journal goes with a volatile stash.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// All records, in any order. Called once, at the start.
    ///
    /// # Errors
    /// The medium failed.
    async fn load(&self) -> Result<Vec<Record>, JournalError>;

    /// Sets a record; durable when it returns.
    ///
    /// # Errors
    /// The medium failed.
    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), JournalError>;

    /// Removes a record; no error if there is none.
    ///
    /// # Errors
    /// The medium failed.
    async fn delete(&self, key: &[u8]) -> Result<(), JournalError>;
}

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Where ids, capabilities and nonces come from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills with bytes that nobody can guess.
    ///
    /// # Errors
    /// There is no randomness to be had.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// No randomness to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness to be had")]
pub struct NoEntropy;
