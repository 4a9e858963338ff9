//! A software platform's root certificate, and the roots that cannot be one.

use crate::policy::PolicyError;
use der::{DecodePem as _, Encode as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};

/// Hardware vendors' roots, by SHA-384 of the bit string in
/// `subjectPublicKey`. None may stand in a policy as a software platform's
/// anchor (invariant 8).
const VENDOR_ROOT_KEYS: &[(&str, [u8; 48])] = &[
    ("platform.tdx", crate::dcap::INTEL_ROOT_KEY),
    ("platform.snp", crate::snp::ROOT_KEYS[0].1),
    ("platform.snp", crate::snp::ROOT_KEYS[1].1),
    ("platform.snp", crate::snp::ROOT_KEYS[2].1),
    ("platform.nitro", crate::nitro::ROOT_KEY),
    ("gpu", crate::gpu::ROOT_KEYS[0]),
    ("gpu", crate::gpu::ROOT_KEYS[1]),
];

/// A software platform's root certificate. Never that of a hardware vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Anchor {
    pem: String,
    der: Vec<u8>,
}

impl Anchor {
    /// From PEM, one certificate.
    ///
    /// # Errors
    /// [`PolicyError::Anchor`], [`PolicyError::VendorAnchor`].
    pub fn from_pem(pem: &str) -> Result<Self, PolicyError> {
        let certificate = x509_cert::Certificate::from_pem(pem)
            .map_err(|_| PolicyError::Anchor("it is not one X.509 certificate in PEM"))?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        let digest = Sha384::digest(key.subject_public_key.raw_bytes());
        if let Some((platform, _)) = VENDOR_ROOT_KEYS
            .iter()
            .find(|(_, key)| digest.as_slice() == key)
        {
            return Err(PolicyError::VendorAnchor(platform));
        }
        let der = certificate
            .to_der()
            .map_err(|_| PolicyError::Anchor("it is not one X.509 certificate in PEM"))?;
        Ok(Self {
            pem: pem.to_owned(),
            der,
        })
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl TryFrom<String> for Anchor {
    type Error = PolicyError;

    fn try_from(pem: String) -> Result<Self, PolicyError> {
        Self::from_pem(&pem)
    }
}

impl From<Anchor> for String {
    fn from(anchor: Anchor) -> Self {
        anchor.pem
    }
}
