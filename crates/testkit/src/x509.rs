//! X.509 PKIs for tests: certificates and revocation lists in the shape of a
//! vendor's, from keys that come from a seed, at times that are passed in, with
//! any fault. They protect nothing.

use crate::der::{bits, explicit, integer, null, octets, oid, sequence, time, tlv, truth};
use crypto_bigint::{
    Odd, U2048, U4096, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use p256::ecdsa::signature::Signer as _;
use sha2::{Digest as _, Sha256, Sha384};
use soundproof_evidence::x509::Algorithm;

/// A key pair.
#[derive(Clone)]
pub enum Key {
    /// On P-256.
    P256(p256::ecdsa::SigningKey),
    /// On P-384.
    P384(p384::ecdsa::SigningKey),
    /// RSA, 2048 or 4096 bits.
    Rsa(RsaKey),
}

/// Modulus and private exponent, big endian.
#[derive(Clone)]
pub struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// RSA keys that are always the same: making one takes seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedRsa {
    /// 4096 bits, for a root.
    Root,
    /// 4096 bits, for an intermediate authority.
    Intermediate,
    /// 4096 bits, for somebody else's root.
    Other,
    /// 2048 bits, for a TPM's attestation key.
    Attestation,
}

impl Key {
    /// On P-256, from a seed.
    ///
    /// # Panics
    /// For the one seed in 2^32 that gives no key.
    #[allow(clippy::expect_used)]
    pub fn p256(seed: &str) -> Self {
        let secret = Sha256::digest(seed);
        Self::P256(p256::ecdsa::SigningKey::from_slice(&secret).expect("below the order"))
    }

    /// On P-384, from a seed.
    ///
    /// # Panics
    /// For the one seed in 2^190 that gives no key.
    #[allow(clippy::expect_used)]
    pub fn p384(seed: &str) -> Self {
        let secret = Sha384::digest(seed);
        Self::P384(p384::ecdsa::SigningKey::from_slice(&secret).expect("below the order"))
    }

    /// One of the fixed RSA keys.
    ///
    /// # Panics
    /// If the key's file is damaged.
    #[allow(clippy::expect_used)]
    pub fn rsa(which: FixedRsa) -> Self {
        let text = match which {
            FixedRsa::Root => include_str!("rsa/root.txt"),
            FixedRsa::Intermediate => include_str!("rsa/intermediate.txt"),
            FixedRsa::Other => include_str!("rsa/other.txt"),
            FixedRsa::Attestation => include_str!("rsa/attestation.txt"),
        };
        let mut numbers = text
            .lines()
            .map(|line| hex::decode(line).expect("lines of hex digits"));
        Self::Rsa(RsaKey {
            modulus: numbers.next().expect("a modulus"),
            exponent: numbers.next().expect("an exponent"),
        })
    }

    /// DER of its `SubjectPublicKeyInfo`.
    pub fn public_der(&self) -> Vec<u8> {
        let ec = |curve, point: &[u8]| {
            sequence(&[
                sequence(&[oid("1.2.840.10045.2.1"), oid(curve)]),
                bits(point),
            ])
        };
        match self {
            Self::P256(_) => ec("1.2.840.10045.3.1.7", &self.point()),
            Self::P384(_) => ec("1.3.132.0.34", &self.point()),
            Self::Rsa(key) => sequence(&[
                sequence(&[oid("1.2.840.113549.1.1.1"), null()]),
                bits(&sequence(&[integer(&key.modulus), integer(&[1, 0, 1])])),
            ]),
        }
    }

    /// Uncompressed point of an elliptic-curve key; the modulus of an RSA key.
    pub fn point(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::P384(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::Rsa(key) => key.modulus.clone(),
        }
    }

    /// A signature in the form that X.509 carries.
    ///
    /// # Panics
    /// If the key cannot make a signature of that kind.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match (self, algorithm) {
            (Self::P256(key), Algorithm::EcdsaP256Sha256) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            (Self::P384(key), Algorithm::EcdsaP384Sha384) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            (Self::Rsa(key), Algorithm::RsaPkcs1Sha256) => {
                let info = sequence(&[
                    sequence(&[oid("2.16.840.1.101.3.4.2.1"), null()]),
                    octets(&Sha256::digest(message)),
                ]);
                let mut encoded = vec![0, 1];
                encoded.resize(key.modulus.len() - info.len() - 1, 0xff);
                encoded.push(0);
                encoded.extend(info);
                key.power(&encoded)
            }
            (Self::Rsa(key), Algorithm::RsaPssSha384) => {
                key.power(&pss_encode(message, key.modulus.len()))
            }
            _ => panic!("this key cannot sign with {algorithm:?}"),
        }
    }

    /// An ECDSA signature as r ‖ s, big endian.
    ///
    /// # Panics
    /// For an RSA key.
    pub fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Rsa(_) => panic!("an RSA key makes no r and s"),
        }
    }

    /// What such a key usually signs certificates with.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::EcdsaP256Sha256,
            Self::P384(_) => Algorithm::EcdsaP384Sha384,
            Self::Rsa(_) => Algorithm::RsaPssSha384,
        }
    }
}

