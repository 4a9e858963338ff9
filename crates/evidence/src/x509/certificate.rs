//! One certificate: read strictly, with what its issuer signed kept as it came.

use super::{Algorithm, PublicKey, X509Error, chain::Window};
use der::{Decode as _, Header, Reader as _, SliceReader, asn1::ObjectIdentifier};
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::{
    certificate::Version,
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage},
    },
    name::Name,
};

/// Bytes of one certificate at most.
pub const MAX_CERTIFICATE: usize = 16 * 1024;
/// Bytes of a PEM file at most.
pub const MAX_PEM: usize = 256 * 1024;
/// Extensions of one certificate or list at most.
const MAX_EXTENSIONS: usize = 32;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// A certificate that was read; nothing about its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: core::ops::Range<usize>,
    parsed: x509_cert::Certificate,
    algorithm: Algorithm,
    key: PublicKey,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
}

impl Certificate {
    /// Reads the DER of one certificate: version 3, all bytes used, key and
    /// signature of an algorithm that is understood, no extension twice.
    ///
    /// # Errors
    /// [`X509Error`]; takes memory in proportion to the input only, which is at
    /// most [`MAX_CERTIFICATE`] bytes.
    pub fn parse(der: &[u8]) -> Result<Self, X509Error> {
        const MALFORMED: X509Error = X509Error::Malformed("an X.509 certificate");
        if der.len() > MAX_CERTIFICATE {
            return Err(X509Error::TooLong(der.len(), MAX_CERTIFICATE));
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| MALFORMED)?;
        let fields = parsed.tbs_certificate();
        if fields.version() != Version::V3 || fields.issuer().is_empty() {
            return Err(MALFORMED);
        }
        if fields.signature() != parsed.signature_algorithm() {
            return Err(X509Error::Algorithm);
        }
        let extensions = fields.extensions().map_or(&[][..], Vec::as_slice);
        check_extensions(extensions)?;
        let algorithm = Algorithm::read(fields.signature())?;
        let key = PublicKey::read(fields.subject_public_key_info()).ok_or(X509Error::Key)?;
        let constraints = value(extensions, BASIC_CONSTRAINTS)
            .map(BasicConstraints::from_der)
            .transpose()
            .map_err(|_| X509Error::Malformed("basic constraints"))?;
        let usage = value(extensions, KEY_USAGE)
            .map(KeyUsage::from_der)
            .transpose()
            .map_err(|_| X509Error::Malformed("a key usage"))?;
        Ok(Self {
            der: der.to_vec(),
            tbs: first_field(der).ok_or(MALFORMED)?,
            algorithm,
            key,
            constraints,
            usage,
            parsed,
        })
    }

    /// All of it.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of all of it: what is usually called its fingerprint.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The subject's public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// SHA-384 of the bit string in `subjectPublicKey` (a point; for RSA the
    /// DER of `RSAPublicKey`): what an anchor is pinned by.
    pub fn key_id(&self) -> [u8; 48] {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        Sha384::digest(info.subject_public_key.raw_bytes()).into()
    }

    /// The bits of the subject's public key, as OCSP hashes them.
    pub(crate) fn key_bits(&self) -> &[u8] {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        info.subject_public_key.raw_bytes()
    }

    /// Whom it is about.
    pub fn subject(&self) -> &Name {
        self.parsed.tbs_certificate().subject()
    }

    /// Who signed it.
    pub fn issuer(&self) -> &Name {
        self.parsed.tbs_certificate().issuer()
    }

    /// Common name of the subject, if there is one that is text.
    pub fn common_name(&self) -> Option<String> {
        let name = self.subject().common_name().ok()??;
        Some(name.value().into_owned())
    }

    /// The serial number, big endian, as DER has it.
    pub fn serial(&self) -> &[u8] {
        self.parsed.tbs_certificate().serial_number().as_bytes()
    }

    /// From when until when it holds.
    pub fn window(&self) -> Window {
        let validity = self.parsed.tbs_certificate().validity();
        Window {
            from_s: validity.not_before.to_unix_duration().as_secs(),
            until_s: validity.not_after.to_unix_duration().as_secs(),
        }
    }

