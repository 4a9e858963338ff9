//! X.509 certificates of hardware vendors (RFC 5280), strictly: chains in one
//! order under an anchor that is known beforehand, a few algorithms, bounded in
//! size and count, judged at a time that is passed in. Not a web PKI: no path
//! building, no names of hosts, no fetching.
//!
//! | part | what |
//! |---|---|
//! | [`Certificate`] | one, read, with the exact bytes that its issuer signed |
//! | [`verify_chain`] | a chain from a leaf to an [`Anchor`] by [`Rules`] |
//! | [`Crl`] | a revocation list |
//! | [`PublicKey`], [`Algorithm`] | what signatures are checked with |

mod certificate;
mod chain;
mod crl;
mod key;
mod rsa;

pub use certificate::{Certificate, MAX_CERTIFICATE, MAX_PEM, read_pem};
pub use chain::{Anchor, ChainError, MAX_CHAIN, Rules, Window, check_validity, verify_chain};
pub use crl::{Crl, MAX_CRL};
pub use key::{Algorithm, PublicKey};

use crate::reason::Reason;

/// Why a certificate, a chain or a revocation list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum X509Error {
    /// More bytes than are read.
    #[error("{0} bytes, at most {1} are accepted")]
    TooLong(usize, usize),
    /// Not the DER of what it should be.
    #[error("not {0}")]
    Malformed(&'static str),
    /// A signature algorithm that is not understood, or whose two mentions in
    /// one certificate differ.
    #[error("a signature algorithm that is not accepted")]
    Algorithm,
    /// A key of a kind, curve or size that is not understood.
    #[error("a public key of a kind that is not accepted")]
    Key,
    /// Fewer certificates than needed, or more than allowed.
    #[error("{0} certificates, {1} at most")]
    Length(usize, usize),
    /// Before its time.
    #[error("not valid before {0}")]
    NotYetValid(String),
    /// After its time.
    #[error("not valid after {0}")]
    Expired(String),
    /// The issuer's name is not the name of the next certificate.
    #[error("its issuer is not the next certificate's subject")]
    Issuer,
    /// The signature does not verify under the issuer's key.
    #[error("its signature does not verify")]
    Signature,
    /// It may not do what it is used for.
    #[error("it may not {0}")]
    Usage(&'static str),
    /// More authorities below one than it allows.
    #[error("more authorities below it than it allows")]
    PathLength,
    /// A critical extension that is not understood, or an extension twice.
    #[error("extension {0}, critical and not understood, or there twice")]
    Extension(String),
    /// The chain does not end in the anchor.
    #[error("the chain does not end in the trust anchor")]
    Anchor,
    /// Its issuer revoked it.
    #[error("revoked by its issuer")]
    Revoked,
}

impl X509Error {
    /// The reason that a verdict gives for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotYetValid(_) => Reason::CollateralNotYetValid,
            Self::Expired(_) => Reason::CollateralExpired,
            Self::Anchor => Reason::AnchorMismatch,
            Self::Revoked => Reason::CertificateRevoked,
            _ => Reason::CertificateInvalid,
        }
    }
}
