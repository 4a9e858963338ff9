//! TPMT_SIGNATURE (Part 2, 11.3.4) of the schemes that attestation keys use:
//! RSASSA and RSAPSS with SHA-256, and ECDSA over P-256 with SHA-256.

use super::HashAlgorithm;
use crate::{
    reader::{Framing, Reader},
    x509::{Algorithm, PublicKey},
};

const RSASSA: u16 = 0x0014;
const RSAPSS: u16 = 0x0016;
const ECDSA: u16 = 0x0018;
/// Bytes of an RSA signature at most: 4096 bits.
const MAX_RSA: usize = 512;

/// Why bytes are no signature that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Ends inside a field, or a length does not fit what it measures.
    #[error("truncated, or a length that does not fit: {0}")]
    Framing(&'static str),
    /// A scheme that is not accepted.
    #[error("signature scheme {0:#06x}; RSASSA, RSAPSS and ECDSA are accepted")]
    Scheme(u16),
    /// A hash that is not accepted.
    #[error("signature's hash {0:#06x}; SHA-256 is accepted")]
    Hash(u16),
}

impl From<Framing> for SignatureError {
    fn from(Framing(field): Framing) -> Self {
        Self::Framing(field)
    }
}

/// A signature, its hash being SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// PKCS #1 1.5.
    RsaSsa(Vec<u8>),
    /// PSS.
    RsaPss(Vec<u8>),
    /// R and S, each of 32 bytes.
    Ecdsa([u8; 64]),
}

impl Signature {
    /// Reads one.
    ///
    /// # Errors
    /// [`SignatureError`]; never panics.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(bytes);
        let scheme = reader.u16_be("scheme")?;
        if ![RSASSA, RSAPSS, ECDSA].contains(&scheme) {
            return Err(SignatureError::Scheme(scheme));
        }
        let hash = reader.u16_be("hash")?;
        if HashAlgorithm::from_id(hash) != Some(HashAlgorithm::Sha256) {
            return Err(SignatureError::Hash(hash));
        }
        let signature = match scheme {
            RSASSA => Self::RsaSsa(reader.sized_u16_be(MAX_RSA, "signature")?.to_vec()),
            RSAPSS => Self::RsaPss(reader.sized_u16_be(MAX_RSA, "signature")?.to_vec()),
            _ => {
                let mut both = [0; 64];
                let (r, s) = both.split_at_mut(32);
                for half in [r, s] {
                    let number = reader.sized_u16_be(32, "signature")?;
                    // A TPM leaves leading zeros out.
                    let at = half.len() - number.len();
                    if let Some(low) = half.get_mut(at..) {
                        low.copy_from_slice(number);
                    }
                }
                Self::Ecdsa(both)
            }
        };
        reader.end("signature")?;
        Ok(signature)
    }

    /// Whether `key` made it over `message`; never for a key of another kind.
    pub fn is_by(&self, key: &PublicKey, message: &[u8]) -> bool {
        match self {
            Self::RsaSsa(bytes) => key.verify(Algorithm::RsaPkcs1Sha256, message, bytes),
            Self::RsaPss(bytes) => key.verify(Algorithm::RsaPssSha256, message, bytes),
            // 64 bytes are a signature of P-256 and of no other curve.
            Self::Ecdsa(bytes) => key.verify_fixed(message, bytes),
        }
    }
}