    /// The value of an extension: the content of its `OCTET STRING`.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        value(self.extensions(), oid)
    }

    /// Whether it is a certification authority, and how many may be below it.
    pub(crate) fn authority(&self) -> Option<Option<u8>> {
        let constraints = self.constraints.as_ref().filter(|found| found.ca)?;
        Some(constraints.path_len_constraint)
    }

    pub(super) fn usage(&self) -> Option<KeyUsage> {
        self.usage
    }

    /// Refuses critical extensions other than those that are judged here and
    /// those that the caller judges.
    pub(super) fn check_critical(&self, known: &[ObjectIdentifier]) -> Result<(), X509Error> {
        let judged = |oid: &ObjectIdentifier| {
            [BASIC_CONSTRAINTS, KEY_USAGE].contains(oid) || known.contains(oid)
        };
        refuse_critical(self.extensions(), judged)
    }

    /// Whether `issuer` signed it, with one of `algorithms`. Names and rights
    /// are not looked at: see [`verify_chain`](super::verify_chain).
    ///
    /// # Errors
    /// [`X509Error::Algorithm`], [`X509Error::Signature`].
    pub fn verify_signature(
        &self,
        issuer: &PublicKey,
        algorithms: &[Algorithm],
    ) -> Result<(), X509Error> {
        if !algorithms.contains(&self.algorithm) {
            return Err(X509Error::Algorithm);
        }
        let tbs = self.der.get(self.tbs.clone());
        let signature = self.parsed.signature().as_bytes();
        match (tbs, signature) {
            (Some(tbs), Some(signature)) if issuer.verify(self.algorithm, tbs, signature) => Ok(()),
            _ => Err(X509Error::Signature),
        }
    }

    fn extensions(&self) -> &[Extension] {
        self.parsed
            .tbs_certificate()
            .extensions()
            .map_or(&[], Vec::as_slice)
    }
}

/// Reads certificates in PEM, in the order in which they stand; between them,
/// white space only.
///
/// # Errors
/// [`X509Error`]; [`X509Error::Length`] for none, or more than `max`.
pub fn read_pem(pem: &[u8], max: usize) -> Result<Vec<Certificate>, X509Error> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    const MALFORMED: X509Error = X509Error::Malformed("certificates in PEM");
    if pem.len() > MAX_PEM {
        return Err(X509Error::TooLong(pem.len(), MAX_PEM));
    }
    let text = core::str::from_utf8(pem).map_err(|_| MALFORMED)?;
    // A string in C ends in a zero, and some services send it along.
    let mut rest = text.trim_end_matches('\0').trim_ascii();
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        if certificates.len() == max {
            return Err(X509Error::Length(max + 1, max));
        }
        let (body, after) = rest
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.split_once(END))
            .ok_or(MALFORMED)?;
        let block = format!("{BEGIN}\n{}\n{END}\n", body.trim_ascii());
        let mut der = Vec::new();
        der::pem::Decoder::new_detect_wrap(block.as_bytes())
            .and_then(|mut decoder| decoder.decode_to_end(&mut der).map(<[u8]>::len))
            .map_err(|_| MALFORMED)?;
        certificates.push(Certificate::parse(&der)?);
        rest = after.trim_ascii_start();
    }
    if certificates.is_empty() {
        return Err(X509Error::Length(0, max));
    }
    Ok(certificates)
}

fn value(extensions: &[Extension], oid: ObjectIdentifier) -> Option<&[u8]> {
    extensions
        .iter()
        .find(|extension| extension.extn_id == oid)
        .map(|extension| extension.extn_value.as_bytes())
}

/// At most [`MAX_EXTENSIONS`], none twice (RFC 5280, 4.2).
pub(super) fn check_extensions(extensions: &[Extension]) -> Result<(), X509Error> {
    if extensions.len() > MAX_EXTENSIONS {
        return Err(X509Error::Malformed("a certificate of usual size"));
    }
    for (index, extension) in extensions.iter().enumerate() {
        let mut earlier = extensions.iter().take(index);
        if earlier.any(|other| other.extn_id == extension.extn_id) {
            return Err(X509Error::Extension(extension.extn_id.to_string()));
        }
    }
    Ok(())
}

pub(super) fn refuse_critical(
    extensions: &[Extension],
    known: impl Fn(&ObjectIdentifier) -> bool,
) -> Result<(), X509Error> {
    match extensions
        .iter()
        .find(|extension| extension.critical && !known(&extension.extn_id))
    {
        Some(extension) => Err(X509Error::Extension(extension.extn_id.to_string())),
        None => Ok(()),
    }
}

/// Where the first field of a DER `SEQUENCE` lies: what is signed.
pub(super) fn first_field(der: &[u8]) -> Option<core::ops::Range<usize>> {
    let mut reader = SliceReader::new(der).ok()?;
    Header::decode(&mut reader).ok()?;
    let from = usize::try_from(reader.position()).ok()?;
    let field = reader.tlv_bytes().ok()?;
    Some(from..from.checked_add(field.len())?)
}
