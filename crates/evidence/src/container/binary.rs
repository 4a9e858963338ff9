//! Evidence as bytes, by what it begins with.

use super::{Found, azure, gpus, statement};
use soundproof_protocol::{
    attestation::{Evidence, MAX_EVIDENCE, Platform},
    cbor::{self, Bytes},
    receipt::{Bundle, MAX_BUNDLE, SessionEvidence},
};

/// `vendor_id` of Intel's quoting enclave, in every quote (Intel TDX DCAP
/// Quoting Library API, A.3.1).
const INTEL_QE: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const SNP_REPORT: usize = 1184;
/// Bytes before a quote or a report that are looked past: status and size in
/// the firmware's answer (`MSG_REPORT_RSP`, SEV-SNP ABI, table 25), tags and
/// lengths of other containers.
const PREFIX: usize = 32;
/// A COSE_Sign1 with ES384 as its only protected parameter and no other:
/// how every Nitro document begins, but for the tag.
const NITRO: [u8; 7] = [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
/// Bytes before a Nitro document that are looked past: a tag, a length.
const NITRO_PREFIX: usize = 8;
/// GET_MEASUREMENTS and MEASUREMENTS of SPDM 1.1, at the beginning and after
/// the request's 37 bytes.
const SPDM: ([u8; 2], [u8; 2]) = ([0x11, 0xe0], [0x11, 0x60]);
const SPDM_REQUEST: usize = 37;

/// What it is called, and what it is.
pub(super) fn binary(bytes: &[u8]) -> Option<(&'static str, Found)> {
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
    if let Some(found) = azure::hcl_report(bytes) {
        return Some(found);
    }
    let after_prefix = (0..=PREFIX).filter_map(|at| bytes.get(at..));
    for bytes in after_prefix {
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
pub(super) fn quote_platform(bytes: &[u8]) -> Option<Platform> {
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

/// What stands at the beginning, whatever follows: a version, VMPL 0 to 3,
/// ECDSA P-384 with SHA-384, and zeros above both halves of the signature and
/// after it (SEV-SNP ABI, tables 23 and 139).
fn snp_report(bytes: &[u8]) -> Option<&[u8]> {
    let report = bytes.get(..SNP_REPORT)?;
    let field = |at: usize| {
        let bytes = report.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map(|bytes| u32::from_le_bytes(*bytes))
    };
    let zero = |from: usize, to: usize| {
        let bytes = report.get(from..to).unwrap_or_default();
        bytes.iter().all(|byte| *byte == 0)
    };
    let is_report = matches!(field(0), Some(2..=16))
        && matches!(field(0x30), Some(0..=3))
        && field(0x34) == Some(1)
        && zero(0x2d0, 0x2e8)
        && zero(0x318, 0x4a0);
    is_report.then_some(report)
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
