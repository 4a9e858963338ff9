//! NVIDIA's services for GPUs: reference integrity manifests (RIM service,
//! version 1) and an OCSP responder (RFC 6960).

use crate::{
    fault::{At as _, Failure, Fault},
    http::Http,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use x509_cert::der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _,
    asn1::{AnyRef, GeneralizedTime, Null, ObjectIdentifier, OctetString},
};

/// Bytes of an answer with a manifest at most: some 100 KiB.
const MAX_RIM: usize = 2 * 1024 * 1024;
/// Bytes of an OCSP answer at most: some 3 KiB.
const MAX_OCSP: usize = 64 * 1024;
/// Characters of a manifest's id at most.
const MAX_ID: usize = 128;
/// Bytes of a serial number at most (RFC 5280, 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// A manifest's name at the service, such as `NV_GPU_DRIVER_GH100_535.104.05`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RimId(String);

impl RimId {
    /// From text that evidence gives: letters, digits, `_`, `-` and `.`, and
    /// the service's own beginning.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let fits = text.len() <= MAX_ID && text.bytes().all(fits) && !text.contains("..");
        (fits && text.starts_with("NV_")).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which certificate a responder is asked for (RFC 6960, CertID, SHA-384).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertId {
    issuer_name: [u8; 48],
    issuer_key: [u8; 48],
    serial: Vec<u8>,
}

impl CertId {
    /// Of a certificate and its issuer, DER.
    pub fn of(certificate: &[u8], issuer: &[u8]) -> Option<Self> {
        use sha2::{Digest as _, Sha384};
        use x509_cert::Certificate;
        let certificate = Certificate::from_der(certificate).ok()?;
        let issuer = Certificate::from_der(issuer).ok()?;
        let tbs = certificate.tbs_certificate();
        let name = tbs.issuer().to_der().ok()?;
        let key = issuer.tbs_certificate().subject_public_key_info();
        Self::new(
            Sha384::digest(name).into(),
            Sha384::digest(key.subject_public_key.raw_bytes()).into(),
            tbs.serial_number().as_bytes(),
        )
    }

    fn new(issuer_name: [u8; 48], issuer_key: [u8; 48], serial: &[u8]) -> Option<Self> {
        (1..=MAX_SERIAL).contains(&serial.len()).then(|| Self {
            issuer_name,
            issuer_key,
            serial: serial.to_vec(),
        })
    }

    /// As names of targets have it.
    pub(crate) fn text(&self) -> String {
        let [name, key] = [&self.issuer_name, &self.issuer_key].map(hex::encode);
        format!("{name}/{key}/{}", hex::encode(&self.serial))
    }

    /// From [`text`](Self::text)'s parts.
    pub(crate) fn from_parts(name: &str, key: &str, serial: &str) -> Option<Self> {
        let hash = |text: &str| {
            let mut hash = [0; 48];
            hex::decode_to_slice(text, &mut hash).ok().map(|()| hash)
        };
        Self::new(hash(name)?, hash(key)?, &hex::decode(serial).ok()?)
    }

    pub(crate) fn serial(&self) -> String {
        hex::encode(&self.serial)
    }

    /// OCSPRequest with this one certificate: no signature, no nonce, so that
    /// the answer can be kept and stapled.
    fn request(&self) -> Option<Vec<u8>> {
        const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
        let algorithm = sequence(&[SHA384.to_der().ok()?, Null.to_der().ok()?])?;
        let octets = |bytes: &[u8]| OctetString::new(bytes).ok()?.to_der().ok();
        let serial = AnyRef::new(Tag::Integer, &self.serial)
            .ok()?
            .to_der()
            .ok()?;
        let id = sequence(&[
            algorithm,
            octets(&self.issuer_name)?,
            octets(&self.issuer_key)?,
            serial,
        ])?;
        // Request, requestList, TBSRequest, OCSPRequest.
        sequence(&[sequence(&[sequence(&[sequence(&[id])?])?])?])
    }
}

/// SEQUENCE of encoded elements.
fn sequence(elements: &[Vec<u8>]) -> Option<Vec<u8>> {
    let content = elements.concat();
    AnyRef::new(Tag::Sequence, &content).ok()?.to_der().ok()
}

#[derive(Deserialize)]
struct RimReply {
    #[serde(default)]
    id: Option<String>,
    rim: String,
}

/// A manifest, XML.
pub(crate) async fn rim(http: &Http, id: &RimId, now_ms: u64) -> Result<Vec<u8>, Failure> {
    let path = format!("v1/rim/{}", id.as_str());
    let reply = http.get(&path, MAX_RIM, now_ms).await;
    reply.and_then(|reply| read_rim(&reply.body, id)).at("RIM")
}

fn read_rim(body: &[u8], id: &RimId) -> Result<Vec<u8>, Fault> {
    const WHAT: Fault = Fault::Malformed("RIM");
    let reply: RimReply = serde_json::from_slice(body).map_err(|_| WHAT)?;
    if let Some(found) = reply.id.filter(|found| found != id.as_str()) {
        let found = found.chars().filter(char::is_ascii_graphic).take(60);
        return Err(Fault::Other {
            expected: id.as_str().to_owned(),
            found: found.collect(),
        });
    }
    let rim = STANDARD.decode(reply.rim.trim()).map_err(|_| WHAT)?;
    is_manifest(&rim).then_some(rim).ok_or(WHAT)
}

/// Whether it begins like XML; what it says is for the judge to read.
pub(crate) fn is_manifest(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok_and(|text| {
        text.trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with('<')
    })
}

/// A responder's answer, DER.
pub(crate) async fn ocsp(http: &Http, id: &CertId, now_ms: u64) -> Result<Vec<u8>, Failure> {
    let request = id.request().ok_or(Fault::Malformed("OCSP request"));
    let request = request.at("OCSP response")?;
    let reply = http
        .post("", "application/ocsp-request", request, MAX_OCSP, now_ms)
        .await;
    reply
        .and_then(|reply| {
            let answer = answer(&reply.body).ok_or(Fault::Malformed("OCSP response"))?;
            if answer.serial != id.serial {
                return Err(Fault::Other {
                    expected: format!("certificate {}", id.serial()),
                    found: format!("certificate {}", hex::encode(answer.serial)),
                });
            }
            Ok(reply.body)
        })
        .at("OCSP response")
}

/// What an answer is about, and from when until when; ms since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    serial: Vec<u8>,
    pub(crate) from_ms: u64,
    pub(crate) until_ms: Option<u64>,
}

