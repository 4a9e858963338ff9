//! Azure's: the paravisor's report by itself, and with a vTPM's quote in the
//! JSON of Trustee (`az-snp-vtpm`, `az-tdx-vtpm`: fields' names and encodings
//! differ by version).

use super::{Found, json::bytes_in, statement};
use crate::{
    azure::Statement,
    cursor::{Cursor, Short},
    snp::SnpCollateral,
    tpm::{Attest, PcrValues},
    x509::{Certificate, read_pem},
};
use serde_json::Value;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::{self, Bytes},
};

/// TPMT_SIGNATURE before the signature: RSASSA with SHA-256 (TPM 2.0, part 2,
/// 11.3.4), which is what Azure's attestation key makes.
const RSASSA_SHA256: [u8; 4] = [0x00, 0x14, 0x00, 0x0b];

/// Kinds of hardware's reports in a paravisor's.
const SNP: u32 = 2;
const TDX: u32 = 4;

/// What the paravisor's report has in it (Microsoft, "Confidential VM guest
/// attestation design": a header of 32 bytes, the hardware's report in a field
/// of 1184, then size, version, kind, hash, size of the runtime data, they).
struct Hcl<'a> {
    kind: u32,
    report: &'a [u8],
    runtime_data: &'a [u8],
}

impl<'a> Hcl<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(32, "header")?.first_chunk() != Some(b"HCLA") {
            return Err(Short("header"));
        }
        let report = cursor.take(1184, "report")?;
        cursor.take(8, "size and version")?;
        let kind = cursor.u32("kind")?;
        cursor.take(4, "hash")?;
        let size = cursor.u32("size")?;
        let size = usize::try_from(size).map_err(|_| Short("size"))?;
        Ok(Self {
            kind,
            report,
            runtime_data: cursor.take(size, "runtime data")?,
        })
    }
}

/// A report without a vTPM's quote: of SEV-SNP it is the hardware's own, which
/// says what the paravisor is. Of TDX it is none that anybody else can check.
pub(super) fn hcl_report(bytes: &[u8]) -> Option<(&'static str, Found)> {
    let hcl = Hcl::read(bytes).ok().filter(|hcl| hcl.kind == SNP)?;
    Some((
        "an HCL report of Azure's, without its vTPM's quote",
        statement(Platform::Snp, hcl.report),
    ))
}

/// Whether it is such a report of TDX.
pub(super) fn is_tdx(bytes: &[u8]) -> bool {
    Hcl::read(bytes).is_ok_and(|hcl| hcl.kind == TDX)
}

/// Trustee's evidence of an Azure VM.
pub(super) fn trustee(value: &Value) -> Option<Found> {
    let either = |names: [&str; 2]| names.iter().find_map(|name| value.get(*name));
    let hcl = bytes_in(either(["hcl_report", "report"])?)?;
    let hcl = Hcl::read(&hcl).ok()?;
    let quote = either(["tpm_quote", "quote"])?;
    let attest = bytes_in(quote.get("message")?)?;
    let (platform, hardware, endorsements) = match hcl.kind {
        SNP => {
            let key = value.get("vcek").and_then(certificate);
            let collateral = key.map(|key| {
                let collateral = SnpCollateral {
                    certificate: Bytes(key),
                    chain: Vec::new(),
                    crl: None,
                };
                Box::new(Endorsements::new(Platform::AzureSnp, collateral.to_vec()))
            });
            (Platform::AzureSnp, hcl.report.to_vec(), collateral)
        }
        TDX => {
            let quote = bytes_in(value.get("td_quote")?)?;
            (Platform::AzureTdx, quote, None)
        }
        _ => return None,
    };
    let statement = Statement {
        hardware: Bytes(hardware),
        runtime_data: Bytes(hcl.runtime_data.to_vec()),
        signature: Bytes(signature(bytes_in(quote.get("signature")?)?)?),
        pcrs: quoted(&attest, quote.get("pcrs")?)?,
        attest: Bytes(attest),
    };
    let evidence = Evidence {
        platform,
        statement: Bytes(cbor::to_vec(&statement)),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    Some(Found::Evidence(Box::new(evidence), endorsements))
}

/// PEM, or DER in text.
fn certificate(value: &Value) -> Option<Vec<u8>> {
    let first = |pem: &str| Some(read_pem(pem.as_bytes(), 3).ok()?.first()?.der().to_vec());
    let text = value.as_str()?;
    first(text).or_else(|| {
        let der = bytes_in(value)?;
        Certificate::parse(&der).is_ok().then_some(der)
    })
}

fn signature(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let len = u16::try_from(bytes.len()).ok()?;
    Some([&RSASSA_SHA256[..], &len.to_be_bytes(), &bytes].concat())
}

/// Of the values of all registers, those that the quote is of.
fn quoted(attest: &[u8], values: &Value) -> Option<PcrValues> {
    let attest = Attest::parse(attest).ok()?;
    let values = values.as_array()?;
    let value = |register: &u8| {
        let value = bytes_in(values.get(usize::from(*register))?)?;
        Some((*register, value.try_into().ok()?))
    };
    let registers = &attest.selections.first()?.registers;
    registers
        .iter()
        .map(value)
        .collect::<Option<_>>()
        .map(PcrValues)
}
