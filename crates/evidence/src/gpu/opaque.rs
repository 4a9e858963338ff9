//! The opaque data of NVIDIA's reports: type, length, value, little endian
//! (NVIDIA Hopper and Blackwell Confidential Computing Attestation Verifier
//! documentation; numbers as in NVIDIA's attestation SDK).

use crate::reader::{Framing, Reader};
use std::collections::BTreeMap;

const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const NVDEC0_STATUS: u16 = 11;
const CHIP_SKU: u16 = 15;
const PROJECT: u16 = 17;
const PROJECT_SKU: u16 = 18;
const FWID: u16 = 20;
const PROTECTED_PCIE_STATUS: u16 = 21;
const FEATURE_FLAG: u16 = 36;

/// NVDEC0 is off, so that its measurement is not made.
const STATUS_DISABLED: u8 = 0x55;
const STATUS_ENABLED: u8 = 0xaa;

/// Why opaque data do not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpaqueError {
    /// Ends inside a field.
    #[error("opaque data: truncated at {0}")]
    Framing(&'static str),
    /// One type twice.
    #[error("opaque data: type {0} twice")]
    Twice(u16),
}

impl From<Framing> for OpaqueError {
    fn from(Framing(field): Framing) -> Self {
        Self::Framing(field)
    }
}

/// How GPUs are given to the machine: with more than one, data also cross the
/// links between them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mode {
    /// Single GPU passed through; links to other GPUs are off.
    Spt,
    /// Several GPUs passed through.
    Mpt,
    /// Protected PCIe: GPUs and the switches between them.
    Ppcie,
}

impl Mode {
    /// The name in policies and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spt => "spt",
            Self::Mpt => "mpt",
            Self::Ppcie => "ppcie",
        }
    }
}

/// Fields by type.
#[derive(Debug, Clone)]
pub struct Opaque<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Opaque<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, OpaqueError> {
        let mut reader = Reader::new(bytes);
        let mut fields = BTreeMap::new();
        while !reader.is_empty() {
            let kind = reader.u16_le("type")?;
            let size = reader.u16_le("size")?;
            let value = reader.take(usize::from(size), "value")?;
            if fields.insert(kind, value).is_some() {
                return Err(OpaqueError::Twice(kind));
            }
        }
        Ok(Self(fields))
    }

    /// The field of that type.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(&kind).copied()
    }

    fn text(&self, kind: u16) -> Option<&'a str> {
        let bytes = self.get(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        let (text, padding) = bytes.split_at_checked(end.unwrap_or(bytes.len()))?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
        if text.is_empty() || !text.iter().all(plain) || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        core::str::from_utf8(text).ok()
    }

    /// Version of the driver, such as `550.90.07`.
    pub fn driver(&self) -> Option<&'a str> {
        self.text(DRIVER_VERSION)
    }

    /// Version of the video BIOS as NVIDIA writes it, such as
    /// `96.00.9F.00.01`: a 32-bit number's bytes and the one after it.
    pub fn vbios(&self) -> Option<String> {
        let bytes: &[u8; 8] = self.get(VBIOS_VERSION)?.try_into().ok()?;
        let [d, c, b, a, e, ..] = bytes;
        Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}"))
    }

    /// Digest of the firmware that holds the attestation key. Old drivers'
    /// reports have none.
    pub fn fwid(&self) -> Option<&'a [u8; 48]> {
        self.get(FWID)?.try_into().ok()
    }

    /// Whether the video decoder 0 is off, so that its measurement is of
    /// nothing.
    pub fn nvdec0_is_off(&self) -> bool {
        self.get(NVDEC0_STATUS) == Some(&[STATUS_DISABLED])
    }

    /// How the GPU is given to the machine; `None` for a value that is not
    /// known. Drivers that do not say it yet had protected PCIe or a single
    /// GPU.
    pub fn mode(&self) -> Option<Mode> {
        match (self.get(FEATURE_FLAG), self.get(PROTECTED_PCIE_STATUS)) {
            (Some([0, 0]), _) => Some(Mode::Spt),
            (Some([1, 0]), _) => Some(Mode::Mpt),
            (Some([2, 0]), _) => Some(Mode::Ppcie),
            (None, None | Some([STATUS_DISABLED])) => Some(Mode::Spt),
            (None, Some([STATUS_ENABLED])) => Some(Mode::Ppcie),
            _ => None,
        }
    }

    /// Name of the video BIOS's RIM in NVIDIA's RIM service.
    pub fn vbios_rim(&self) -> Option<String> {
        let vbios = self.vbios()?.replace('.', "");
        let part = |kind| self.text(kind).map(str::to_ascii_uppercase);
        let (project, sku, chip) = (part(PROJECT)?, part(PROJECT_SKU)?, part(CHIP_SKU)?);
        Some(format!("NV_GPU_VBIOS_{project}_{sku}_{chip}_{vbios}"))
    }

    /// Name of the driver's RIM in NVIDIA's RIM service, for a chip such as
    /// `GH100`.
    pub fn driver_rim(&self, chip: &str) -> Option<String> {
        let driver = self.driver()?;
        let cc = if chip == "GH100" { "" } else { "CC_" };
        Some(format!("NV_GPU_{cc}DRIVER_{chip}_{driver}"))
    }
}
