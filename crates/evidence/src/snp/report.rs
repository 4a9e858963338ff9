//! An attestation report (SEV-SNP Firmware ABI, AMD 56860,
//! `ATTESTATION_REPORT`), of versions 2 to 5. Reading one says nothing about
//! who made it.
//!
//! A report is read only in its one form: its length is exact and reserved
//! bytes are zero, those that no signature covers too.

use super::product::{FirmwareVersion, Product, Tcb};
use crate::bytes::Hex;
use serde::{Deserialize, Serialize};

/// Bytes of a report.
pub const REPORT_SIZE: usize = 0x4a0;
/// Bytes that the signature covers, from the first.
pub(super) const SIGNED: usize = 0x2a0;
/// Bytes of each of a signature's two numbers, of which the curve uses 48.
const NUMBER: usize = 72;
const ECDSA_P384_SHA384: u32 = 1;

/// Why bytes are not a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Another length than [`REPORT_SIZE`].
    #[error("{0} bytes; a report has {REPORT_SIZE}")]
    Length(usize),
    /// A version that is not understood.
    #[error("report of version {0}; 2 to 5 are understood")]
    Version(u32),
    /// Another signature algorithm than ECDSA on P-384 with SHA-384.
    #[error("signature algorithm {0}; 1 is understood")]
    Algorithm(u32),
    /// Bytes that the format reserves are not what they must be.
    #[error("reserved bits in {0} are set")]
    Reserved(&'static str),
    /// The guest's policy lacks the bit that every policy has.
    #[error("the guest policy lacks its bit 17")]
    GuestPolicy,
    /// A privilege level that there is not.
    #[error("VMPL {0}; there are 0 to 3")]
    Vmpl(u32),
    /// A processor that is not understood.
    #[error("processor of family {0:#x}, model {1:#x}")]
    Processor(u8, u8),
    /// The host had the firmware sign nothing.
    #[error("it is not signed: the host set MASK_CHIP_KEY, or chose no key")]
    Unsigned,
}

/// The guest's policy: what the host may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    const RESERVED_ONE: u64 = 1 << 17;
    const KNOWN: u64 = (1 << 26) - 1;

    /// Two threads of a core may run, of which the other is not the guest's.
    pub const fn smt(self) -> bool {
        self.bit(16)
    }

    /// A migration agent may move it to other machines.
    pub const fn migration_agent(self) -> bool {
        self.bit(18)
    }

    /// The host may read its memory.
    pub const fn debug(self) -> bool {
        self.bit(19)
    }

    /// It runs on one socket only.
    pub const fn single_socket(self) -> bool {
        self.bit(20)
    }

    /// Devices and memory on CXL may be there.
    pub const fn cxl(self) -> bool {
        self.bit(21)
    }

    /// Memory must be encrypted by AES-256 in XTS.
    pub const fn aes_256_xts(self) -> bool {
        self.bit(22)
    }

    /// The running average power limit must be off.
    pub const fn rapl_disabled(self) -> bool {
        self.bit(23)
    }

    /// The host must not see ciphertext.
    pub const fn ciphertext_hiding(self) -> bool {
        self.bit(24)
    }

    /// The host cannot move or swap its pages.
    pub const fn page_swap_disabled(self) -> bool {
        self.bit(25)
    }

    const fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl core::fmt::Display for GuestPolicy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for GuestPolicy {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GuestPolicy {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected hex digits after 0x"))
    }
}

/// The machine's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlatformInfo(pub u64);

impl PlatformInfo {
    const KNOWN: u64 = 0b1011_1111;

    /// Two threads of a core run.
    pub const fn smt(self) -> bool {
        self.bit(0)
    }

    /// All memory is encrypted.
    pub const fn tsme(self) -> bool {
        self.bit(1)
    }

    /// Memory corrects errors.
    pub const fn ecc(self) -> bool {
        self.bit(2)
    }

    /// The running average power limit is off.
    pub const fn rapl_disabled(self) -> bool {
        self.bit(3)
    }

    /// The host does not see ciphertext.
    pub const fn ciphertext_hiding(self) -> bool {
        self.bit(4)
    }

    /// No two addresses were found to be of one cell, since the last reset.
    pub const fn alias_check(self) -> bool {
        self.bit(5)
    }

    /// Devices may be part of a guest.
    pub const fn tio(self) -> bool {
        self.bit(7)
    }

    /// Bits that are not understood.
    pub const fn unknown(self) -> u64 {
        self.0 & !Self::KNOWN
    }

    const fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

/// Which key signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signer {
    /// Versioned Chip Endorsement Key: the chip's own.
    Vcek,
    /// Versioned Loaded Endorsement Key: one that a cloud provider shares
    /// among its machines.
    Vlek,
}

