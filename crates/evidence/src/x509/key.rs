//! Public keys and the signatures that they may check. Which algorithm an
//! identifier means is fixed here; which of them a platform's vendor uses is
//! the platform's to say, and nothing else is accepted from it.

use super::{X509Error, rsa};
use der::{
    Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{AnyRef, BitString, ContextSpecific, ObjectIdentifier, UintRef},
};
use p256::ecdsa::signature::Verifier as _;
use x509_cert::spki::{AlgorithmIdentifier, AlgorithmIdentifierRef, SubjectPublicKeyInfo};

const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const RSA_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

/// Kind of key, padding and hash, as one: no two parts can be combined in a way
/// that is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, 32 bytes of salt.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, 48 bytes of salt.
    RsaPssSha384,
}

impl Algorithm {
    /// Reads an `AlgorithmIdentifier` (RFC 5758, 3.2; RFC 4055, 3.1 and 5).
    ///
    /// # Errors
    /// [`X509Error::Algorithm`] for any other, or for parameters that do not
    /// belong to it.
    pub(crate) fn read(id: &AlgorithmIdentifier<der::Any>) -> Result<Self, X509Error> {
        let parameters = id.parameters.as_ref();
        let absent = parameters.is_none();
        let null_or_absent = parameters.is_none_or(|any| any.is_null());
        match id.oid {
            ECDSA_SHA256 if absent => Some(Self::EcdsaP256Sha256),
            ECDSA_SHA384 if absent => Some(Self::EcdsaP384Sha384),
            RSA_SHA256 if null_or_absent => Some(Self::RsaPkcs1Sha256),
            RSA_SHA384 if null_or_absent => Some(Self::RsaPkcs1Sha384),
            RSA_SHA512 if null_or_absent => Some(Self::RsaPkcs1Sha512),
            RSA_PSS => parameters
                .filter(|any| any.tag() == Tag::Sequence)
                .and_then(|any| pss(any.value())),
            _ => None,
        }
        .ok_or(X509Error::Algorithm)
    }
}

/// `RSASSA-PSS-params` (RFC 4055, 3.1), its content. Every field has SHA-1's
/// default, so each of the first three must be there; the fourth may be, with
/// the one value that it can have.
fn pss(content: &[u8]) -> Option<Algorithm> {
    let mut reader = SliceReader::new(content).ok()?;
    let hash: AlgorithmIdentifierRef<'_> = explicit(&mut reader, TagNumber(0))?;
    let mask: AlgorithmIdentifierRef<'_> = explicit(&mut reader, TagNumber(1))?;
    let salt: u8 = explicit(&mut reader, TagNumber(2))?;
    let trailer: u8 = match reader.is_finished() {
        true => 1,
        false => explicit(&mut reader, TagNumber(3))?,
    };
    let inner: AlgorithmIdentifierRef<'_> = mask.parameters?.decode_as().ok()?;
    let plain = |id: &AlgorithmIdentifierRef<'_>| id.parameters.is_none_or(|any| any.is_null());
    let sound = reader.is_finished()
        && trailer == 1
        && mask.oid == MGF1
        && inner.oid == hash.oid
        && plain(&hash)
        && plain(&inner);
    match (hash.oid, salt) {
        (SHA256, 32) if sound => Some(Algorithm::RsaPssSha256),
        (SHA384, 48) if sound => Some(Algorithm::RsaPssSha384),
        _ => None,
    }
}

fn explicit<'a, T>(reader: &mut SliceReader<'a>, number: TagNumber) -> Option<T>
where
    T: der::Decode<'a, Error = der::Error> + der::Tagged,
{
    let field = ContextSpecific::<T>::decode(reader).ok()?;
    (field.tag_number == number).then_some(field.value)
}

/// A public key of a kind that vendors use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(rsa::Key),
}

impl PublicKey {
    /// On P-256, from an uncompressed point (SEC 1: 65 bytes, the first 4).
    pub fn p256(point: &[u8]) -> Option<Self> {
        let uncompressed = point.len() == 65 && point.first() == Some(&4);
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
        uncompressed.then_some(Self(Kind::P256(key)))
    }

    /// On P-384, from an uncompressed point (SEC 1: 97 bytes, the first 4).
    pub fn p384(point: &[u8]) -> Option<Self> {
        let uncompressed = point.len() == 97 && point.first() == Some(&4);
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
        uncompressed.then_some(Self(Kind::P384(key)))
    }

