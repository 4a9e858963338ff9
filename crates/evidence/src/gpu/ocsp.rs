//! OCSP (RFC 6960): a responder's answer about certificates, stapled by the
//! server, so without a nonce; how old it may be is the policy's to say.
//!
//! The responder is the certificate's issuer, or has a certificate for OCSP
//! signing from the issuer or from an authority above it in the chain that was
//! verified: those could name another issuer too.

use super::device::ALGORITHMS;
use crate::x509::{Algorithm, Certificate, Window};
use der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, ObjectIdentifier},
};
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::{
    ext::{Extension, pkix::ExtendedKeyUsage},
    spki::AlgorithmIdentifier,
};

/// Bytes of an answer that are read at most.
pub const MAX_OCSP: usize = 64 * 1024;
/// Certificates that one answers for, and that one carries, at most.
const MAX_LIST: usize = 16;
/// Bytes of a serial number at most (RFC 5280, 4.1.2.2).
const MAX_SERIAL: usize = 20;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");

/// Why bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// Longer than [`MAX_OCSP`].
    #[error("{0} bytes, at most {MAX_OCSP} are read")]
    TooLong(usize),
    /// Not the DER of an OCSP response with a basic response in it.
    #[error("not an OCSP response")]
    Malformed,
    /// The responder answered with an error.
    #[error("the OCSP responder answered with status {0}")]
    Status(u8),
}

/// What is said of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

struct Single {
    hash: ObjectIdentifier,
    issuer_name: Vec<u8>,
    issuer_key: Vec<u8>,
    serial: Vec<u8>,
    status: Status,
    from_s: u64,
    until_s: Option<u64>,
}

/// An answer that was read, not verified.
pub struct Response {
    signed: Vec<u8>,
    algorithm: Algorithm,
    signature: Vec<u8>,
    singles: Vec<Single>,
    certificates: Vec<Certificate>,
}

impl Response {
    /// Reads one.
    ///
    /// # Errors
    /// [`OcspError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > MAX_OCSP {
            return Err(OcspError::TooLong(der.len()));
        }
        let outer = sequence(der).ok_or(OcspError::Malformed)?;
        let mut fields = elements(outer).ok_or(OcspError::Malformed)?.into_iter();
        match fields.next().map(|status| (status.tag(), status.value())) {
            Some((Tag::Enumerated, [0])) => {}
            Some((Tag::Enumerated, [status])) => return Err(OcspError::Status(*status)),
            _ => return Err(OcspError::Malformed),
        }
        fields
            .next()
            .filter(|_| fields.len() == 0)
            .and_then(|bytes| basic(explicit(bytes, 0)?))
            .ok_or(OcspError::Malformed)
    }

    /// What it says of `certificate`, which `above`, leaf first, were verified
    /// to be the authorities of; `None` if it says nothing of it, is not of
    /// one who may say so, or not of now: not before its time by the clock,
    /// nor after its end, nor older than `max_age_s`.
    pub fn status(
        &self,
        certificate: &Certificate,
        above: &[Certificate],
        at_s: u64,
        max_age_s: u64,
    ) -> Option<(Status, Window)> {
        let issuer = above.first()?;
        let single = self
            .singles
            .iter()
            .find(|single| single.is_of(certificate, issuer))?;
        let window = Window {
            from_s: single.from_s,
            until_s: single
                .until_s
                .unwrap_or(u64::MAX)
                .min(single.from_s.saturating_add(max_age_s)),
        };
        window.check(at_s).ok()?;
        self.is_signed(above, at_s)
            .then_some((single.status, window))
    }

    /// From when until when it says that it answers about a certificate, whose
    /// id is as it was asked by; without an end, for ever. Nothing is verified.
    pub fn about(&self, id: &CertId) -> Option<Window> {
        let single = self.singles.iter().find(|single| single.is_about(id))?;
        Some(Window {
            from_s: single.from_s,
            until_s: single.until_s.unwrap_or(u64::MAX),
        })
    }

    fn is_signed(&self, above: &[Certificate], at_s: u64) -> bool {
        let by = |signer: &Certificate| {
            ALGORITHMS.contains(&self.algorithm)
                && signer
                    .key()
                    .verify(self.algorithm, &self.signed, &self.signature)
        };
        let mut delegates = self.certificates.iter().filter(|delegate| {
            above.iter().any(|issuer| {
                delegate.issuer() == issuer.subject() && may_answer(delegate, issuer, at_s)
            })
        });
        above.first().is_some_and(by) || delegates.any(by)
    }
}

/// Whether `issuer` gave it a certificate for OCSP signing that holds.
fn may_answer(delegate: &Certificate, issuer: &Certificate, at_s: u64) -> bool {
    let purposes = delegate
        .extension(EXTENDED_KEY_USAGE)
        .and_then(|value| ExtendedKeyUsage::from_der(value).ok());
    purposes.is_some_and(|purposes| purposes.0.contains(&OCSP_SIGNING))
        && delegate.window().check(at_s).is_ok()
        && delegate.verify_signature(issuer.key(), ALGORITHMS).is_ok()
}

