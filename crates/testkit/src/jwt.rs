//! Attestation results in the form of others' services: JSON Web Tokens and
//! key sets, of keys that protect nothing, with any fault.

use crate::x509::Key;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use soundproof_evidence::x509::Algorithm;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a key signs tokens with: `RS256`, `ES256` or `ES384`.
pub fn algorithm(key: &Key) -> &'static str {
    match key {
        Key::P256(_) => "ES256",
        Key::P384(_) => "ES384",
        Key::Rsa(_) => "RS256",
    }
}

/// A token with that header, signed by `key` as its kind signs, whatever the
/// header says.
pub fn sign_with(header: &Value, claims: &Value, key: &Key) -> String {
    let signed = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let signature = match key {
        Key::Rsa(_) => key.sign(Algorithm::RsaPkcs1Sha256, signed.as_bytes()),
        _ => key.sign_fixed(signed.as_bytes()),
    };
    format!("{signed}.{}", encode(signature))
}

/// A token under the key id.
pub fn sign(id: &str, claims: &Value, key: &Key) -> String {
    let header = json!({"alg": algorithm(key), "kid": id, "typ": "JWT"});
    sign_with(&header, claims, key)
}

/// A JSON Web Key.
pub fn jwk(id: &str, key: &Key) -> Value {
    let point = key.point();
    let half = point.len() / 2;
    let curve = |name| {
        json!({
            "kty": "EC", "crv": name, "kid": id, "use": "sig",
            "x": encode(point.get(1..=half).unwrap_or_default()),
            "y": encode(point.get(half + 1..).unwrap_or_default()),
        })
    };
    match key {
        Key::P256(_) => curve("P-256"),
        Key::P384(_) => curve("P-384"),
        Key::Rsa(_) => json!({
            "kty": "RSA", "kid": id, "n": encode(&point), "e": encode([1, 0, 1]),
        }),
    }
}

/// A key set.
pub fn jwks(keys: &[(&str, &Key)]) -> String {
    let keys: Vec<_> = keys.iter().map(|(id, key)| jwk(id, key)).collect();
    json!({ "keys": keys }).to_string()
}
