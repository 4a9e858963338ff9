//! JSON Web Signature (RFC 7515), compact, ES256 (RFC 7518, 3.4) and nothing
//! else: what is not exactly that is refused, before any of it is believed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer as _, Verifier as _},
};
use serde::{Deserialize, Serialize};

/// Bytes of a token at most.
pub const MAX_TOKEN: usize = 64 * 1024;
const TYPE: &str = "eat+jwt";

/// Why a token is refused before its claims are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Longer than [`MAX_TOKEN`].
    #[error("{0} bytes, at most {MAX_TOKEN} are accepted")]
    TooLong(usize),
    /// Not three parts in base64url, or not JSON inside.
    #[error("not a JWS in compact form")]
    Malformed,
    /// Another algorithm than ES256, or a header that asks for more.
    #[error("the header is not that of an EAT signed with ES256")]
    Header,
    /// The signature does not hold under the key.
    #[error("the signature does not hold")]
    Signature,
}

/// All that a header may say. An algorithm, key or extension that the token
/// itself names is never used.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// Signs a payload; deterministic (RFC 6979).
pub(super) fn sign(payload: &[u8], key: &SigningKey, kid: Option<&str>) -> String {
    let header = Header {
        alg: "ES256".into(),
        typ: TYPE.into(),
        kid: kid.map(str::to_owned),
    };
    // Three strings are always JSON.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature: Signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
    token
}

/// Verifies a token, and hands out its payload.
///
/// # Errors
/// [`JwsError`].
pub(super) fn verify(token: &str, key: &VerifyingKey) -> Result<Vec<u8>, JwsError> {
    if token.len() > MAX_TOKEN {
        return Err(JwsError::TooLong(token.len()));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    let decode = |part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| JwsError::Malformed)
    };
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Header)?;
    if header.alg != "ES256" || header.typ != TYPE {
        return Err(JwsError::Header);
    }
    let signature = Signature::from_slice(&signature).map_err(|_| JwsError::Signature)?;
    key.verify(signed.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature)?;
    Ok(payload)
}
