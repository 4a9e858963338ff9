//! The launch measurement of an SEV-SNP guest (SEV-SNP Firmware ABI, AMD
//! 56860, `PAGE_INFO` and *Launch digest*), from its firmware image and what
//! the virtual machine monitor adds: pages that the image's metadata names,
//! hashes of kernel, initrd and command line, and the processors' first states.

use super::vmsa;
pub use super::vmsa::Monitor;
use crate::bytes::Hex;
use sha2::{Digest as _, Sha256, Sha384};

/// Bytes of a firmware image at most.
pub const MAX_FIRMWARE: usize = 64 * 1024 * 1024;
/// Processors at most.
pub const MAX_VCPUS: u32 = 4096;
const PAGE: usize = 4096;
const FOUR_GIB: u64 = 1 << 32;
/// Where a page that holds a processor's state lies, by definition.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;
/// Bytes that the image's metadata may name for zeroed pages, in all.
const MAX_ZEROED: u64 = 256 * 1024 * 1024;
const MAX_METADATA: u32 = 64;

// GUIDs as they lie in memory.
const FOOTER: [u8; 16] = guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);
const HASH_TABLE: [u8; 16] = guid(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);
const RESET_BLOCK: [u8; 16] = guid(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);
const METADATA: [u8; 16] = guid(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);
const HASHES: [u8; 16] = guid(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
const KERNEL: [u8; 16] = guid(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);
const INITRD: [u8; 16] = guid(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
const COMMAND_LINE: [u8; 16] = guid(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);

/// Why nothing can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Not of whole pages, empty, or too long.
    #[error("firmware of {0} bytes: it has whole pages of 4 KiB, at most {MAX_FIRMWARE} bytes")]
    FirmwareSize(usize),
    /// The table at the image's end is not there or does not fit.
    #[error("the firmware is not one for SEV-SNP: {0}")]
    Firmware(&'static str),
    /// A section that is not understood.
    #[error("the firmware's metadata has a section of type {0:#x}")]
    Section(u32),
    /// A kernel, and firmware that has no place for its hashes.
    #[error("the firmware does not measure a kernel")]
    NoKernelHashes,
    /// None, or more than [`MAX_VCPUS`].
    #[error("{0} processors; there are 1 to {MAX_VCPUS}")]
    Processors(u32),
}

type Result<T> = core::result::Result<T, LaunchError>;

/// What a guest is launched from.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The firmware's image (OVMF), whole.
    pub firmware: &'a [u8],
    /// What the monitor loads directly, if the firmware does not boot from a
    /// disk.
    pub kernel: Option<Kernel>,
    /// How many processors there are.
    pub vcpus: u32,
    /// CPUID Fn0000_0001 EAX of the processor that the guest is shown: see
    /// [`cpu_signature`].
    pub cpu: u32,
    /// `SEV_FEATURES` of the guest: bit 0 is SEV-SNP itself.
    pub features: u64,
    /// Which monitor.
    pub monitor: Monitor,
}

/// SHA-256 of what the monitor loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    kernel: [u8; 32],
    initrd: [u8; 32],
    command_line: [u8; 32],
}

impl Kernel {
    /// Of the files' bytes (no initrd is an empty one) and the command line,
    /// of which the hash covers a zero at its end.
    pub fn new(kernel: &[u8], initrd: &[u8], command_line: &str) -> Self {
        let line = [command_line.trim().as_bytes(), &[0]].concat();
        Self {
            kernel: Sha256::digest(kernel).into(),
            initrd: Sha256::digest(initrd).into(),
            command_line: Sha256::digest(line).into(),
        }
    }
}

/// CPUID Fn0000_0001 EAX for family, model and stepping.
pub const fn cpu_signature(family: u8, model: u8, stepping: u8) -> u32 {
    let (low, high) = if family > 0x0f {
        (0x0f, family - 0x0f)
    } else {
        (family, 0)
    };
    (high as u32) << 20
        | ((model >> 4) as u32) << 16
        | (low as u32) << 8
        | ((model & 0x0f) as u32) << 4
        | (stepping & 0x0f) as u32
}

/// Processors by the names that QEMU has for them.
pub const CPUS: &[(&str, u32)] = &[
    ("EPYC", cpu_signature(23, 1, 2)),
    ("EPYC-Rome", cpu_signature(23, 49, 0)),
    ("EPYC-Milan", cpu_signature(25, 1, 1)),
    ("EPYC-Genoa", cpu_signature(25, 17, 0)),
    ("EPYC-Turin", cpu_signature(26, 0, 0)),
];

