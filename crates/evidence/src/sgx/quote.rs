//! The fields of an SGX quote: version 3 (Intel SGX ECDSA Quote Library
//! Reference, appendix 3), and versions 4 and 5 with the body of an enclave
//! (Intel TDX DCAP Quoting Library API, appendix 3: TEE type 0; version 5,
//! body type 1). Reading one says nothing about who made it.
//!
//! A quote is read only in its one form: every length inside must be used up
//! to its last byte. What follows the last byte is no part of it.

use crate::{
    bytes::Hex,
    cursor::{Cursor, Short},
};
use serde::{Deserialize, Serialize};
use soundproof_protocol::attestation::MAX_EVIDENCE;

const SGX: u32 = 0;
const ECDSA_P256: u16 = 2;
const BODY: usize = 384;
const SIGNATURE_AND_KEY: usize = 64 + 64;
const QE_REPORT_AND_SIGNATURE: usize = 384 + 64;
const CERT_PCK_CHAIN: u16 = 5;
const CERT_QE_REPORT: u16 = 6;

/// Attribute bits (Intel SDM, volume 3D, table 35-3).
const INIT: u64 = 1;
const DEBUG: u64 = 1 << 1;
const MODE64: u64 = 1 << 2;
const PROVISION_KEY: u64 = 1 << 4;
const EINITTOKEN_KEY: u64 = 1 << 5;
const CET: u64 = 1 << 6;
const KSS: u64 = 1 << 7;
const AEX_NOTIFY: u64 = 1 << 10;

/// All that decides what runs in an enclave: the complete tuple that a
/// policy's release names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// What the enclave was built from.
    pub mrenclave: Hex<32>,
    /// Who signed it.
    pub mrsigner: Hex<32>,
    /// Product id that its signer gave it.
    pub isv_prod_id: u16,
    /// Security version that its signer gave it.
    pub isv_svn: u16,
    /// Attributes and XFRM, as they lie in the report.
    pub attributes: Hex<16>,
    /// Which information it gives to the host when it faults.
    pub misc_select: Hex<4>,
    /// What it was started with, where it has key separation.
    #[serde(default = "zero_hex", skip_serializing_if = "is_zero")]
    pub config_id: Hex<64>,
    /// Security version of that.
    #[serde(default, skip_serializing_if = "is_zero_svn")]
    pub config_svn: u16,
    /// Its signer's extended product id.
    #[serde(default = "zero_hex", skip_serializing_if = "is_zero")]
    pub isv_ext_prod_id: Hex<16>,
    /// Its signer's product family.
    #[serde(default = "zero_hex", skip_serializing_if = "is_zero")]
    pub isv_family_id: Hex<16>,
}

const fn zero_hex<const N: usize>() -> Hex<N> {
    Hex([0; N])
}

fn is_zero<const N: usize>(hex: &Hex<N>) -> bool {
    hex.0.iter().all(|byte| *byte == 0)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks with a reference
const fn is_zero_svn(svn: &u16) -> bool {
    *svn == 0
}

impl Measurements {
    /// Names of the fields in which two tuples differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        [
            ("mrenclave", self.mrenclave == other.mrenclave),
            ("mrsigner", self.mrsigner == other.mrsigner),
            ("isv_prod_id", self.isv_prod_id == other.isv_prod_id),
            ("isv_svn", self.isv_svn == other.isv_svn),
            ("attributes", self.attributes == other.attributes),
            ("misc_select", self.misc_select == other.misc_select),
            ("config_id", self.config_id == other.config_id),
            ("config_svn", self.config_svn == other.config_svn),
            (
                "isv_ext_prod_id",
                self.isv_ext_prod_id == other.isv_ext_prod_id,
            ),
            ("isv_family_id", self.isv_family_id == other.isv_family_id),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }
}

/// Why bytes are not an SGX quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// Longer than [`MAX_EVIDENCE`].
    #[error("{0} bytes, at most {MAX_EVIDENCE} are accepted")]
    TooLong(usize),
    /// Ends inside a field, or a length does not fit what it measures.
    #[error("truncated, or a length that does not fit: {0}")]
    Framing(&'static str),
    /// Another version than 3, 4 and 5.
    #[error("quote of version {0}; 3, 4 and 5 are understood")]
    Version(u16),
    /// Not of an enclave.
    #[error("TEE type {0:#x}; SGX is 0")]
    TeeType(u32),
    /// Another signature than ECDSA over P-256.
    #[error("attestation key of type {0}; 2 is understood")]
    KeyType(u16),
    /// Certification data of another type.
    #[error("certification data of type {0} is not understood")]
    CertificationData(u16),
    /// Bits that must be zero (Intel SDM, table 35-21: REPORT).
    #[error("reserved bytes are not zero: {0}")]
    Reserved(&'static str),
}

impl From<Short> for QuoteError {
    fn from(short: Short) -> Self {
        Self::Framing(short.0)
    }
}

/// A quote that was read, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    version: u16,
    cpu_svn: [u8; 16],
    measurements: Measurements,
    report_data: [u8; 64],
}