impl RsaKey {
    /// base^d mod n. In variable time: the keys are public.
    fn power(&self, base: &[u8]) -> Vec<u8> {
        match self.modulus.len() {
            256 => power::<{ U2048::LIMBS }>(self, base),
            _ => power::<{ U4096::LIMBS }>(self, base),
        }
    }
}

#[allow(clippy::expect_used)]
fn power<const LIMBS: usize>(key: &RsaKey, base: &[u8]) -> Vec<u8> {
    let number = Uint::<LIMBS>::from_be_slice;
    let modulus = Odd::new(number(&key.modulus)).into_option().expect("odd");
    let params = FixedMontyParams::new_vartime(modulus);
    FixedMontyForm::new(&number(base), &params)
        .pow_vartime(&number(&key.exponent))
        .retrieve()
        .to_be_bytes()
        .as_ref()
        .to_vec()
}

/// EMSA-PSS-ENCODE with SHA-384 (RFC 8017, 9.1.1); the salt comes from the
/// message, so that a certificate is the same as often as it is made.
fn pss_encode(message: &[u8], len: usize) -> Vec<u8> {
    let salt = Sha384::digest([b"salt", message].concat());
    let digest = Sha384::digest([&[0; 8], Sha384::digest(message).as_slice(), &salt].concat());
    let mut block = vec![0; len - 1 - 48 - 1 - 48];
    block.push(1);
    block.extend_from_slice(&salt);
    for (counter, chunk) in (0u32..).zip(block.chunks_mut(48)) {
        let mask = Sha384::digest([digest.as_slice(), &counter.to_be_bytes()].concat());
        for (byte, mask) in chunk.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    if let Some(first) = block.first_mut() {
        *first &= 0x7f;
    }
    block.extend_from_slice(&digest);
    block.push(0xbc);
    block
}

/// DER of an `AlgorithmIdentifier`.
///
/// # Panics
/// For an algorithm that no test signs with.
pub fn algorithm_id(algorithm: Algorithm) -> Vec<u8> {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => sequence(&[oid("1.2.840.10045.4.3.2")]),
        Algorithm::EcdsaP384Sha384 => sequence(&[oid("1.2.840.10045.4.3.3")]),
        Algorithm::RsaPkcs1Sha256 => sequence(&[oid("1.2.840.113549.1.1.11"), null()]),
        // With its default trailer written out, as AMD does.
        Algorithm::RsaPssSha384 => {
            let hash = sequence(&[oid("2.16.840.1.101.3.4.2.2"), null()]);
            let mask = sequence(&[oid("1.2.840.113549.1.1.8"), hash.clone()]);
            sequence(&[
                oid("1.2.840.113549.1.1.10"),
                sequence(&[
                    explicit(0, &hash),
                    explicit(1, &mask),
                    explicit(2, &integer(&[48])),
                    explicit(3, &integer(&[1])),
                ]),
            ])
        }
        _ => panic!("no test signs with {algorithm:?}"),
    }
}

/// DER of a name with nothing but a common name.
pub fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[oid("2.5.4.3"), tlv(0x0c, common_name.as_bytes())]);
    sequence(&[tlv(0x31, &attribute)])
}

/// A certificate in PEM.
pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// What a key may be used for: bits of `KeyUsage`, the first the highest.
pub mod usage {
    /// digitalSignature.
    pub const SIGN: u8 = 0x80;
    /// keyCertSign.
    pub const CERTIFICATES: u8 = 0x04;
    /// cRLSign.
    pub const LISTS: u8 = 0x02;
}

/// A certificate to be made.
#[derive(Clone)]
pub struct Template {
    /// 2 is version 3.
    pub version: u8,
    /// Serial number, big endian.
    pub serial: Vec<u8>,
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// Seconds since 1970.
    pub from_s: u64,
    /// Seconds since 1970.
    pub until_s: u64,
    /// DER of extensions, in order.
    pub extensions: Vec<Vec<u8>>,
    /// What the signed part says it is signed with, if not what it is.
    pub inner_algorithm: Option<Vec<u8>>,
}