/// Computes what a report's `measurement` will be.
///
/// # Errors
/// [`LaunchError`].
pub fn measurement(launch: &Launch<'_>) -> Result<Hex<48>> {
    if launch.vcpus == 0 || launch.vcpus > MAX_VCPUS {
        return Err(LaunchError::Processors(launch.vcpus));
    }
    let firmware = Firmware::parse(launch.firmware)?;
    let mut digest = LaunchDigest::default();
    let base = FOUR_GIB - launch.firmware.len() as u64;
    for (address, page) in (base..).step_by(PAGE).zip(launch.firmware.chunks(PAGE)) {
        digest.page(PageType::Normal, address, Sha384::digest(page).into());
    }
    metadata(&mut digest, &firmware, launch)?;
    let first = vmsa::page(vmsa::RESET_VECTOR, launch);
    digest.page(PageType::Vmsa, VMSA_ADDRESS, Sha384::digest(first).into());
    if launch.vcpus > 1 {
        let entry = firmware
            .reset_address
            .ok_or(LaunchError::Firmware("no entry for further processors"))?;
        let page: [u8; 48] = Sha384::digest(vmsa::page(entry, launch)).into();
        for _ in 1..launch.vcpus {
            digest.page(PageType::Vmsa, VMSA_ADDRESS, page);
        }
    }
    Ok(Hex(digest.0))
}

fn metadata(digest: &mut LaunchDigest, firmware: &Firmware<'_>, launch: &Launch<'_>) -> Result<()> {
    let late = launch.monitor == Monitor::Ec2;
    let mut zeroed = 0;
    let mut has_hashes = false;
    let sections = || firmware.sections.chunks_exact(12).map(Section::read);
    for section in sections() {
        let address = u64::from(section.address);
        match section.kind {
            // Memory that the firmware uses first; the service module's area.
            1 if launch.monitor == Monitor::Gce => {
                fill(digest, PageType::Unmeasured, &section, &mut zeroed)?;
            }
            1 | 4 => fill(digest, PageType::Zero, &section, &mut zeroed)?,
            2 => digest.page(PageType::Secrets, address, [0; 48]),
            3 if late => {}
            3 => digest.page(PageType::Cpuid, address, [0; 48]),
            0x10 => {
                has_hashes = true;
                match &launch.kernel {
                    None => fill(digest, PageType::Zero, &section, &mut zeroed)?,
                    Some(kernel) => {
                        let page = firmware.kernel_page(&section, kernel)?;
                        digest.page(PageType::Normal, address, Sha384::digest(page).into());
                    }
                }
            }
            kind => return Err(LaunchError::Section(kind)),
        }
    }
    if late {
        for section in sections().filter(|section| section.kind == 3) {
            digest.page(PageType::Cpuid, u64::from(section.address), [0; 48]);
        }
    }
    match launch.kernel.is_some() && !has_hashes {
        true => Err(LaunchError::NoKernelHashes),
        false => Ok(()),
    }
}

fn fill(
    digest: &mut LaunchDigest,
    kind: PageType,
    section: &Section,
    zeroed: &mut u64,
) -> Result<()> {
    const WHAT: LaunchError = LaunchError::Firmware("a section of its metadata does not fit");
    let len = u64::from(section.len);
    *zeroed += len;
    if !len.is_multiple_of(PAGE as u64) || *zeroed > MAX_ZEROED {
        return Err(WHAT);
    }
    for offset in (0..len).step_by(PAGE) {
        digest.page(kind, u64::from(section.address) + offset, [0; 48]);
    }
    Ok(())
}

/// `PAGE_TYPE` of `SNP_LAUNCH_UPDATE`.
#[derive(Clone, Copy)]
enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Unmeasured = 4,
    Secrets = 5,
    Cpuid = 6,
}

struct LaunchDigest([u8; 48]);

impl Default for LaunchDigest {
    fn default() -> Self {
        Self([0; 48])
    }
}

impl LaunchDigest {
    /// SHA-384 of `PAGE_INFO`: the digest so far, the page's digest, its type
    /// and address.
    fn page(&mut self, kind: PageType, address: u64, contents: [u8; 48]) {
        const PAGE_INFO: u16 = 0x70;
        let mut hasher = Sha384::new();
        hasher.update(self.0);
        hasher.update(contents);
        hasher.update(PAGE_INFO.to_le_bytes());
        // Type; not part of a migration image; no permissions for VMPL 3, 2
        // and 1; reserved.
        hasher.update([kind as u8, 0, 0, 0, 0, 0]);
        hasher.update(address.to_le_bytes());
        self.0 = hasher.finalize().into();
    }
}

/// A section of the metadata: address, length, type.
struct Section {
    address: u32,
    len: u32,
    kind: u32,
}

