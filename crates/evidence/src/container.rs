//! What a file holds: evidence of any platform, in the containers in which
//! people keep it. Nothing found here is verified.
//!
//! Understood: this protocol's own encodings (session evidence, receipt
//! bundles, evidence); TDX and SGX quotes; SEV-SNP reports, alone or in the
//! firmware's answer; Nitro documents; NVIDIA's SPDM reports; CC event logs;
//! JSON with a quote in it (dstack's GetQuote answer, Trustee's evidence) or
//! NVIDIA's lists; JWTs; and any of these as hex or base64 text.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use minicbor::Encode;
use serde_json::Value;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_EVIDENCE, Platform},
    cbor::{self, Bytes},
    receipt::{Bundle, MAX_BUNDLE, SessionEvidence},
};

/// Bytes of a file at most.
pub const MAX_FILE: usize = 4 * MAX_BUNDLE;
/// Layers of text around evidence at most: JSON, base64 in it, hex in that.
const MAX_LAYERS: usize = 4;
/// `vendor_id` of Intel's quoting enclave, in every quote (Intel TDX DCAP
/// Quoting Library API, A.3.1).
const INTEL_QE: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const SNP_REPORT: usize = 1184;
/// The status and size before the report in the firmware's answer
/// (`MSG_REPORT_RSP`, SEV-SNP ABI, table 25).
const SNP_RESPONSE: usize = 32;
/// A COSE_Sign1 with ES384 as its only protected parameter and no other:
/// how every Nitro document begins, but for the tag.
const NITRO: [u8; 7] = [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
/// Bytes before a Nitro document that are looked past: a tag, a length.
const NITRO_PREFIX: usize = 8;
/// GET_MEASUREMENTS and MEASUREMENTS of SPDM 1.1, at the beginning and after
/// the request's 37 bytes.
const SPDM: ([u8; 2], [u8; 2]) = ([0x11, 0xe0], [0x11, 0x60]);
const SPDM_REQUEST: usize = 37;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Evidence of a platform, with endorsements if the file has them.
    Evidence(Box<Evidence>, Option<Box<Endorsements>>),
    /// A session's evidence, by itself or in a receipt bundle.
    Session(Box<SessionEvidence>),
    /// GPU evidence without any other, as [`Evidence::gpu`] carries it.
    Gpu(Bytes),
    /// A CC event log without a quote.
    EventLog(Bytes),
    /// Claims of a token, of which no signature was checked.
    Token(Value),
}

/// What a file holds, and how it was wrapped, from the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The layers, as people call them.
    pub layers: Vec<&'static str>,
    /// What is inside.
    pub found: Found,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// Longer than [`MAX_FILE`].
    #[error("{0} bytes, at most {MAX_FILE} are read")]
    TooLong(usize),
    /// Nothing that is known.
    #[error("no evidence that is known here{}", inside(.0))]
    Unknown(Vec<&'static str>),
}

fn inside(layers: &[&str]) -> String {
    if layers.is_empty() {
        String::new()
    } else {
        format!(", inside {}", layers.join(", "))
    }
}

/// One GPU of [`Evidence::gpu`].
#[derive(Encode)]
#[cbor(map)]
struct Gpu {
    #[n(0)]
    kind: u8,
    #[n(1)]
    report: Bytes,
    #[n(2)]
    chain: Bytes,
}

#[derive(Encode)]
#[cbor(map)]
struct Gpus {
    #[n(0)]
    gpus: Vec<Gpu>,
}

/// dstack's event log, as evidence carries it.
#[derive(Encode)]
#[cbor(map)]
struct DstackLog {
    #[n(0)]
    events: Bytes,
}

/// Finds what a file holds.
///
/// # Errors
/// [`ContainerError`].
pub fn open(bytes: &[u8]) -> Result<Opened, ContainerError> {
    if bytes.len() > MAX_FILE {
        return Err(ContainerError::TooLong(bytes.len()));
    }
    let mut layers = Vec::new();
    let mut current = bytes.to_vec();
    while layers.len() < MAX_LAYERS {
        if let Some((layer, found)) = binary(&current) {
            layers.push(layer);
            return Ok(Opened { layers, found });
        }
        match text(&current) {
            Some((layer, Inside::Found(found))) => {
                layers.push(layer);
                return Ok(Opened { layers, found });
            }
            Some((layer, Inside::Bytes(bytes))) => {
                layers.push(layer);
                current = bytes;
            }
            None => break,
        }
    }
    Err(ContainerError::Unknown(layers))
}