impl Signer {
    /// AMD's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }
}

/// A report that was read, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    bytes: [u8; REPORT_SIZE],
    version: u32,
    policy: GuestPolicy,
    vmpl: u8,
    signer: Signer,
    product: Option<Product>,
}

impl Report {
    /// Reads one.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let bytes: [u8; REPORT_SIZE] = bytes
            .try_into()
            .map_err(|_| ReportError::Length(bytes.len()))?;
        let version = u32::from_le_bytes(field(&bytes, 0));
        if !(2..=5).contains(&version) {
            return Err(ReportError::Version(version));
        }
        let algorithm = u32::from_le_bytes(field(&bytes, 0x34));
        if algorithm != ECDSA_P384_SHA384 {
            return Err(ReportError::Algorithm(algorithm));
        }
        reserved(&bytes, version)?;
        let policy = GuestPolicy(u64::from_le_bytes(field(&bytes, 0x08)));
        if policy.0 & GuestPolicy::RESERVED_ONE == 0 {
            return Err(ReportError::GuestPolicy);
        }
        if policy.0 & !GuestPolicy::KNOWN != 0 {
            return Err(ReportError::Reserved("the guest policy"));
        }
        let vmpl = match u32::from_le_bytes(field(&bytes, 0x30)) {
            level @ 0..=3 => level as u8,
            level => return Err(ReportError::Vmpl(level)),
        };
        let product = match version {
            2 => None,
            _ => {
                let [family, model] = field(&bytes, 0x188);
                let product = Product::of_cpu(family, model);
                Some(product.ok_or(ReportError::Processor(family, model))?)
            }
        };
        Ok(Self {
            version,
            policy,
            vmpl,
            signer: signer(u32::from_le_bytes(field(&bytes, 0x48)))?,
            product,
            bytes,
        })
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The guest's own version number, set by its owner at launch.
    pub fn guest_svn(&self) -> u32 {
        u32::from_le_bytes(field(&self.bytes, 0x04))
    }

    /// The guest's policy.
    pub fn policy(&self) -> GuestPolicy {
        self.policy
    }

    /// Set by the owner at launch.
    pub fn family_id(&self) -> [u8; 16] {
        field(&self.bytes, 0x10)
    }

    /// Set by the owner at launch.
    pub fn image_id(&self) -> [u8; 16] {
        field(&self.bytes, 0x20)
    }

    /// Privilege level at which the report was asked for: 0 is the highest.
    pub fn vmpl(&self) -> u8 {
        self.vmpl
    }

    /// The machine's settings.
    pub fn platform_info(&self) -> PlatformInfo {
        PlatformInfo(u64::from_le_bytes(field(&self.bytes, 0x40)))
    }

    /// Which key signed it.
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// Whether a digest of the author's key is in it.
    pub fn has_author_key(&self) -> bool {
        self.bytes.get(0x48).is_some_and(|byte| byte & 1 == 1)
    }

    /// What the guest had put into it.
    pub fn report_data(&self) -> &[u8; 64] {
        window(&self.bytes, 0x50)
    }

    /// Digest of what the guest was launched from.
    pub fn measurement(&self) -> [u8; 48] {
        field(&self.bytes, 0x90)
    }

    /// Set by the host at launch.
    pub fn host_data(&self) -> [u8; 32] {
        field(&self.bytes, 0xc0)
    }

    /// SHA-384 of the key that signed the ID block, zero if there was none.
    pub fn id_key_digest(&self) -> [u8; 48] {
        field(&self.bytes, 0xe0)
    }

    /// SHA-384 of the key that certified the ID key, zero if there was none.
    pub fn author_key_digest(&self) -> [u8; 48] {
        field(&self.bytes, 0x110)
    }

    /// The guest, by a number that is drawn at launch.
    pub fn report_id(&self) -> [u8; 32] {
        field(&self.bytes, 0x140)
    }

    /// The migration agent's report id; all ones if there is none.
    pub fn report_id_ma(&self) -> [u8; 32] {
        field(&self.bytes, 0x160)
    }

    /// The product, which a report of version 2 does not name.
    pub fn product(&self) -> Option<Product> {
        self.product
    }

    /// Family, model and stepping, from version 3 on.
    pub fn cpu(&self) -> Option<[u8; 3]> {
        self.product.map(|_| field(&self.bytes, 0x188))
    }

    /// The chip; zero if the host masks it. Turin's have 8 bytes, and zeros.
    pub fn chip_id(&self) -> &[u8; 64] {
        window(&self.bytes, 0x1a0)
    }

    /// The firmware that runs.
    pub fn current_tcb(&self, product: Product) -> Tcb {
        Tcb::read(field(&self.bytes, 0x38), product)
    }

