//! A ticket lets another process fetch a job's outcome and check it. It is a
//! secret: whoever has it reads the outcome.

use crate::{
    cbor::{self, Bytes, DecodeError, fixed_bytes},
    digest::Digest,
    receipt::SessionEvidence,
    sealed::Commitment,
};
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of an encoded ticket at most.
pub const MAX_TICKET: usize = 4 * 1024 * 1024;

macro_rules! secret_bytes {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name(pub [u8; 32]);
        fixed_bytes!(@codec $name, 32);

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}
    };
}

secret_bytes!(
    /// Decrypts the outcome. Derived from the data key.
    OutcomeKey
);
secret_bytes!(
    /// Grants access to a job. Derived from the data key; the store holds its
    /// SHA-256.
    AccessSecret
);

impl AccessSecret {
    /// What the store holds in its place.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ticket {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// Where the job is.
    #[n(1)]
    pub url: String,
    /// Encoded job description.
    #[n(2)]
    pub description: Bytes,
    /// Secret.
    #[n(3)]
    pub outcome_key: OutcomeKey,
    /// Secret.
    #[n(4)]
    pub access_secret: AccessSecret,
    /// Digest of the sealed input, computed by the sender.
    #[n(5)]
    pub sealed_input: Digest,
    /// Its commitment.
    #[n(6)]
    pub commitment: Commitment,
    /// The session that was accepted when the job was sealed.
    #[n(7)]
    pub session: SessionEvidence,
}

impl Ticket {
    /// Decodes one.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice(bytes, MAX_TICKET)
    }
}

impl core::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ticket({}, …)", self.url)
    }
}