fn statement(platform: Platform, bytes: &[u8]) -> Found {
    let evidence = Evidence {
        platform,
        statement: Bytes(bytes.to_vec()),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    Found::Evidence(Box::new(evidence), None)
}

fn binary(bytes: &[u8]) -> Option<(&'static str, Found)> {
    if let Ok(session) = cbor::from_slice::<SessionEvidence>(bytes, MAX_BUNDLE) {
        return Some(("a session's evidence", Found::Session(Box::new(session))));
    }
    if let Ok(bundle) = Bundle::from_slice(bytes) {
        let session = Box::new(bundle.session);
        return Some(("a receipt bundle", Found::Session(session)));
    }
    if let Ok(evidence) = cbor::from_slice::<Evidence>(bytes, MAX_EVIDENCE) {
        return Some(("evidence", Found::Evidence(Box::new(evidence), None)));
    }
    if let Some(platform) = quote_platform(bytes) {
        let name = match platform {
            Platform::Sgx => "an SGX quote",
            _ => "a TDX quote",
        };
        return Some((name, statement(platform, bytes)));
    }
    if let Some(report) = snp_report(bytes) {
        return Some(("a SEV-SNP report", statement(Platform::Snp, report)));
    }
    if let Some(document) = nitro_document(bytes) {
        return Some(("a Nitro document", statement(Platform::Nitro, document)));
    }
    if is_spdm(bytes) {
        return Some(("an NVIDIA report", gpus([(bytes.to_vec(), Vec::new())])));
    }
    // A log of TCG's begins with a header event that names itself.
    let head = bytes.get(..64)?;
    head.windows(16)
        .any(|window| window == b"Spec ID Event03\0")
        .then(|| ("a CC event log", Found::EventLog(Bytes(bytes.to_vec()))))
}

/// Header of a quote: version, key type ECDSA P-256, TEE type, vendor.
fn quote_platform(bytes: &[u8]) -> Option<Platform> {
    let version = u16::from_le_bytes(*bytes.first_chunk()?);
    let tee = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    if bytes.get(12..28)? != INTEL_QE {
        return None;
    }
    match (version, tee) {
        (3, _) | (4 | 5, 0) => Some(Platform::Sgx),
        (4 | 5, 0x81) => Some(Platform::Tdx),
        _ => None,
    }
}

fn snp_report(bytes: &[u8]) -> Option<&[u8]> {
    let is_report = |bytes: &[u8]| {
        let version = bytes.first_chunk().map(|chunk| u32::from_le_bytes(*chunk));
        let algorithm = bytes.get(0x34..).and_then(|rest| rest.first_chunk());
        // ECDSA P-384 with SHA-384 is the one algorithm.
        matches!(version, Some(2..=16)) && algorithm == Some(&[1, 0, 0, 0])
    };
    if bytes.len() == SNP_REPORT {
        return is_report(bytes).then_some(bytes);
    }
    let (head, rest) = bytes.split_at_checked(SNP_RESPONSE)?;
    let (status, size) = head.split_first_chunk()?;
    let expected = u32::try_from(SNP_REPORT).ok()?.to_le_bytes();
    let report = rest.get(..SNP_REPORT)?;
    (*status == [0; 4] && size.first_chunk() == Some(&expected) && is_report(report))
        .then_some(report)
}

fn nitro_document(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.get(..bytes.len().min(NITRO_PREFIX + NITRO.len()))?;
    let at = head
        .windows(NITRO.len())
        .position(|window| window == NITRO)?;
    let rest = bytes.get(at..)?;
    // Other fields of a container may follow.
    match crate::nitro::Document::parse_prefix(rest) {
        Ok((_, used)) => rest.get(..used),
        Err(_) => Some(rest),
    }
}

fn is_spdm(bytes: &[u8]) -> bool {
    bytes.first_chunk() == Some(&SPDM.0)
        && bytes
            .get(SPDM_REQUEST..)
            .and_then(|rest| rest.first_chunk())
            == Some(&SPDM.1)
}

fn gpus(list: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Found {
    let gpus = list
        .into_iter()
        .map(|(report, chain)| Gpu {
            kind: 0,
            report: Bytes(report),
            chain: Bytes(chain),
        })
        .collect();
    Found::Gpu(Bytes(cbor::to_vec(&Gpus { gpus })))
}

enum Inside {
    Found(Found),
    Bytes(Vec<u8>),
}

fn text(bytes: &[u8]) -> Option<(&'static str, Inside)> {
    let text = core::str::from_utf8(bytes).ok()?.trim();
    if text.starts_with(['{', '[']) {
        let value: Value = serde_json::from_str(text).ok()?;
        let found = json(&value)?;
        return Some(("JSON", found));
    }
    if let Some(claims) = token(text) {
        return Some(("a JWT", Inside::Found(Found::Token(claims))));
    }
    let joined: String = text.split_ascii_whitespace().collect();
    if let Some(bytes) = from_hex(&joined) {
        return Some(("hex", Inside::Bytes(bytes)));
    }
    let bytes = from_base64(&joined)?;
    Some(("base64", Inside::Bytes(bytes)))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    (!text.is_empty()).then(|| hex::decode(text).ok()).flatten()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    (!text.is_empty())
        .then(|| {
            STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE_NO_PAD.decode(text))
        })?
        .ok()
}

/// Bytes in a JSON string: hex, or base64.
fn in_string(value: &Value) -> Option<Vec<u8>> {
    let text = value.as_str()?;
    from_hex(text).or_else(|| from_base64(text))
}

fn token(text: &str) -> Option<Value> {
    let mut parts = text.split('.');
    let (header, claims) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let read = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    Some(serde_json::json!({ "header": read(header)?, "claims": read(claims)? }))
}

fn json(value: &Value) -> Option<Inside> {
    // NVIDIA's list, by itself or with a nonce beside it.
    let list = value.get("evidence_list").unwrap_or(value);
    if let Some(list) = list.as_array() {
        let gpu = |entry: &Value| {
            let report = in_string(entry.get("evidence")?)?;
            let chain = entry.get("certificate").and_then(in_string);
            Some((report, chain.unwrap_or_default()))
        };
        let list: Option<Vec<_>> = list.iter().map(gpu).collect();
        return list
            .filter(|list| !list.is_empty())
            .map(|list| Inside::Found(gpus(list)));
    }
    if let Some(quote) = value.get("quote").and_then(in_string) {
        return Some(quote_in_json(value, quote));
    }
    // What else holds evidence under a name of its own.
    [
        "evidence",
        "attestation",
        "attestation_document",
        "document",
        "report",
    ]
    .into_iter()
    .find_map(|name| value.get(name).and_then(in_string))
    .map(Inside::Bytes)
}

/// A quote with what stands beside it: dstack's event log (JSON, mostly in a
/// string) or a CC event log in base64.
fn quote_in_json(value: &Value, quote: Vec<u8>) -> Inside {
    let log = match value.get("event_log") {
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            Some(text.clone().into_bytes())
        }
        Some(list @ Value::Array(_)) => Some(list.to_string().into_bytes()),
        _ => None,
    };
    let ccel = value.get("cc_eventlog").and_then(in_string);
    match (quote_platform(&quote), log, ccel) {
        (Some(Platform::Tdx), Some(events), _) => {
            let log = DstackLog {
                events: Bytes(events),
            };
            with_log(Platform::Dstack, quote, cbor::to_vec(&log))
        }
        (Some(Platform::Tdx), None, Some(ccel)) => with_log(Platform::Tdx, quote, ccel),
        _ => Inside::Bytes(quote),
    }
}

fn with_log(platform: Platform, quote: Vec<u8>, log: Vec<u8>) -> Inside {
    Inside::Found(Found::Evidence(
        Box::new(Evidence {
            platform,
            statement: Bytes(quote),
            event_log: Some(Bytes(log)),
            gpu: None,
            runtime: None,
        }),
        None,
    ))
}