    /// The firmware that the signing key is derived from.
    pub fn reported_tcb(&self, product: Product) -> Tcb {
        Tcb::read(field(&self.bytes, 0x180), product)
    }

    /// The same as it stands in the report, whose product may be unknown.
    pub fn reported_tcb_bytes(&self) -> [u8; 8] {
        field(&self.bytes, 0x180)
    }

    /// The firmware below which the machine cannot go back.
    pub fn committed_tcb(&self, product: Product) -> Tcb {
        Tcb::read(field(&self.bytes, 0x1e0), product)
    }

    /// The firmware that ran when the guest was launched.
    pub fn launch_tcb(&self, product: Product) -> Tcb {
        Tcb::read(field(&self.bytes, 0x1f0), product)
    }

    /// Version of the firmware that runs.
    pub fn current_version(&self) -> FirmwareVersion {
        self.firmware(0x1e8)
    }

    /// Version of the firmware below which the machine cannot go back.
    pub fn committed_version(&self) -> FirmwareVersion {
        self.firmware(0x1ec)
    }

    /// Mitigations that were verified at launch and are now, from version 4 on.
    pub fn mitigations(&self) -> Option<(u64, u64)> {
        (self.version >= 4).then(|| {
            (
                u64::from_le_bytes(field(&self.bytes, 0x1f8)),
                u64::from_le_bytes(field(&self.bytes, 0x200)),
            )
        })
    }

    /// What the signature covers.
    pub fn signed(&self) -> &[u8] {
        self.bytes.get(..SIGNED).unwrap_or_default()
    }

    /// r ‖ s, big endian.
    pub fn signature(&self) -> [u8; 96] {
        let mut out = [0; 96];
        let (r, s) = out.split_at_mut(48);
        for (number, at) in [(r, SIGNED), (s, SIGNED + NUMBER)] {
            let little: [u8; 48] = field(&self.bytes, at);
            for (to, from) in number.iter_mut().zip(little.iter().rev()) {
                *to = *from;
            }
        }
        out
    }

    fn firmware(&self, at: usize) -> FirmwareVersion {
        let [build, minor, major] = field(&self.bytes, at);
        FirmwareVersion {
            major,
            minor,
            build,
        }
    }
}

impl core::fmt::Debug for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Report(version {}, {})",
            self.version,
            Hex(self.measurement())
        )
    }
}

/// `N` bytes at an offset that is known to lie inside.
fn window<const N: usize>(bytes: &[u8; REPORT_SIZE], at: usize) -> &[u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .unwrap_or(&[0; N])
}

fn field<const N: usize>(bytes: &[u8; REPORT_SIZE], at: usize) -> [u8; N] {
    *window(bytes, at)
}

fn reserved(bytes: &[u8; REPORT_SIZE], version: u32) -> Result<(), ReportError> {
    let cpuid = if version == 2 { 0x188 } else { 0x18b };
    let mitigations = if version < 4 { 0x1f8 } else { 0x208 };
    let ranges = [
        (0x4c, 0x50, "bytes 0x4c to 0x50"),
        (cpuid, 0x1a0, "bytes up to 0x1a0"),
        (0x1eb, 0x1ec, "byte 0x1eb"),
        (0x1ef, 0x1f0, "byte 0x1ef"),
        (mitigations, SIGNED, "bytes up to 0x2a0"),
        // No signature covers these.
        (SIGNED + 48, SIGNED + NUMBER, "the signature's r"),
        (
            SIGNED + NUMBER + 48,
            SIGNED + 2 * NUMBER,
            "the signature's s",
        ),
        (
            SIGNED + 2 * NUMBER,
            REPORT_SIZE,
            "the bytes after the signature",
        ),
    ];
    for (from, until, what) in ranges {
        if bytes
            .get(from..until)
            .is_none_or(|range| range.iter().any(|byte| *byte != 0))
        {
            return Err(ReportError::Reserved(what));
        }
    }
    Ok(())
}

/// `KEY_INFO`: author key (bit 0), MASK_CHIP_KEY (1), signing key (4:2).
fn signer(info: u32) -> Result<Signer, ReportError> {
    if info >> 5 != 0 {
        return Err(ReportError::Reserved("the key information"));
    }
    // MASK_CHIP_KEY keeps the firmware from using the chip's own key: it then
    // writes zeros instead of a signature.
    let masked = info & 2 != 0;
    match info >> 2 {
        0 if masked => Err(ReportError::Unsigned),
        0 => Ok(Signer::Vcek),
        1 => Ok(Signer::Vlek),
        7 => Err(ReportError::Unsigned),
        _ => Err(ReportError::Reserved("the signing key")),
    }
}
