//! The report that Azure's paravisor (HCL) leaves in the vTPM's NV index
//! 0x01400001 (Microsoft, "Confidential VM guest attestation design"): a
//! header, the hardware's report in a field of fixed size, then the runtime
//! data that the report's first 32 bytes of report data are the SHA-256 of,
//! with the attestation key in it.

/// `HCLA`
const SIGNATURE: &[u8; 4] = b"HCLA";
/// After the header.
const REPORT_AT: usize = 0x20;
/// Size of the report's field; the largest report's.
const REPORT_FIELD: usize = 0x4a0;
/// Bytes of a TDREPORT_STRUCT (Intel TDX module ABI).
pub const TD_REPORT: usize = 1024;
/// Bytes of an SEV-SNP report.
const SNP_REPORT: usize = 1184;
/// Bytes of runtime data at most.
const MAX_RUNTIME_DATA: u32 = 16 * 1024;
/// The runtime data is hashed with SHA-256.
const HASH_SHA256: u32 = 1;

/// The hardware's own report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hardware {
    /// A TDREPORT, to be made a quote of.
    Tdx(Box<[u8; TD_REPORT]>),
    /// A report, signed.
    Snp(Vec<u8>),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HclReport {
    pub(super) hardware: Hardware,
    /// JSON, as it was hashed.
    pub(super) runtime_data: Vec<u8>,
}

impl HclReport {
    /// Reads one; what follows the runtime data is the index's padding.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.first_chunk() != Some(SIGNATURE) {
            return Err("the HCL report does not begin with HCLA");
        }
        let (report, after) = bytes
            .get(REPORT_AT..)
            .and_then(|rest| rest.split_at_checked(REPORT_FIELD))
            .ok_or("the HCL report is too short")?;
        let field = |at: usize| {
            let bytes = after.get(at..).and_then(<[u8]>::first_chunk);
            bytes
                .map(|bytes| u32::from_le_bytes(*bytes))
                .ok_or("the HCL report is too short")
        };
        // IGVM_REQUEST_DATA: size of all, version, kind of report, hash, size
        // of the runtime data, the runtime data.
        let (kind, hash, size) = (field(8)?, field(12)?, field(16)?);
        if hash != HASH_SHA256 {
            return Err("the runtime data is not hashed with SHA-256");
        }
        if size == 0 || size > MAX_RUNTIME_DATA {
            return Err("the runtime data has a size that it cannot have");
        }
        let runtime_data = after
            .get(20..)
            .and_then(|rest| rest.get(..size as usize))
            .ok_or("the runtime data is longer than the HCL report")?
            .to_vec();
        let too_short = "the HCL report is too short";
        let hardware = match kind {
            2 => Hardware::Snp(report.get(..SNP_REPORT).ok_or(too_short)?.to_vec()),
            4 => Hardware::Tdx(Box::new(*report.first_chunk().ok_or(too_short)?)),
            _ => return Err("the HCL report is neither of TDX nor of SEV-SNP"),
        };
        Ok(Self {
            hardware,
            runtime_data,
        })
    }

    /// Report data of the hardware's report.
    pub(super) fn report_data(&self) -> Option<&[u8; 64]> {
        match &self.hardware {
            // REPORTMACSTRUCT: 4 + 12 + 16 + 48 + 48 bytes before it.
            Hardware::Tdx(report) => report.get(128..)?.first_chunk(),
            Hardware::Snp(report) => crate::carried::by_snp_report(report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(kind: u32, hash: u32, size: u32, runtime: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.resize(REPORT_AT, 0);
        bytes.resize(REPORT_AT + REPORT_FIELD, 7);
        for field in [size + 20, 1, kind, hash, size] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(runtime);
        bytes
    }

    #[test]
    fn both_kinds_are_read_and_padding_is_not() {
        let mut bytes = build(2, 1, 2, b"{}");
        bytes.extend([0; 100]);
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!(report.hardware, Hardware::Snp(vec![7; SNP_REPORT]));
        assert_eq!(report.runtime_data, b"{}");
        let report = HclReport::parse(&build(4, 1, 2, b"{}")).unwrap();
        assert_eq!(report.hardware, Hardware::Tdx(Box::new([7; TD_REPORT])));
        assert_eq!(report.report_data(), Some(&[7; 64]));
    }

    #[test]
    fn what_is_none_is_an_error() {
        let good = build(2, 1, 2, b"{}");
        for cut in 0..good.len() {
            assert!(HclReport::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
        for bad in [
            build(3, 1, 2, b"{}"),
            build(2, 2, 2, b"{}"),
            build(2, 1, 0, b"{}"),
            build(2, 1, 3, b"{}"),
            build(2, 1, u32::MAX - 20, b"{}"),
        ] {
            assert!(HclReport::parse(&bad).is_err());
        }
    }
}
