//! NVIDIA's services for GPUs: reference integrity manifests (RIM service,
//! version 1), an OCSP responder (RFC 6960), and the remote attestation
//! service (NRAS, version 4).

use crate::{
    fault::{At as _, Failure, Fault},
    http::Http,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use soundproof_evidence::{
    gpu::{
        Gpu, Rim,
        device::Architecture,
        nras,
        ocsp::{CertId, MAX_OCSP, OcspError, Response},
    },
    x509::Certificate,
};

/// Bytes of an answer with a manifest at most: some 100 KiB.
const MAX_RIM: usize = 512 * 1024;
/// Bytes of the attestation service's answer at most: some 4 KiB a GPU.
const MAX_NRAS: usize = 256 * 1024;
/// Characters of a manifest's id at most.
const MAX_ID: usize = 128;

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

/// A certificate's id, as names of targets have it: digests of the issuer's
/// name and key, and the serial number, in hexadecimal.
pub(crate) fn text_of(id: &CertId) -> String {
    let [name, key] = [id.issuer_name(), id.issuer_key()].map(hex::encode);
    format!("{name}/{key}/{}", hex::encode(id.serial()))
}

/// From [`text_of`]'s parts.
pub(crate) fn id_from_parts(name: &str, key: &str, serial: &str) -> Option<CertId> {
    let hash = |text: &str| {
        let mut hash = [0; 48];
        hex::decode_to_slice(text, &mut hash).ok().map(|()| hash)
    };
    CertId::from_parts(hash(name)?, hash(key)?, &hex::decode(serial).ok()?)
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

pub(crate) fn read_rim(body: &[u8], id: &RimId) -> Result<Vec<u8>, Fault> {
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
    let (manifest, signers) = manifest(&rim).ok_or(WHAT)?;
    let signed = signers
        .first()
        .is_some_and(|signer| manifest.is_signed_by(signer.key()));
    signed.then_some(rim).ok_or(Fault::Signature("RIM"))
}

/// A manifest in the only form that is judged, with its signer's chain, leaf
/// first. Nothing is verified.
pub(crate) fn manifest(bytes: &[u8]) -> Option<(Rim, Vec<Certificate>)> {
    let rim = Rim::parse(bytes).ok()?;
    let chain = rim.certificates().iter().map(|der| Certificate::parse(der));
    let chain = chain.collect::<Result<Vec<_>, _>>().ok()?;
    (!chain.is_empty()).then_some((rim, chain))
}

/// A responder's answer, DER: whatever it says of the certificate.
pub(crate) async fn ocsp(http: &Http, id: &CertId, now_ms: u64) -> Result<Vec<u8>, Failure> {
    let request = id.request().ok_or(Fault::Malformed("OCSP request"));
    let request = request.at("OCSP response")?;
    let reply = http
        .post("", "application/ocsp-request", request, MAX_OCSP, now_ms)
        .await;
    reply
        .and_then(|reply| read_ocsp(&reply.body, id).map(|()| reply.body))
        .at("OCSP response")
}

pub(crate) fn read_ocsp(body: &[u8], id: &CertId) -> Result<(), Fault> {
    let answer = Response::parse(body).map_err(|error| match error {
        OcspError::Status(status) => Fault::Refused(status),
        _ => Fault::Malformed("OCSP response"),
    })?;
    answer.about(id).map(drop).ok_or_else(|| Fault::Other {
        expected: format!("certificate {}", hex::encode(id.serial())),
        found: "another certificate".into(),
    })
}

/// The attestation service's answer about GPUs of one architecture, JSON.
pub(crate) async fn nras(
    http: &Http,
    architecture: Architecture,
    nonce: &[u8; 32],
    gpus: &[&Gpu],
    now_ms: u64,
) -> Result<Vec<u8>, Failure> {
    let list: Vec<_> = gpus
        .iter()
        .map(|gpu| {
            serde_json::json!({
                "evidence": STANDARD.encode(&gpu.report.0),
                "certificate": STANDARD.encode(&gpu.chain.0),
            })
        })
        .collect();
    let request = serde_json::json!({
        "nonce": hex::encode(nonce),
        "arch": architecture.name().to_ascii_uppercase(),
        "claims_version": "3.0",
        "evidence_list": list,
    });
    let request = request.to_string().into_bytes();
    let reply = http
        .post(
            "v4/attest/gpu",
            "application/json",
            request,
            MAX_NRAS,
            now_ms,
        )
        .await;
    reply
        .and_then(|reply| read_nras(&reply.body).map(|()| reply.body))
        .at("attestation result")
}

pub(crate) fn read_nras(body: &[u8]) -> Result<(), Fault> {
    match nras::Answer::parse(body) {
        Some(_) => Ok(()),
        None => Err(Fault::Malformed("attestation result")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_testkit::{gpu::GpuPki, pki::NOW_MS};

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
    fn certificates_have_one_name() {
        let id = CertId::from_parts([1; 48], [2; 48], &[3, 4, 5]).unwrap();
        let text = text_of(&id);
        let parts: Vec<&str> = text.split('/').collect();
        assert_eq!(id_from_parts(parts[0], parts[1], parts[2]), Some(id));
        assert_eq!(id_from_parts(parts[0], parts[1], "0003"), None);
        assert_eq!(id_from_parts(parts[0], "ab", "03"), None);
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
        let pki = GpuPki::sound(NOW_MS / 1000);
        let [driver, _] = pki.manifests();
        let sound = driver.sign(&pki);
        let good = read_rim(json("NV_GPU_X", &sound).as_bytes(), &id);
        assert_eq!(good.unwrap(), sound);
        let other = read_rim(json("NV_GPU_Y", &sound).as_bytes(), &id);
        assert!(matches!(other, Err(Fault::Other { .. })));
        // By a key that is not the first certificate's.
        let signer = pki.signers[1].clone();
        let mut signers = pki.signers.clone();
        signers[0].key = signer.key;
        let forged = driver.sign_by(&signers);
        let forged = read_rim(json("NV_GPU_X", &forged).as_bytes(), &id);
        assert_eq!(forged, Err(Fault::Signature("RIM")));
        for body in [
            json("NV_GPU_X", b"<SoftwareIdentity/>"),
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
        let id = CertId::from_parts([1; 48], [2; 48], &[3]).unwrap();
        assert_eq!(
            read_ocsp(b"\x30\x03\x0a\x01\x06", &id),
            Err(Fault::Refused(6))
        );
        for bytes in [&b""[..], b"\x30\x00", b"garbage"] {
            assert!(read_ocsp(bytes, &id).is_err());
        }
    }
}
