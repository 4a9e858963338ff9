//! Evidence and endorsements, as carried: opaque bytes with a kind. What they
//! mean is the `evidence` crate's to say.

use crate::{cbor::Bytes, digest::Digest};
use minicbor::{Decode, Encode};

/// Bytes of evidence that a client reads at most.
pub const MAX_EVIDENCE: usize = 512 * 1024;
/// Bytes of endorsements that a client reads at most.
pub const MAX_ENDORSEMENTS: usize = 1024 * 1024;

/// The kind of evidence. Software is a kind of its own: nothing turns it into
/// another (invariant 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Platform {
    /// Quotes of the software platform: for development, no protection at all.
    #[n(0)]
    Software,
    /// Intel TDX.
    #[n(1)]
    Tdx,
}

impl Platform {
    /// The name in policies and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Tdx => "tdx",
        }
    }
}

/// What the attested process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum Role {
    /// A keeper that clients seal to.
    #[n(0)]
    Keeper,
    /// A worker that a keeper may delegate to.
    #[n(1)]
    Worker,
}

impl Role {
    /// The name in receipts and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keeper => "keeper",
            Self::Worker => "worker",
        }
    }
}

/// Evidence (RFC 9334, 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Evidence {
    /// What kind it is.
    #[n(0)]
    pub platform: Platform,
    /// The platform's own signed statement: a quote, report or document.
    #[n(1)]
    pub statement: Bytes,
    /// Event log, where the platform has one.
    #[n(2)]
    pub event_log: Option<Bytes>,
    /// GPU evidence, where a GPU takes part.
    #[n(3)]
    pub gpu: Option<Bytes>,
    /// Runtime quote (TPM and IMA), where there is one.
    #[n(4)]
    pub runtime: Option<Bytes>,
}

impl Evidence {
    /// What receipts and holders name it by.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/evidence", self)
    }

    /// Digest of the GPU evidence, as a binding has it.
    pub fn gpu_digest(&self) -> Option<Digest> {
        self.gpu.as_ref().map(|bytes| Digest::of(&bytes.0))
    }

    /// Digest of the runtime quote, as a binding has it.
    pub fn runtime_digest(&self) -> Option<Digest> {
        self.runtime.as_ref().map(|bytes| Digest::of(&bytes.0))
    }
}

/// Endorsements (RFC 9334, 4.3) in the form that the platform's vendor gives
/// them: for DCAP the collateral as JSON. Stapled by the server, verified by
/// the client.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Endorsements {
    /// Which platform's.
    #[n(0)]
    pub platform: Platform,
    /// The vendor's bytes.
    #[n(1)]
    pub body: Bytes,
}

impl Endorsements {
    /// What a client names them by, so that it is not sent them again.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/endorsements", self)
    }
}
