//! What keeper and gateway say to each other, over one Unix socket in
//! length-delimited frames of deterministic CBOR. Both sides ask: the gateway
//! for sessions, admissions and runs; the keeper pulls ciphertext and blobs,
//! so that neither buffers more than it asked for.
//!
//! The keeper trusts nothing that arrives here: the gateway parses what
//! strangers send.

use crate::{
    api::{OpenSession, SessionOpened},
    cbor::{self, Bytes, DecodeError},
    digest::Digest,
    error::Code,
    id::{InstanceId, JobId},
    mode::ModeOffer,
    outcome::SealedProgress,
};
use minicbor::{Decode, Encode};

/// Bytes of a frame at most.
pub const MAX_FRAME: usize = 2 * 1024 * 1024 + 64 * 1024;
/// Bytes of a blob or outcome that one frame carries at most.
pub const MAX_PIECE: usize = 1024 * 1024 + 16;

/// One frame.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum Frame {
    /// A question of the gateway's; its number is answered once.
    #[n(0)]
    Ask(#[n(0)] u64, #[n(1)] GatewayAsks),
    /// The keeper's answer.
    #[n(1)]
    Answer(#[n(0)] u64, #[n(1)] KeeperAnswers),
    /// A question of the keeper's.
    #[n(2)]
    Pull(#[n(0)] u64, #[n(1)] KeeperPulls),
    /// The gateway's answer.
    #[n(3)]
    Piece(#[n(0)] u64, #[n(1)] GatewayPieces),
    /// The keeper tells, and expects no answer.
    #[n(4)]
    Tell(#[n(0)] KeeperTells),
}

impl Frame {
    /// Encodes it.
    pub fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice(bytes, MAX_FRAME)
    }
}

/// The gateway asks.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum GatewayAsks {
    /// First of all: the digest of the TLS certificate's
    /// SubjectPublicKeyInfo, none for plain HTTP on loopback.
    #[n(0)]
    Hello(#[n(0)] Option<Digest>),
    /// Open a session. Credentials and rates were checked.
    #[n(1)]
    OpenSession {
        /// What was asked.
        #[n(0)]
        open: OpenSession,
        /// The gateway itself asks, to seal what arrives in clear on the
        /// direct path: nobody appraises, and receipts say so.
        #[n(1)]
        unappraised: bool,
    },
    /// Take charge of a job's data key.
    #[n(2)]
    Admit {
        /// Encoded job description.
        #[n(0)]
        description: Bytes,
        /// Encoded sealed header.
        #[n(1)]
        header: Bytes,
    },
    /// Run an admitted job whose input is complete.
    #[n(3)]
    Run {
        /// The job.
        #[n(0)]
        job: JobId,
        /// Which attempt, from 1.
        #[n(1)]
        attempt: u32,
        /// Milliseconds it waited since it was accepted.
        #[n(2)]
        queued_us: u64,
    },
    /// Stop it; its run answers with a sealed `cancelled`.
    #[n(4)]
    Cancel(#[n(0)] JobId),
    /// It has ended and its outcome is stored, or it never ran: wipe its keys.
    #[n(5)]
    Forget(#[n(0)] JobId),
    /// Which of these jobs' keys are held? Asked when a gateway starts.
    #[n(6)]
    Holds(#[n(0)] Vec<JobId>),
    /// How are you?
    #[n(7)]
    Status,
}

/// The keeper answers.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum KeeperAnswers {
    /// To `Hello`.
    #[n(0)]
    Hello {
        /// This life of the keeper.
        #[n(0)]
        instance: InstanceId,
        /// Proof systems and their modes, those too that are not offered.
        #[n(1)]
        modes: Vec<ModeOffer>,
        /// Jobs that may run at once.
        #[n(2)]
        slots: u32,
        /// With `sp1_direct` on: from which the gateway derives the keys for
        /// what arrives on the direct path, the same for every gateway of this
        /// keeper's life, and gone with it.
        #[n(3)]
        direct: Option<DirectSecret>,
    },
    /// To `OpenSession`.
    #[n(1)]
    Session(#[n(0)] Box<SessionOpened>),
    /// To `Admit`: SHA-256 of the job's access secret.
    #[n(2)]
    Admitted(#[n(0)] Digest),
    /// To `Run`: it ended, and its outcome was handed over whole.
    #[n(3)]
    Ended,
    /// To `Run`: it did not end, through no fault of its own; put it back.
    #[n(4)]
    Requeue(#[n(0)] Refusal),
    /// To `Holds`: those that are.
    #[n(5)]
    Holds(#[n(0)] Vec<JobId>),
    /// To `Status`.
    #[n(6)]
    Status(#[n(0)] KeeperStatus),
    /// Done.
    #[n(7)]
    Done,
    /// No.
    #[n(8)]
    Refused(#[n(0)] Refusal),
}

/// Thirty-two secret bytes; wiped when dropped.
#[derive(Clone)]
pub struct DirectSecret(pub zeroize::Zeroizing<[u8; 32]>);

impl core::fmt::Debug for DirectSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DirectSecret(…)")
    }
}

impl<C> Encode<C> for DirectSecret {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0[..])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for DirectSecret {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let given = d.bytes()?;
        let bytes = given
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("a direct secret is 32 bytes"))?;
        Ok(Self(zeroize::Zeroizing::new(bytes)))
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refusal {
    /// Why.
    #[n(0)]
    pub code: Code,
    /// Public; holds no secret.
    #[n(1)]
    pub detail: Option<String>,
}

/// The keeper pulls or pushes pieces.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum KeeperPulls {
    /// One chunk of a job's sealed input.
    #[n(0)]
    Chunk {
        /// The job.
        #[n(0)]
        job: JobId,
        /// The chunk.
        #[n(1)]
        index: u32,
    },
    /// At most [`MAX_PIECE`] bytes of a blob.
    #[n(1)]
    Blob {
        /// The blob.
        #[n(0)]
        digest: Digest,
        /// From this byte.
        #[n(1)]
        offset: u64,
    },
    /// A piece of a job's sealed outcome, in order.
    #[n(2)]
    Outcome {
        /// The job.
        #[n(0)]
        job: JobId,
        /// The attempt that made it.
        #[n(1)]
        attempt: u32,
        /// From this byte.
        #[n(2)]
        offset: u64,
        /// The bytes.
        #[n(3)]
        bytes: Bytes,
        /// No more follow.
        #[n(4)]
        last: bool,
    },
}

/// The gateway answers a pull.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum GatewayPieces {
    /// The bytes, and how long the whole blob is.
    #[n(0)]
    Bytes {
        /// They.
        #[n(0)]
        bytes: Bytes,
        /// Length of the chunk or blob, all of it.
        #[n(1)]
        total: u64,
    },
    /// Taken.
    #[n(1)]
    Taken,
    /// Not to be had.
    #[n(2)]
    Missing(#[n(0)] Code),
}

/// The keeper tells.
#[derive(Debug, Encode, Decode)]
#[non_exhaustive]
pub enum KeeperTells {
    /// Progress of a job.
    #[n(0)]
    Progress {
        /// The job.
        #[n(0)]
        job: JobId,
        /// Only the client can read it.
        #[n(1)]
        sealed: SealedProgress,
    },
}

/// Figures for metrics and readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeeperStatus {
    /// Sessions that are open.
    #[n(0)]
    pub sessions: u64,
    /// Sessions that the table has room for.
    #[n(1)]
    pub session_room: u64,
    /// Job keys held.
    #[n(2)]
    pub jobs: u64,
    /// Quotes made.
    #[n(3)]
    pub quotes: u64,
    /// Prover processes alive.
    #[n(4)]
    pub provers: u64,
    /// Whether jobs can run.
    #[n(5)]
    pub ready: bool,
    /// Microseconds spent making quotes.
    #[n(6)]
    pub quote_us: u64,
}