impl Section {
    fn read(bytes: &[u8]) -> Self {
        Self {
            address: u32::from_le_bytes(at(bytes, 0)),
            len: u32::from_le_bytes(at(bytes, 4)),
            kind: u32::from_le_bytes(at(bytes, 8)),
        }
    }
}

/// What a firmware image says of itself, in the table at its end (edk2,
/// OvmfPkg/ResetVector).
struct Firmware<'a> {
    /// Of 12 bytes each.
    sections: &'a [u8],
    /// Where further processors begin.
    reset_address: Option<u32>,
    /// Where the hashes of the kernel are to lie.
    hash_table: Option<u32>,
}

impl<'a> Firmware<'a> {
    fn parse(image: &'a [u8]) -> Result<Self> {
        const TABLE: LaunchError = LaunchError::Firmware("the table at its end does not fit");
        const ENTRY: usize = 18;
        if image.is_empty() || image.len() > MAX_FIRMWARE || !image.len().is_multiple_of(PAGE) {
            return Err(LaunchError::FirmwareSize(image.len()));
        }
        // The table ends 32 bytes before the image does, and is read backwards.
        let (above, _) = image.split_at_checked(image.len() - 32).ok_or(TABLE)?;
        let (above, footer) = above.split_at_checked(above.len() - ENTRY).ok_or(TABLE)?;
        if at::<16>(footer, 2) != FOOTER {
            return Err(LaunchError::Firmware("no table at its end"));
        }
        let entries = usize::from(u16::from_le_bytes(at(footer, 0)))
            .checked_sub(ENTRY)
            .and_then(|len| above.len().checked_sub(len))
            .ok_or(TABLE)?;
        let mut table = above.get(entries..).unwrap_or_default();
        let mut firmware = Self {
            sections: &[],
            reset_address: None,
            hash_table: None,
        };
        let mut has_metadata = false;
        while let Some(head) = table.len().checked_sub(ENTRY) {
            let head = table.get(head..).unwrap_or_default();
            let len = usize::from(u16::from_le_bytes(at(head, 0)));
            let start = table
                .len()
                .checked_sub(len)
                .filter(|_| len >= ENTRY)
                .ok_or(TABLE)?;
            let data = table.get(start..table.len() - ENTRY).unwrap_or_default();
            let number = || data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            match at::<16>(head, 2) {
                RESET_BLOCK => firmware.reset_address = number(),
                HASH_TABLE => firmware.hash_table = number().filter(|address| *address != 0),
                METADATA => {
                    firmware.sections = sections(image, number().ok_or(TABLE)?)?;
                    has_metadata = true;
                }
                _ => {}
            }
            table = table.get(..start).unwrap_or_default();
        }
        match has_metadata {
            true => Ok(firmware),
            false => Err(LaunchError::Firmware("no metadata for SEV")),
        }
    }

    /// The page that holds the hashes, as QEMU lays it out.
    fn kernel_page(&self, section: &Section, kernel: &Kernel) -> Result<[u8; PAGE]> {
        const WHAT: LaunchError = LaunchError::NoKernelHashes;
        let table = self.hash_table.ok_or(WHAT)?;
        let entry = |guid: &[u8; 16], hash: &[u8; 32]| {
            [guid.as_slice(), &50u16.to_le_bytes(), hash].concat()
        };
        let entries = [
            entry(&COMMAND_LINE, &kernel.command_line),
            entry(&INITRD, &kernel.initrd),
            entry(&KERNEL, &kernel.kernel),
        ]
        .concat();
        let len = u16::try_from(18 + entries.len()).map_err(|_| WHAT)?;
        let bytes = [HASHES.as_slice(), &len.to_le_bytes(), &entries].concat();
        let mut page = [0; PAGE];
        let offset = table as usize % PAGE;
        let into = page.get_mut(offset..offset + bytes.len()).ok_or(WHAT)?;
        into.copy_from_slice(&bytes);
        match section.len as usize == PAGE {
            true => Ok(page),
            false => Err(LaunchError::Firmware("its page for hashes is not one page")),
        }
    }
}

/// The metadata's sections, which lie as many bytes before the image's end as
/// the table says: `ASEV`, length, version 1, count; 12 bytes for each.
fn sections(image: &[u8], from_end: u32) -> Result<&[u8]> {
    const WHAT: LaunchError = LaunchError::Firmware("its metadata does not fit");
    let start = image.len().checked_sub(from_end as usize).ok_or(WHAT)?;
    let (header, rest) = image
        .get(start..)
        .and_then(|rest| rest.split_first_chunk::<16>())
        .ok_or(WHAT)?;
    let number = |offset| u32::from_le_bytes(at(header, offset));
    let (len, version, count) = (number(4), number(8), number(12));
    if !header.starts_with(b"ASEV") || version != 1 || count > MAX_METADATA {
        return Err(WHAT);
    }
    if len != 16 + 12 * count {
        return Err(WHAT);
    }
    rest.get(..12 * count as usize).ok_or(WHAT)
}

