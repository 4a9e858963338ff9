//! What a TPM 2.0 signs when it is asked for a quote (Trusted Platform Module
//! Library, Part 2: Structures). Numbers are big endian.
//!
//! | module | what |
//! |---|---|
//! | [`attest`] | TPMS_ATTEST with a TPMS_QUOTE_INFO |
//! | [`signature`] | TPMT_SIGNATURE |
//! | [`pcr`] | the values that a quote's digest is of |

pub mod attest;
pub mod pcr;
pub mod signature;

pub use attest::{Attest, AttestError};
pub use pcr::{PcrError, PcrValues};
pub use signature::{Signature, SignatureError};

/// TPM_ALG_ID of hashes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-1: may be quoted, but binds nothing.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    fn from_id(id: u16) -> Option<Self> {
        Some(match id {
            0x0004 => Self::Sha1,
            0x000b => Self::Sha256,
            0x000c => Self::Sha384,
            0x000d => Self::Sha512,
            _ => return None,
        })
    }
}