impl Single {
    fn is_about(&self, id: &CertId) -> bool {
        self.hash == SHA384
            && self.issuer_name == id.issuer_name
            && self.issuer_key == id.issuer_key
            && number(&self.serial) == id.serial
    }

    fn is_of(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        number(&self.serial) == number(certificate.serial())
            && id_hashes(self.hash, issuer)
                .is_some_and(|(name, key)| name == self.issuer_name && key == self.issuer_key)
    }
}

/// Hashes of an issuer's name and of its key's bits.
fn id_hashes(hash: ObjectIdentifier, issuer: &Certificate) -> Option<(Vec<u8>, Vec<u8>)> {
    let name = issuer.subject().to_der().ok()?;
    let key = issuer.key_bits();
    match hash {
        SHA256 => Some((Sha256::digest(name).to_vec(), Sha256::digest(key).to_vec())),
        SHA384 => Some((Sha384::digest(name).to_vec(), Sha384::digest(key).to_vec())),
        _ => None,
    }
}

/// ResponseBytes: a type and the DER of a BasicOCSPResponse.
fn basic(bytes: AnyRef<'_>) -> Option<Response> {
    let fields = elements(content(bytes, Tag::Sequence)?)?;
    let [kind, response] = fields.as_slice() else {
        return None;
    };
    if kind.decode_as::<ObjectIdentifier>().ok()? != BASIC {
        return None;
    }
    let response = sequence(content(*response, Tag::OctetString)?)?;
    let mut reader = SliceReader::new(response).ok()?;
    let signed = reader.tlv_bytes().ok()?;
    let algorithm = reader.decode::<AlgorithmIdentifier<der::Any>>().ok()?;
    let signature = reader.decode::<BitStringRef<'_>>().ok()?;
    let mut certificates = Vec::new();
    if !reader.is_finished() {
        let list = explicit(reader.decode().ok()?, 0)?;
        let mut list = SliceReader::new(content(list, Tag::Sequence)?).ok()?;
        while !list.is_finished() {
            if certificates.len() >= MAX_LIST {
                return None;
            }
            certificates.push(Certificate::parse(list.tlv_bytes().ok()?).ok()?);
        }
    }
    reader.finish().ok()?;
    Some(Response {
        singles: response_data(sequence(signed)?)?,
        signed: signed.to_vec(),
        algorithm: Algorithm::read(&algorithm).ok()?,
        signature: signature.as_bytes()?.to_vec(),
        certificates,
    })
}

/// ResponseData: [0] version, responder, time, answers, [1] extensions.
fn response_data(bytes: &[u8]) -> Option<Vec<Single>> {
    let mut fields = elements(bytes)?.into_iter().peekable();
    // Version 1 is the default, which DER leaves out.
    let responder = fields.next()?;
    if !is_context(responder, 1) && !is_context(responder, 2) {
        return None;
    }
    fields.next()?.decode_as::<GeneralizedTime>().ok()?;
    let answers = elements(content(fields.next()?, Tag::Sequence)?)?;
    match fields.next() {
        Some(extensions) if fields.peek().is_none() => not_critical(explicit(extensions, 1)?)?,
        None => {}
        Some(_) => return None,
    }
    if answers.len() > MAX_LIST {
        return None;
    }
    answers.into_iter().map(single).collect()
}

fn single(answer: AnyRef<'_>) -> Option<Single> {
    let mut fields = elements(content(answer, Tag::Sequence)?)?.into_iter();
    let id = elements(content(fields.next()?, Tag::Sequence)?)?;
    let [hash, name, key, serial] = id.as_slice() else {
        return None;
    };
    let hash = hash
        .decode_as::<AlgorithmIdentifier<der::Any>>()
        .ok()
        .filter(|hash| hash.parameters.as_ref().is_none_or(|any| any.is_null()))?;
    let status = fields.next()?;
    let status = if is_context(status, 0) {
        Status::Good
    } else if is_context(status, 1) {
        Status::Revoked
    } else if is_context(status, 2) {
        Status::Unknown
    } else {
        return None;
    };
    let from_s = time(fields.next()?)?;
    let mut until_s = None;
    for field in fields {
        if is_context(field, 0) && until_s.is_none() {
            until_s = Some(time(explicit(field, 0)?)?);
        } else if is_context(field, 1) {
            not_critical(explicit(field, 1)?)?;
        } else {
            return None;
        }
    }
    Some(Single {
        hash: hash.oid,
        issuer_name: content(*name, Tag::OctetString)?.to_vec(),
        issuer_key: content(*key, Tag::OctetString)?.to_vec(),
        serial: content(*serial, Tag::Integer)?.to_vec(),
        status,
        from_s,
        until_s,
    })
}

fn time(any: AnyRef<'_>) -> Option<u64> {
    let time = any.decode_as::<GeneralizedTime>().ok()?;
    Some(time.to_unix_duration().as_secs())
}

