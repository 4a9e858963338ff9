//! The session transcript: what evidence vouches for, one leaf of a
//! [`merkle`](crate::merkle) tree.

use crate::{
    attestation::Role,
    cbor::{self, DecodeError},
    digest::Digest,
    id::{InstanceId, Nonce, SessionId},
    suite::Suite,
};
use minicbor::{Decode, Encode};

/// Bytes of an encoded transcript at most.
pub const MAX_TRANSCRIPT: usize = 4096;
/// Suites that an offer may hold.
pub const MAX_OFFER: usize = 16;
/// Seconds that a session may last.
pub const MAX_LIFETIME_S: u32 = 3600;
const TAG: &[u8] = b"soundproof/1/transcript\0";

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Clients seal data keys to it.
    #[n(0)]
    Seal,
    /// It signs receipts.
    #[n(1)]
    Receipt,
    /// The TLS certificate's key; its digest is over the
    /// SubjectPublicKeyInfo's DER.
    #[n(2)]
    Tls,
}

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// X-Wing, public key as draft-connolly-cfrg-xwing-kem has it (1216 bytes).
    #[n(0)]
    XWing,
    /// X25519 (32 bytes).
    #[n(1)]
    X25519,
    /// ECDSA on P-256 with SHA-256; SEC1 uncompressed point (65 bytes).
    #[n(2)]
    Es256,
    /// Whatever the SubjectPublicKeyInfo says.
    #[n(3)]
    Spki,
}

impl From<Suite> for KeyAlgorithm {
    fn from(suite: Suite) -> Self {
        match suite {
            Suite::XWing => Self::XWing,
            Suite::X25519 => Self::X25519,
        }
    }
}

/// A public key that the evidence vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct VouchedKey {
    /// What it is for.
    #[n(0)]
    pub purpose: KeyPurpose,
    /// What kind of key it is.
    #[n(1)]
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of the public key.
    #[n(2)]
    pub digest: Digest,
}

/// The transcript of one session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Transcript {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// What the attested process is.
    #[n(1)]
    pub role: Role,
    /// The client's, fresh.
    #[n(2)]
    pub nonce: Nonce,
    /// KEM code points in the client's order, all that it sent.
    #[n(3)]
    pub offered: Vec<u16>,
    /// The one that was chosen.
    #[n(4)]
    pub suite: Suite,
    /// Made by the keeper.
    #[n(5)]
    pub session: SessionId,
    /// Seconds from the client's request on, by the client's own clock.
    #[n(6)]
    pub lifetime_s: u32,
    /// What it vouches for: at most one key a purpose.
    #[n(7)]
    pub keys: Vec<VouchedKey>,
    /// Digest of the trust configuration.
    #[n(8)]
    pub trust: Digest,
    /// This life of the keeper.
    #[n(9)]
    pub instance: InstanceId,
}

impl Transcript {
    /// The leaf's bytes: tag, then the encoding.
    pub fn leaf(&self) -> Vec<u8> {
        let mut leaf = TAG.to_vec();
        leaf.extend_from_slice(&cbor::to_vec(self));
        leaf
    }

    /// What HPKE's info and the job description name it by: SHA-256 of the
    /// leaf's bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.leaf())
    }

    /// The key for `purpose`; `None` if there is none or more than one.
    pub fn key(&self, purpose: KeyPurpose) -> Option<&VouchedKey> {
        let mut found = self.keys.iter().filter(|key| key.purpose == purpose);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Decodes one.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice(bytes, MAX_TRANSCRIPT)
    }
}