/// Reads the first SingleResponse of a successful, basic answer. Nothing is
/// verified.
pub(crate) fn answer(der: &[u8]) -> Option<Answer> {
    let outer = elements(AnyRef::from_der(der).ok()?, Tag::Sequence)?;
    // responseStatus successful, responseBytes [0].
    let [status, bytes] = outer.as_slice() else {
        return None;
    };
    if status.tag() != Tag::Enumerated || status.value() != [0] {
        return None;
    }
    let response = elements(AnyRef::from_der(bytes.value()).ok()?, Tag::Sequence)?;
    let basic = response
        .get(1)
        .filter(|basic| basic.tag() == Tag::OctetString)?;
    let basic = elements(AnyRef::from_der(basic.value()).ok()?, Tag::Sequence)?;
    // version [0]?, responderID [1] or [2], producedAt, responses.
    let data = elements(*basic.first()?, Tag::Sequence)?;
    let responses = data.iter().find(|field| field.tag() == Tag::Sequence)?;
    let responses = elements(*responses, Tag::Sequence)?;
    // certID, certStatus, thisUpdate, nextUpdate [0]?, …
    let single = elements(*responses.first()?, Tag::Sequence)?;
    let id = elements(*single.first()?, Tag::Sequence)?;
    let serial = id.get(3).filter(|serial| serial.tag() == Tag::Integer)?;
    let time = |field: AnyRef<'_>| {
        let time = GeneralizedTime::try_from(field).ok()?;
        u64::try_from(time.to_unix_duration().as_millis()).ok()
    };
    let until = single
        .get(3)
        .filter(|field| field.tag().is_context_specific() && field.tag().number().value() == 0);
    Some(Answer {
        serial: serial.value().to_vec(),
        from_ms: time(*single.get(2)?)?,
        until_ms: match until {
            Some(until) => Some(time(AnyRef::from_der(until.value()).ok()?)?),
            None => None,
        },
    })
}

/// The elements of a constructed value, a bounded number of them.
fn elements(value: AnyRef<'_>, tag: Tag) -> Option<Vec<AnyRef<'_>>> {
    if value.tag() != tag {
        return None;
    }
    let mut reader = SliceReader::new(value.value()).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        if elements.len() == 64 {
            return None;
        }
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_nothing_that_a_url_could_mind() {
        for good in [
            "NV_GPU_DRIVER_GH100_535.104.05",
            "NV_GPU_VBIOS_1010_0200_882_96005E0001",
        ] {
            assert!(RimId::new(good).is_some());
        }
        for bad in [
            "",
            "GPU",
            "NV_/../x",
            "NV_..",
            "NV_a?b",
            "NV_a b",
            "NV_ä",
            "NV_%2e",
            "NV_a#b",
            &format!("NV_{}", "a".repeat(200)),
        ] {
            assert!(RimId::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_request_has_one_certificate() {
        let id = CertId::new([1; 48], [2; 48], &[3, 4, 5]).unwrap();
        let der = id.request().unwrap();
        // 30 len 30 len 30 len 30 len 30 len, then the algorithm.
        assert_eq!(der.first(), Some(&0x30));
        assert!(der.windows(48).any(|part| part == [1; 48]));
        assert!(der.ends_with(&[0x02, 3, 3, 4, 5]));
        let parts: Vec<String> = id.text().split('/').map(str::to_owned).collect();
        assert_eq!(
            CertId::from_parts(&parts[0], &parts[1], &parts[2]),
            Some(id)
        );
        assert!(CertId::new([0; 48], [0; 48], &[]).is_none());
        assert!(CertId::new([0; 48], [0; 48], &[1; 21]).is_none());
    }

    #[test]
    fn manifests() {
        let id = RimId::new("NV_GPU_X").unwrap();
        let json = |id: &str, rim: &[u8]| {
            format!(
                "{{\"id\":\"{id}\",\"rim\":\"{}\",\"sha256\":\"x\"}}",
                STANDARD.encode(rim)
            )
        };
        let good = read_rim(json("NV_GPU_X", b"<?xml?>").as_bytes(), &id);
        assert_eq!(good.unwrap(), b"<?xml?>");
        let other = read_rim(json("NV_GPU_Y", b"<?xml?>").as_bytes(), &id);
        assert!(matches!(other, Err(Fault::Other { .. })));
        for body in [
            json("NV_GPU_X", b"\xff"),
            json("NV_GPU_X", b""),
            "{}".into(),
            "<x/>".into(),
        ] {
            assert!(read_rim(body.as_bytes(), &id).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer() {
        for bytes in [&b""[..], b"\x30\x00", b"\x30\x03\x0a\x01\x06", b"garbage"] {
            assert_eq!(answer(bytes), None);
        }
    }
}