/// A GUID's bytes: the first three numbers little endian, the rest big.
const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let [a0, a1, a2, a3] = a.to_le_bytes();
    let [b0, b1] = b.to_le_bytes();
    let [c0, c1] = c.to_le_bytes();
    let [d0, d1, d2, d3, d4, d5, d6, d7] = d.to_be_bytes();
    [
        a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7,
    ]
}

/// `N` bytes at an offset; zeros where there are none.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_testkit::snp::firmware;

    fn launch(firmware: &[u8]) -> Launch<'_> {
        Launch {
            firmware,
            kernel: None,
            vcpus: 1,
            cpu: cpu_signature(25, 1, 1),
            features: 1,
            monitor: Monitor::Qemu,
        }
    }

    /// Computed by virtee's sev-snp-measure 0.0.12 from the same image.
    #[test]
    fn measurements_are_those_of_another_implementation() {
        let (whole, plain) = (firmware(true), firmware(false));
        let with_initrd = Kernel::new(b"kernel", b"initrd", "console=ttyS0");
        let all = [
            (
                launch(&whole),
                "947b8d818f83e283924a8f14ca6a9e5db1b81910352fe52a1868f0b789aabe7f54498e9eafcef26aed9400ba337522d5",
            ),
            (
                Launch {
                    kernel: Some(with_initrd),
                    vcpus: 4,
                    cpu: cpu_signature(25, 17, 0),
                    features: 0x21,
                    ..launch(&whole)
                },
                "92bb2219003faad58b43acc2e9afa2ee3d225229f52ddd930218994f06196405526e7aafc399db7b25dd677a98097b99",
            ),
            (
                Launch {
                    kernel: Some(Kernel::new(b"kernel", b"", "")),
                    vcpus: 2,
                    cpu: cpu_signature(23, 1, 2),
                    ..launch(&whole)
                },
                "e70ec77da2a4d124b23de53c06292bef2ffe63b9ffa301140fe461dcab6e793c0d768e0c05d2992b9a5f7cdff446a8cd",
            ),
            (
                Launch {
                    vcpus: 2,
                    monitor: Monitor::Ec2,
                    ..launch(&whole)
                },
                "a3c1da170b3189b2ac3a4e9d0210435d6877d34d2479811165257bb0371bebb4cd075fbaa255cd01edd9438de22f3187",
            ),
            (
                Launch {
                    vcpus: 2,
                    monitor: Monitor::Gce,
                    ..launch(&whole)
                },
                "6d0e4aba9e7c39481bbe5f46ab0ee8456982cacec6734d880c240fca8c387ea69ce00818f4809a5a13eb01c20e798f41",
            ),
            (
                Launch {
                    cpu: cpu_signature(26, 0, 0),
                    ..launch(&plain)
                },
                "4a94a042d017a450ea857972fc3deab46edd27aa88ca29ba43d000512ab7644b7c24d63a2567b4901608ac5636735d07",
            ),
        ];
        for (launch, expected) in all {
            assert_eq!(measurement(&launch).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let (whole, plain) = (firmware(true), firmware(false));
        let kernel = Some(Kernel::new(b"", b"", ""));
        let of = |launch: Launch<'_>| measurement(&launch).unwrap_err();
        assert_eq!(
            of(Launch {
                kernel,
                ..launch(&plain)
            }),
            LaunchError::NoKernelHashes
        );
        for vcpus in [0, MAX_VCPUS + 1] {
            let wrong = Launch {
                vcpus,
                ..launch(&whole)
            };
            assert_eq!(of(wrong), LaunchError::Processors(vcpus));
        }
        assert_eq!(of(launch(&[])), LaunchError::FirmwareSize(0));
        assert_eq!(
            of(launch(&whole[1..])),
            LaunchError::FirmwareSize(3 * PAGE - 1)
        );
        assert!(matches!(of(launch(&[0; PAGE])), LaunchError::Firmware(_)));
        // Every byte of table and metadata changed: another value, or refused.
        let sound = measurement(&launch(&whole));
        for at in (PAGE..PAGE + 80).chain(3 * PAGE - 32 - 110..3 * PAGE) {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                if changed[at] != value {
                    changed[at] = value;
                    assert_ne!(measurement(&launch(&changed)), sound, "byte {at}");
                }
            }
        }
    }
}
