//! Attestation results that others signed, as JSON Web Tokens (RFC 7519; in
//! the compact serialization of RFC 7515): NVIDIA's NRAS, Microsoft Azure
//! Attestation, Intel Trust Authority.
//!
//! A token says something only under a key that the policy names, by an
//! algorithm from a closed list that the key fixes; there is no `none` and no
//! secret-key algorithm, and a key in the token itself is not looked at.

mod keys;

pub use keys::{JwksError, Keys};

use crate::{json, x509::Algorithm};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Bytes of a token that are read at most.
pub const MAX_TOKEN: usize = 64 * 1024;

/// Why a token says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// Longer than [`MAX_TOKEN`].
    #[error("{0} bytes, at most {MAX_TOKEN} are read")]
    TooLong(usize),
    /// Not three parts of base64url, header and claims being JSON objects.
    #[error("not a signed token: {0}")]
    Malformed(&'static str),
    /// `none`, or another algorithm that is not in the list.
    #[error("algorithm {0:?} is not accepted")]
    Algorithm(String),
    /// The header demands what is not understood.
    #[error("its header has critical extensions")]
    Critical,
    /// None of the keys is the token's.
    #[error("no key {0:?} of its algorithm")]
    Key(String),
    /// The key did not sign it.
    #[error("its signature does not verify")]
    Signature,
}

/// The closed list (RFC 7518, 3.1).
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RsaPkcs1Sha256,
        "PS384" => Algorithm::RsaPssSha384,
        "ES256" => Algorithm::EcdsaP256Sha256,
        "ES384" => Algorithm::EcdsaP384Sha384,
        _ => return None,
    })
}

/// A token's claims, whose signature was verified; times and contents were
/// not.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Verifies a token under one of `keys`.
    ///
    /// # Errors
    /// [`JwtError`]; takes memory in proportion to the token only.
    pub fn verify(token: &[u8], keys: &Keys) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN {
            return Err(JwtError::TooLong(token.len()));
        }
        let text = core::str::from_utf8(token).map_err(|_| JwtError::Malformed("not text"))?;
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Malformed("it has not three parts"));
        };
        let signed = text
            .len()
            .checked_sub(signature.len() + 1)
            .and_then(|end| token.get(..end))
            .ok_or(JwtError::Malformed("it has not three parts"))?;
        let header = part(header, "header")?;
        let claims = part(claims, "claims")?;
        let signature = decode(signature, "signature")?;
        if header.contains_key("crit") {
            return Err(JwtError::Critical);
        }
        let text = |name| header.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = text("alg");
        let algorithm = algorithm(name).ok_or_else(|| JwtError::Algorithm(name.to_owned()))?;
        let id = text("kid");
        let key = keys
            .find(id, algorithm)
            .ok_or_else(|| JwtError::Key(id.to_owned()))?;
        // RFC 7518, 3.4: of ECDSA r and s, one after the other; the curve is
        // the algorithm's, not only the key's.
        let good = match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                key.kind() == "P-256" && key.verify_fixed(signed, &signature)
            }
            Algorithm::EcdsaP384Sha384 => {
                key.kind() == "P-384" && key.verify_fixed(signed, &signature)
            }
            _ => key.verify(algorithm, signed, &signature),
        };
        if good {
            Ok(Self(claims))
        } else {
            Err(JwtError::Signature)
        }
    }

    /// The claim at a path of names.
    pub fn get<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Value> {
        let mut path = path.into_iter();
        let mut value = self.0.get(path.next()?)?;
        for name in path {
            value = value.as_object()?.get(name)?;
        }
        Some(value)
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that is a time; seconds since 1970 (RFC 7519, 2: NumericDate).
    pub fn seconds(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwtError::Malformed(what))
}

fn part(text: &str, what: &'static str) -> Result<Map<String, Value>, JwtError> {
    json::object(&decode(text, what)?).ok_or(JwtError::Malformed(what))
}
