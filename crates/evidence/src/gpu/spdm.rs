//! What a GPU signs: an SPDM 1.1 GET_MEASUREMENTS request and the MEASUREMENTS
//! response to it, one after the other (DMTF DSP0274 1.1.0, 10.11; NVIDIA's
//! `nvmlDeviceGetConfComputeGpuAttestationReport` returns them so).
//!
//! The signature, P-384 with SHA-384, is over every byte before it.

use super::opaque::{Opaque, OpaqueError};
use crate::{
    reader::{Framing, Reader},
    x509::PublicKey,
};
use std::collections::BTreeMap;

/// Bytes of a request with a nonce.
pub const REQUEST: usize = 37;
/// Bytes of a report that is read at most: NVIDIA's have 4 to 5 KiB.
pub const MAX_REPORT: usize = 64 * 1024;

const VERSION_1_1: u8 = 0x11;
const GET_MEASUREMENTS: u8 = 0xe0;
const MEASUREMENTS: u8 = 0x60;
/// Request attribute: the response is to be signed.
const SIGNED: u8 = 1;
/// Measurement operation: all of them.
const ALL: u8 = 0xff;
/// Measurement specification, bit 0: DMTF.
const DMTF: u8 = 1;
/// Of DMTFSpecMeasurementValueType: a raw bit stream instead of a digest.
const RAW: u8 = 0x80;
/// An OpaqueLength may not be larger (DSP0274 1.1.0, table 42).
const MAX_OPAQUE: u16 = 1024;

/// Why bytes are no report of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Longer than [`MAX_REPORT`].
    #[error("{0} bytes, at most {MAX_REPORT} are read")]
    TooLong(usize),
    /// Ends inside a field, or a length does not fit what it measures.
    #[error("truncated, or a length that does not fit: {0}")]
    Framing(&'static str),
    /// A field has a value that this message cannot have.
    #[error("{field} is {found:#04x}, must be {expected:#04x}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        expected: u8,
        /// What it is.
        found: u8,
    },
    /// Two blocks of one index, index 0 or 255, or none at all.
    #[error("measurement blocks: {0}")]
    Blocks(&'static str),
    /// The opaque data do not read.
    #[error(transparent)]
    Opaque(#[from] OpaqueError),
}

impl From<Framing> for ReportError {
    fn from(Framing(field): Framing) -> Self {
        Self::Framing(field)
    }
}

/// One measurement (DSP0274 1.1.0, table 44).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement<'a> {
    /// What is measured, in the low seven bits (1: mutable firmware); bit 7
    /// set if the value is no digest.
    pub kind: u8,
    /// The value.
    pub value: &'a [u8],
}

impl Measurement<'_> {
    /// The value, if it is a SHA-384 digest.
    pub fn sha384(&self) -> Option<&[u8; 48]> {
        if self.kind & RAW == 0 {
            self.value.try_into().ok()
        } else {
            None
        }
    }
}

/// A report that was read, not verified.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    signed: &'a [u8],
    nonce: &'a [u8; 32],
    measurements: BTreeMap<u8, Measurement<'a>>,
    opaque: Opaque<'a>,
    signature: &'a [u8; 96],
}

impl<'a> Report<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// [`ReportError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReportError> {
        if bytes.len() > MAX_REPORT {
            return Err(ReportError::TooLong(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        let (nonce, slot) = request(&mut reader)?;
        byte(&mut reader, "response's SPDM version", VERSION_1_1)?;
        byte(&mut reader, "response's code", MEASUREMENTS)?;
        // Reserved when all measurements were asked for: not to be read.
        reader.u8("Param1")?;
        let answered = reader.u8("slot")? & 0x0f;
        field("response's slot", slot & 0x0f, answered)?;
        let count = reader.u8("number of blocks")?;
        let length = reader.u24_le("measurement record")?;
        let length =
            usize::try_from(length).map_err(|_| ReportError::Framing("measurement record"))?;
        let measurements = blocks(count, reader.take(length, "measurement record")?)?;
        // The responder's own nonce: freshness for itself, not for us.
        reader.take(32, "response's nonce")?;
        let length = reader.u16_le("opaque data")?;
        if length > MAX_OPAQUE {
            return Err(ReportError::Framing("opaque data"));
        }
        let opaque = Opaque::parse(reader.take(usize::from(length), "opaque data")?)?;
        let signed = bytes
            .get(..bytes.len().saturating_sub(reader.left()))
            .ok_or(ReportError::Framing("signature"))?;
        let signature = reader.array("signature")?;
        reader.end("signature")?;
        Ok(Self {
            signed,
            nonce,
            measurements,
            opaque,
            signature,
        })
    }

    /// The requester's nonce.
    pub fn nonce(&self) -> &[u8; 32] {
        self.nonce
    }

    /// Measurements by the index of their blocks, 1 to 254.
    pub fn measurements(&self) -> &BTreeMap<u8, Measurement<'a>> {
        &self.measurements
    }

    /// NVIDIA's own fields.
    pub fn opaque(&self) -> &Opaque<'a> {
        &self.opaque
    }

    /// Whether `key` made the signature over everything before it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        // 96 bytes are a signature of P-384 and of no other curve.
        key.verify_fixed(self.signed, self.signature)
    }
}

/// The request's nonce and slot.
fn request<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8; 32], u8), ReportError> {
    byte(reader, "request's SPDM version", VERSION_1_1)?;
    byte(reader, "request's code", GET_MEASUREMENTS)?;
    let attributes = reader.u8("request's attributes")?;
    field("request's attributes", SIGNED, attributes & SIGNED)?;
    byte(reader, "request's operation", ALL)?;
    Ok((reader.array("nonce")?, reader.u8("slot")?))
}

fn blocks(count: u8, record: &[u8]) -> Result<BTreeMap<u8, Measurement<'_>>, ReportError> {
    let mut reader = Reader::new(record);
    let mut blocks = BTreeMap::new();
    for _ in 0..count {
        let index = reader.u8("block")?;
        if !(1..=254).contains(&index) {
            return Err(ReportError::Blocks("an index is not 1 to 254"));
        }
        byte(&mut reader, "measurement specification", DMTF)?;
        let size = reader.u16_le("block's size")?;
        let mut block = Reader::new(reader.take(usize::from(size), "block")?);
        let kind = block.u8("measurement's type")?;
        let size = block.u16_le("measurement's size")?;
        let value = block.take(usize::from(size), "measurement")?;
        block.end("measurement")?;
        if blocks.insert(index, Measurement { kind, value }).is_some() {
            return Err(ReportError::Blocks("two have one index"));
        }
    }
    reader.end("measurement record")?;
    if blocks.is_empty() {
        return Err(ReportError::Blocks("there is none"));
    }
    Ok(blocks)
}

fn byte(reader: &mut Reader<'_>, name: &'static str, expected: u8) -> Result<(), ReportError> {
    let found = reader.u8(name)?;
    field(name, expected, found)
}

fn field(field: &'static str, expected: u8, found: u8) -> Result<(), ReportError> {
    if found == expected {
        Ok(())
    } else {
        Err(ReportError::Field {
            field,
            expected,
            found,
        })
    }
}