    /// RSA, from modulus (2048, 3072 or 4096 bits) and exponent (65537), big
    /// endian.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        rsa::Key::new(modulus, exponent).map(|key| Self(Kind::Rsa(key)))
    }

    /// From a certificate's field (RFC 5480, 2.1.1: a named curve only;
    /// RFC 8017, A.1.1).
    pub(super) fn read(info: &SubjectPublicKeyInfo<der::Any, BitString>) -> Option<Self> {
        let bits = info.subject_public_key.as_bytes()?;
        let parameters = info.algorithm.parameters.as_ref();
        match info.algorithm.oid {
            EC_KEY => match parameters?.decode_as::<ObjectIdentifier>().ok()? {
                P256 => Self::p256(bits),
                P384 => Self::p384(bits),
                _ => None,
            },
            RSA_KEY if parameters?.is_null() => {
                let sequence = AnyRef::from_der(bits).ok()?;
                if sequence.tag() != Tag::Sequence {
                    return None;
                }
                let mut reader = SliceReader::new(sequence.value()).ok()?;
                let modulus = UintRef::decode(&mut reader).ok()?;
                let exponent = UintRef::decode(&mut reader).ok()?;
                reader.finish().ok()?;
                Self::rsa(modulus.as_bytes(), exponent.as_bytes())
            }
            _ => None,
        }
    }

    /// Checks a signature in the form that X.509 carries: for ECDSA the DER of
    /// `ECDSA-Sig-Value`. False for an algorithm that is not this key's kind.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.0, algorithm) {
            (Kind::P256(key), Algorithm::EcdsaP256Sha256) => {
                p256::ecdsa::Signature::from_der(signature)
                    .is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (Kind::P384(key), Algorithm::EcdsaP384Sha384) => {
                p384::ecdsa::Signature::from_der(signature)
                    .is_ok_and(|signature| verify_p384(key, message, &signature))
            }
            (Kind::Rsa(key), Algorithm::RsaPkcs1Sha256) => {
                key.verify_pkcs1(rsa::Hash::Sha256, message, signature)
            }
            (Kind::Rsa(key), Algorithm::RsaPkcs1Sha384) => {
                key.verify_pkcs1(rsa::Hash::Sha384, message, signature)
            }
            (Kind::Rsa(key), Algorithm::RsaPkcs1Sha512) => {
                key.verify_pkcs1(rsa::Hash::Sha512, message, signature)
            }
            (Kind::Rsa(key), Algorithm::RsaPssSha256) => {
                key.verify_pss(rsa::Hash::Sha256, message, signature)
            }
            (Kind::Rsa(key), Algorithm::RsaPssSha384) => {
                key.verify_pss(rsa::Hash::Sha384, message, signature)
            }
            _ => false,
        }
    }

    /// Checks an ECDSA signature as r ‖ s, big endian, each of the field's
    /// length (64 bytes on P-256 with SHA-256, 96 on P-384 with SHA-384), as
    /// COSE, SPDM and quotes carry it. False for an RSA key.
    pub fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Kind::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| verify_p384(key, message, &signature)),
            Kind::Rsa(_) => false,
        }
    }

    /// What kind it is, for people.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Kind::P256(_) => "P-256",
            Kind::P384(_) => "P-384",
            Kind::Rsa(key) => match key.bits() {
                2048 => "RSA-2048",
                3072 => "RSA-3072",
                _ => "RSA-4096",
            },
        }
    }
}

/// Checks one on P-384. Natively AWS-LC does the arithmetic, in a third of the
/// time: a GPU's verdict has fourteen of these or more. Key and signature were parsed by
/// `p384` either way, so that what is a key and what is a signature does not
/// depend on who computes.
#[cfg(not(target_arch = "wasm32"))]
fn verify_p384(
    key: &p384::ecdsa::VerifyingKey,
    message: &[u8],
    signature: &p384::ecdsa::Signature,
) -> bool {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.to_sec1_point(false))
        .verify(message, &signature.to_bytes())
        .is_ok()
}

#[cfg(target_arch = "wasm32")]
fn verify_p384(
    key: &p384::ecdsa::VerifyingKey,
    message: &[u8],
    signature: &p384::ecdsa::Signature,
) -> bool {
    key.verify(message, signature).is_ok()
}