impl Quote {
    /// Reads one.
    ///
    /// # Errors
    /// [`QuoteError`]; never panics.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(QuoteError::TooLong(bytes.len()));
        }
        let mut all = Cursor::new(bytes);
        let version = all.u16("header")?;
        let key_type = all.u16("header")?;
        // Version 3 says nothing of the kind of TEE here: its field is
        // reserved, and zero.
        let tee_type = all.u32("header")?;
        all.take(40, "header")?;
        if !(3..=5).contains(&version) {
            return Err(QuoteError::Version(version));
        }
        if tee_type != SGX {
            return Err(QuoteError::TeeType(tee_type));
        }
        if key_type != ECDSA_P256 {
            return Err(QuoteError::KeyType(key_type));
        }
        if version == 5 && (all.u16("body type")?, all.u32("body size")?) != (1, BODY as u32) {
            return Err(QuoteError::Framing("body type and size"));
        }
        let mut quote = body(&mut Cursor::new(all.take(BODY, "body")?), version)?;
        quote.version = version;
        signature(&mut all, version)?;
        Ok(quote)
    }

    /// Version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// What runs.
    pub fn measurements(&self) -> Measurements {
        self.measurements
    }

    /// The 64 bytes that it carries.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// SVNs of the processor's TCB.
    pub fn cpu_svn(&self) -> &[u8; 16] {
        &self.cpu_svn
    }

    fn flags(&self) -> u64 {
        self.measurements
            .attributes
            .0
            .first_chunk()
            .map_or(0, |flags| u64::from_le_bytes(*flags))
    }

    /// Whether the host may read and write the enclave's memory.
    pub fn is_debug(&self) -> bool {
        self.flags() & DEBUG != 0
    }

    /// Whether it was initialised; a report of one that was not is no report.
    pub fn is_initialised(&self) -> bool {
        self.flags() & INIT != 0
    }

    /// Whether it can derive the provisioning key, which names the machine.
    pub fn has_provision_key(&self) -> bool {
        self.flags() & PROVISION_KEY != 0
    }

    /// Names of its attributes.
    pub fn attribute_names(&self) -> Vec<&'static str> {
        [
            (INIT, "INIT"),
            (DEBUG, "DEBUG"),
            (MODE64, "MODE64BIT"),
            (PROVISION_KEY, "PROVISION_KEY"),
            (EINITTOKEN_KEY, "EINITTOKEN_KEY"),
            (CET, "CET"),
            (KSS, "KSS"),
            (AEX_NOTIFY, "AEX_NOTIFY"),
        ]
        .into_iter()
        .filter_map(|(bit, name)| (self.flags() & bit != 0).then_some(name))
        .collect()
    }

    /// Attributes that no enclave may have: bits that mean nothing, and the
    /// key with which others are launched.
    pub fn refused_attributes(&self) -> u64 {
        self.flags() & !(INIT | DEBUG | MODE64 | PROVISION_KEY | CET | KSS | AEX_NOTIFY)
    }
}

/// REPORT's body (Intel SDM, volume 3D, table 35-21).
fn body(rest: &mut Cursor<'_>, version: u16) -> Result<Quote, QuoteError> {
    let cpu_svn = rest.array("CPUSVN")?;
    let misc_select = Hex(rest.array("MISCSELECT")?);
    zero(rest.take(12, "body")?, "after MISCSELECT")?;
    let isv_ext_prod_id = Hex(rest.array("ISVEXTPRODID")?);
    let attributes = Hex(rest.array("ATTRIBUTES")?);
    let mrenclave = Hex(rest.array("MRENCLAVE")?);
    zero(rest.take(32, "body")?, "after MRENCLAVE")?;
    let mrsigner = Hex(rest.array("MRSIGNER")?);
    zero(rest.take(32, "body")?, "after MRSIGNER")?;
    let config_id = Hex(rest.array("CONFIGID")?);
    let isv_prod_id = rest.u16("ISVPRODID")?;
    let isv_svn = rest.u16("ISVSVN")?;
    let config_svn = rest.u16("CONFIGSVN")?;
    zero(rest.take(42, "body")?, "after CONFIGSVN")?;
    let isv_family_id = Hex(rest.array("ISVFAMILYID")?);
    let report_data = rest.array("REPORTDATA")?;
    Ok(Quote {
        version,
        cpu_svn,
        measurements: Measurements {
            mrenclave,
            mrsigner,
            isv_prod_id,
            isv_svn,
            attributes,
            misc_select,
            config_id,
            config_svn,
            isv_ext_prod_id,
            isv_family_id,
        },
        report_data,
    })
}

fn zero(bytes: &[u8], what: &'static str) -> Result<(), QuoteError> {
    if bytes.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(QuoteError::Reserved(what))
    }
}

/// Walks the lengths behind the body. Version 3 has the QE's report at once;
/// 4 and 5 have it inside certification data of type 6.
fn signature(all: &mut Cursor<'_>, version: u16) -> Result<(), QuoteError> {
    let mut auth = all.sized_u32("signature data")?;
    auth.take(SIGNATURE_AND_KEY, "signature")?;
    let mut inner = if version == 3 {
        auth
    } else {
        let kind = auth.u16("certification data")?;
        if kind != CERT_QE_REPORT {
            return Err(QuoteError::CertificationData(kind));
        }
        let inner = auth.sized_u32("certification data")?;
        end(&auth, "signature data")?;
        inner
    };
    inner.take(QE_REPORT_AND_SIGNATURE, "QE report")?;
    let auth_data = inner.u16("QE authentication data")?;
    inner.take(usize::from(auth_data), "QE authentication data")?;
    let kind = inner.u16("PCK certificate chain")?;
    if kind != CERT_PCK_CHAIN {
        return Err(QuoteError::CertificationData(kind));
    }
    inner.sized_u32("PCK certificate chain")?;
    end(&inner, "QE report certification data")
}

fn end(rest: &Cursor<'_>, what: &'static str) -> Result<(), QuoteError> {
    if rest.rest().is_empty() {
        Ok(())
    } else {
        Err(QuoteError::Framing(what))
    }
}