impl Template {
    /// An authority that may sign certificates and lists.
    pub fn authority(serial: u8, subject: &str, issuer: &str, path_length: Option<u8>) -> Self {
        let mut made = Self::leaf(serial, subject, issuer);
        made.extensions = vec![
            basic_constraints(path_length),
            key_usage(usage::CERTIFICATES | usage::LISTS),
        ];
        made
    }

    /// A leaf that may sign.
    pub fn leaf(serial: u8, subject: &str, issuer: &str) -> Self {
        Self {
            version: 2,
            serial: vec![serial],
            issuer: issuer.into(),
            subject: subject.into(),
            from_s: 1_700_000_000,
            until_s: 2_000_000_000,
            extensions: vec![key_usage(usage::SIGN)],
            inner_algorithm: None,
        }
    }

    /// With another window, in seconds since 1970.
    pub fn valid(mut self, from_s: u64, until_s: u64) -> Self {
        (self.from_s, self.until_s) = (from_s, until_s);
        self
    }

    /// With another extension.
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// DER of the certificate for `subject`, signed by `issuer`.
    pub fn sign(&self, subject: &Key, issuer: &Key) -> Vec<u8> {
        self.sign_with(subject, issuer, issuer.algorithm())
    }

    /// [`Self::sign`] with another algorithm than the key's usual one.
    pub fn sign_with(&self, subject: &Key, issuer: &Key, algorithm: Algorithm) -> Vec<u8> {
        let id = algorithm_id(algorithm);
        let mut fields = vec![
            explicit(0, &integer(&[self.version])),
            integer(&self.serial),
            self.inner_algorithm.clone().unwrap_or_else(|| id.clone()),
            name(&self.issuer),
            sequence(&[time(self.from_s), time(self.until_s)]),
            name(&self.subject),
            subject.public_der(),
        ];
        if !self.extensions.is_empty() {
            fields.push(explicit(3, &sequence(&self.extensions)));
        }
        let tbs = sequence(&fields);
        let signature = issuer.sign(algorithm, &tbs);
        sequence(&[tbs, id, bits(&signature)])
    }
}

/// DER of an extension.
pub fn extension(dotted: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(dotted)];
    if critical {
        parts.push(truth());
    }
    parts.push(octets(value));
    sequence(&parts)
}

/// basicConstraints of an authority, critical.
pub fn basic_constraints(path_length: Option<u8>) -> Vec<u8> {
    let mut parts = vec![truth()];
    parts.extend(path_length.map(|length| integer(&[length])));
    extension("2.5.29.19", true, &sequence(&parts))
}

/// keyUsage, critical.
pub fn key_usage(usage: u8) -> Vec<u8> {
    let unused = usage.trailing_zeros().min(7) as u8;
    extension("2.5.29.15", true, &tlv(0x03, &[unused, usage]))
}

/// A revocation list to be made.
#[derive(Clone)]
pub struct ListTemplate {
    /// Common name of the issuer.
    pub issuer: String,
    /// This update; seconds since 1970.
    pub from_s: u64,
    /// Next update, if it has one; seconds since 1970.
    pub until_s: Option<u64>,
    /// Serial numbers, big endian.
    pub revoked: Vec<Vec<u8>>,
    /// DER of extensions.
    pub extensions: Vec<Vec<u8>>,
}

impl ListTemplate {
    /// One that revokes nothing.
    pub fn empty(issuer: &str, from_s: u64, until_s: u64) -> Self {
        Self {
            issuer: issuer.into(),
            from_s,
            until_s: Some(until_s),
            revoked: Vec::new(),
            extensions: vec![extension("2.5.29.20", false, &integer(&[1]))],
        }
    }

    /// DER of the list.
    pub fn sign(&self, issuer: &Key) -> Vec<u8> {
        let algorithm = issuer.algorithm();
        let id = algorithm_id(algorithm);
        let mut fields = vec![
            integer(&[1]),
            id.clone(),
            name(&self.issuer),
            time(self.from_s),
        ];
        fields.extend(self.until_s.map(time));
        if !self.revoked.is_empty() {
            let entries: Vec<_> = self
                .revoked
                .iter()
                .map(|serial| sequence(&[integer(serial), time(self.from_s)]))
                .collect();
            fields.push(sequence(&entries));
        }
        if !self.extensions.is_empty() {
            fields.push(explicit(0, &sequence(&self.extensions)));
        }
        let tbs = sequence(&fields);
        let signature = issuer.sign(algorithm, &tbs);
        sequence(&[tbs, id, bits(&signature)])
    }
}
