//! The fields of a TDX quote, v4 and v5 (Intel TDX DCAP Quoting Library API,
//! appendix 3). Reading one says nothing about who made it.
//!
//! A quote is read only in its one form: every length inside must be used up to
//! its last byte. What follows the last byte is no part of it and is not looked
//! at: some firmware hands out a buffer of fixed size.

use super::Measurements;
use dcap_qvl::quote::{Quote as Raw, Report, TDReport10};
use soundproof_protocol::attestation::MAX_EVIDENCE;

const HEADER: usize = 48;
const BODY_DESCRIPTOR: usize = 6;
const TDX: u32 = 0x81;
const CERT_QE_REPORT: u16 = 6;
const CERT_PCK_CHAIN: u16 = 5;
const QE_REPORT: usize = 384;
const SIGNATURE: usize = 64;
const PUBLIC_KEY: usize = 64;

/// Why bytes are not a TDX quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// Longer than [`MAX_EVIDENCE`].
    #[error("{0} bytes, at most {MAX_EVIDENCE} are accepted")]
    TooLong(usize),
    /// Ends inside a field, or a length does not fit what it measures.
    #[error("truncated, or a length that does not fit: {0}")]
    Framing(&'static str),
    /// Another version than 4 and 5.
    #[error("quote of version {0}; 4 and 5 are understood")]
    Version(u16),
    /// Not of a trust domain.
    #[error("TEE type {0:#x}; TDX is 0x81")]
    TeeType(u32),
    /// Certification data of another type.
    #[error("certification data of type {0}; a quote carries 6 with 5 inside")]
    CertificationData(u16),
    /// Anything else that the format does not allow.
    #[error("not a TDX quote")]
    Malformed,
}

/// A quote that was read, not verified.
pub struct Quote {
    version: u16,
    report: TDReport10,
    service_tds: Vec<(&'static str, [u8; 48])>,
}

impl Quote {
    /// Reads one.
    ///
    /// # Errors
    /// [`QuoteError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(QuoteError::TooLong(bytes.len()));
        }
        check_framing(bytes)?;
        let raw = Raw::parse(bytes).map_err(|_| QuoteError::Malformed)?;
        let report = *raw.report.as_td10().ok_or(QuoteError::Malformed)?;
        Ok(Self {
            version: raw.header.version,
            report,
            service_tds: service_tds(&raw.report),
        })
    }

    /// Version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// What runs.
    pub fn measurements(&self) -> Measurements {
        Measurements::from(&self.report)
    }

    /// The 64 bytes that it carries.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report.report_data
    }

    /// SVNs of the TDX module and its loader.
    pub fn tee_tcb_svn(&self) -> &[u8; 16] {
        &self.report.tee_tcb_svn
    }

    /// Hashes of the service TDs that a body of version 5 names: MRSERVICETD,
    /// and in its extended form those bound at the start and now. Zero is
    /// none.
    pub(crate) fn service_tds(&self) -> &[(&'static str, [u8; 48])] {
        &self.service_tds
    }

    /// Whether bit 0 of the TD attributes, DEBUG, is set: the host can read
    /// and write the domain's memory.
    pub fn is_debug(&self) -> bool {
        self.report
            .td_attributes
            .first()
            .is_some_and(|tud| tud & 1 != 0)
    }
}

fn service_tds(report: &Report) -> Vec<(&'static str, [u8; 48])> {
    match report {
        Report::TD15(report) => vec![("MRSERVICETD", report.mr_service_td)],
        Report::TD15Ex(report) => vec![
            ("MRSERVICETD", report.base.mr_service_td),
            ("INIT_SERVICE_TD_HASH", report.init_service_td_hash),
            ("CUR_SERVICE_TD_HASH", report.cur_service_td_hash),
        ],
        _ => Vec::new(),
    }
}

/// Walks the lengths. The parser below takes what it needs and would ignore
/// bytes that are left over inside a length; none may be.
fn check_framing(bytes: &[u8]) -> Result<(), QuoteError> {
    let mut all = Cursor(bytes);
    let header = all.take(HEADER, "header")?;
    let version = u16_at(header, 0);
    let tee_type = u32_at(header, 4);
    let body = match version {
        4 => 584,
        5 => {
            let descriptor = all.take(BODY_DESCRIPTOR, "body descriptor")?;
            match (u16_at(descriptor, 0), u32_at(descriptor, 2)) {
                (2, 584) => 584,
                (3, 648) => 648,
                (4, 885) => 885,
                _ => return Err(QuoteError::Framing("body type and size")),
            }
        }
        other => return Err(QuoteError::Version(other)),
    };
    if tee_type != TDX {
        return Err(QuoteError::TeeType(tee_type));
    }
    all.take(body, "body")?;
    let mut auth = all.sized_u32("signature data")?;
    auth.take(SIGNATURE + PUBLIC_KEY, "signature")?;
    let kind = auth.u16("certification data")?;
    if kind != CERT_QE_REPORT {
        return Err(QuoteError::CertificationData(kind));
    }
    let mut certification = auth.sized_u32("certification data")?;
    auth.end("signature data")?;
    certification.take(QE_REPORT + SIGNATURE, "QE report")?;
    let auth_data = certification.u16("QE authentication data")?;
    certification.take(usize::from(auth_data), "QE authentication data")?;
    let kind = certification.u16("PCK certificate chain")?;
    if kind != CERT_PCK_CHAIN {
        return Err(QuoteError::CertificationData(kind));
    }
    certification.sized_u32("PCK certificate chain")?;
    certification.end("QE report certification data")
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], QuoteError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(QuoteError::Framing(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, QuoteError> {
        self.take(2, what).map(|bytes| u16_at(bytes, 0))
    }

    /// A 32-bit length and that many bytes.
    fn sized_u32(&mut self, what: &'static str) -> Result<Cursor<'a>, QuoteError> {
        let len = self.take(4, what).map(|bytes| u32_at(bytes, 0))?;
        let len = usize::try_from(len).map_err(|_| QuoteError::Framing(what))?;
        self.take(len, what).map(Cursor)
    }

    fn end(&self, what: &'static str) -> Result<(), QuoteError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(QuoteError::Framing(what))
        }
    }
}

/// Little endian; 0 past the end, which `take` has ruled out.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u16::from_le_bytes(*chunk))
}

/// Likewise.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}
