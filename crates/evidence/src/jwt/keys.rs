//! An issuer's keys: a JSON Web Key Set (RFC 7517) that the policy carries.

use super::algorithm;
use crate::{
    json,
    x509::{Algorithm, Certificate, PublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Bytes of a key set at most.
const MAX_JWKS: usize = 256 * 1024;
/// Keys in it, at most.
const MAX_KEYS: usize = 128;

/// Why text is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Not `{"keys": […]}` with 1 to 128 of them.
    #[error("not a JSON Web Key Set with 1 to {MAX_KEYS} keys")]
    Set,
    /// A key of another kind than RSA, P-256 and P-384, or without an id.
    #[error("key {0}: not an RSA, P-256 or P-384 key with an id")]
    Key(usize),
    /// Two keys of one id.
    #[error("key {0:?} twice")]
    Twice(String),
}

/// Public keys by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Key>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: String,
    key: PublicKey,
    /// What its own `alg` restricts it to.
    algorithm: Option<Algorithm>,
}

impl Keys {
    /// Reads a key set.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        if text.len() > MAX_JWKS {
            return Err(JwksError::Set);
        }
        let set = json::object(text.as_bytes()).ok_or(JwksError::Set)?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.filter(|keys| (1..=MAX_KEYS).contains(&keys.len()));
        let mut keys: Vec<Key> = Vec::new();
        for (at, value) in listed.ok_or(JwksError::Set)?.iter().enumerate() {
            let key = value.as_object().and_then(read).ok_or(JwksError::Key(at))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(JwksError::Twice(key.id));
            }
            keys.push(key);
        }
        Ok(Self {
            keys,
            text: text.to_owned(),
        })
    }

    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> Option<&PublicKey> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        key.algorithm
            .is_none_or(|only| only == algorithm)
            .then_some(&key.key)
    }
}

fn read(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let id = text("kid").filter(|id| !id.is_empty())?.to_owned();
    let key = match (text("kty")?, text("crv")) {
        ("RSA", None) if jwk.contains_key("n") => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => PublicKey::p256(&point::<32>(&bytes("x")?, &bytes("y")?)?),
        ("EC", Some("P-384")) => PublicKey::p384(&point::<48>(&bytes("x")?, &bytes("y")?)?),
        // Azure's keys are in certificates alone. Who put the set into the
        // policy vouches for them, not whoever signed the certificate.
        ("RSA", None) => {
            let first = jwk.get("x5c")?.as_array()?.first()?.as_str()?;
            let certificate = Certificate::parse(&STANDARD.decode(first).ok()?).ok()?;
            let key = certificate.key().clone();
            key.kind().starts_with("RSA").then_some(key)
        }
        _ => None,
    }?;
    let algorithm = match text("alg") {
        None => None,
        Some(name) => Some(algorithm(name)?),
    };
    Some(Key { id, key, algorithm })
}

/// An uncompressed point (SEC 1, 2.3.3); RFC 7518, 6.2.1.2: coordinates have
/// the field's full length.
fn point<const N: usize>(x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    (x.len() == N && y.len() == N).then(|| [&[4], x, y].concat())
}

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