/// Extensions, none of which may be critical: none is understood.
fn not_critical(extensions: AnyRef<'_>) -> Option<()> {
    let extensions: Vec<Extension> = extensions.decode_as().ok()?;
    extensions
        .iter()
        .all(|extension| !extension.critical)
        .then_some(())
}

fn sequence(der: &[u8]) -> Option<&[u8]> {
    content(AnyRef::from_der(der).ok()?, Tag::Sequence)
}

fn content(any: AnyRef<'_>, tag: Tag) -> Option<&[u8]> {
    (any.tag() == tag).then(|| any.value())
}

fn is_context(any: AnyRef<'_>, number: u32) -> bool {
    matches!(any.tag(), Tag::ContextSpecific { number: found, .. } if found == TagNumber(number))
}

fn explicit(any: AnyRef<'_>, number: u32) -> Option<AnyRef<'_>> {
    if is_context(any, number) {
        AnyRef::from_der(any.value()).ok()
    } else {
        None
    }
}

fn elements(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.decode::<AnyRef<'_>>().ok()?);
    }
    Some(elements)
}

/// Which certificate a responder is asked about (RFC 6960, CertID), by SHA-384.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertId {
    issuer_name: [u8; 48],
    issuer_key: [u8; 48],
    serial: Vec<u8>,
}

impl CertId {
    /// Of a certificate and its issuer's; `None` for names that cannot be
    /// encoded, and for what [`from_parts`](Self::from_parts) does not take.
    pub fn of(certificate: &Certificate, issuer: &Certificate) -> Option<Self> {
        let (name, key) = id_hashes(SHA384, issuer)?;
        Self::from_parts(
            name.try_into().ok()?,
            key.try_into().ok()?,
            number(certificate.serial()),
        )
    }

    /// Of each certificate of a chain, leaf first, under the next one.
    pub fn of_chain(chain: &[Certificate]) -> impl Iterator<Item = Self> {
        chain
            .iter()
            .zip(chain.iter().skip(1))
            .filter_map(|(certificate, issuer)| Self::of(certificate, issuer))
    }

    /// From digests (SHA-384) of the issuer's name and key, and a serial
    /// number: 1 to 20 bytes (RFC 5280, 4.1.2.2), big endian, above zero,
    /// without leading zeros.
    pub fn from_parts(issuer_name: [u8; 48], issuer_key: [u8; 48], serial: &[u8]) -> Option<Self> {
        let fits = (1..=MAX_SERIAL).contains(&serial.len());
        (fits && serial.first() != Some(&0)).then(|| Self {
            issuer_name,
            issuer_key,
            serial: serial.to_vec(),
        })
    }

    /// Digest of the issuer's name.
    pub fn issuer_name(&self) -> &[u8; 48] {
        &self.issuer_name
    }

    /// Digest of the issuer's key.
    pub fn issuer_key(&self) -> &[u8; 48] {
        &self.issuer_key
    }

    /// The serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// What to ask a responder: an OCSPRequest in DER, without a nonce, since
    /// the answer is stapled for everybody. `None` if it cannot be encoded.
    pub fn request(&self) -> Option<Vec<u8>> {
        let octets = |bytes: &[u8]| tlv(Tag::OctetString, bytes);
        // With NULL for parameters, as NVIDIA's own tools ask.
        let algorithm = [SHA384.to_der().ok()?, Null.to_der().ok()?].concat();
        let algorithm = tlv(Tag::Sequence, &algorithm)?;
        let mut serial = self.serial.clone();
        if serial.first().is_none_or(|byte| byte & 0x80 != 0) {
            serial.insert(0, 0);
        }
        let id = [
            algorithm,
            octets(&self.issuer_name)?,
            octets(&self.issuer_key)?,
            tlv(Tag::Integer, &serial)?,
        ]
        .concat();
        // CertID in Request in the list of them in TBSRequest in OCSPRequest.
        let mut request = tlv(Tag::Sequence, &id)?;
        for _ in 0..4 {
            request = tlv(Tag::Sequence, &request)?;
        }
        Some(request)
    }
}

/// A number that is not negative, without leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn tlv(tag: Tag, content: &[u8]) -> Option<Vec<u8>> {
    AnyRef::new(tag, content).ok()?.to_der().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_certificate() {
        let id = |serial: &[u8]| CertId::from_parts([1; 48], [2; 48], serial);
        let der = id(&[3, 4, 5]).and_then(|id| id.request()).unwrap();
        // Five sequences, the outermost of 128 bytes, the algorithm, two
        // digests, the number.
        assert_eq!(der.len(), 5 * 2 + 1 + 15 + 2 * 50 + 5);
        assert!(der.ends_with(&[0x02, 3, 3, 4, 5]));
        let der = id(&[0x80]).and_then(|id| id.request()).unwrap();
        assert!(der.ends_with(&[0x02, 2, 0, 0x80]));
        for wrong in [&[][..], &[0], &[0, 1], &[1; 21]] {
            assert_eq!(id(wrong), None);
        }
    }
}
