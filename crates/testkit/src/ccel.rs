//! Makes CC event logs (TCG PC Client Platform Firmware Profile, crypto-agile
//! log) as firmware and boot loaders write them, true or not.

use sha2::{Digest as _, Sha384};

/// Event types that logs are made of.
pub mod kind {
    /// Extends nothing.
    pub const NO_ACTION: u32 = 3;
    /// Four bytes between two phases.
    pub const SEPARATOR: u32 = 4;
    /// A loader's own.
    pub const IPL: u32 = 0xd;
    /// A variable that decides what boots.
    pub const VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
    /// A program.
    pub const BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
    /// A text.
    pub const ACTION: u32 = 0x8000_0007;
}

const SHA384: u16 = 0xc;
/// EFI_GLOBAL_VARIABLE.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];
/// EFI_IMAGE_SECURITY_DATABASE_GUID.
const DATABASE: [u8; 16] = [
    0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f,
];

/// A log that grows by events, and the registers that they extend.
#[derive(Debug, Clone)]
pub struct LogBuilder {
    bytes: Vec<u8>,
    registers: [[u8; 48]; 4],
}

impl Default for LogBuilder {
    fn default() -> Self {
        let mut id = b"Spec ID Event03\0".to_vec();
        id.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        id.extend(1_u32.to_le_bytes());
        id.extend(SHA384.to_le_bytes());
        id.extend(48_u16.to_le_bytes());
        id.push(0);
        let mut bytes = 1_u32.to_le_bytes().to_vec();
        bytes.extend(kind::NO_ACTION.to_le_bytes());
        bytes.extend([0; 20]);
        bytes.extend((id.len() as u32).to_le_bytes());
        bytes.extend(id);
        Self {
            bytes,
            registers: [[0; 48]; 4],
        }
    }
}

impl LogBuilder {
    /// A log with nothing but its header.
    pub fn new() -> Self {
        Self::default()
    }

    /// A guest that booted with secure boot on: its variables, one boot
    /// loader, the kernel's command line.
    pub fn booted() -> Self {
        Self::new()
            .variable("SecureBoot", &[1])
            .variable("PK", b"platform key")
            .variable("KEK", b"key exchange key")
            .variable("db", b"signatures")
            .variable("dbx", b"revocations")
            .measured(0, kind::SEPARATOR, &[0; 4])
            .measured(1, kind::ACTION, b"Calling EFI Application from Boot Option")
            .measured(1, kind::SEPARATOR, &[0; 4])
            .event(1, kind::BOOT_SERVICES_APPLICATION, b"boot loader", &[0; 32])
            .event(2, kind::IPL, b"set root=hd0", b"grub_cmd: set root=hd0\0")
            .event(2, kind::IPL, b"kernel", b"/boot/vmlinuz\0")
            .event(
                2,
                kind::IPL,
                b"/boot/vmlinuz quiet",
                b"kernel_cmdline: /boot/vmlinuz quiet\0",
            )
            .measured(1, kind::ACTION, b"Exit Boot Services Invocation")
    }

    /// An event: `measured` is hashed into an RTMR, and the log says `data`.
    #[must_use]
    pub fn event(mut self, rtmr: u8, kind: u32, measured: &[u8], data: &[u8]) -> Self {
        let digest = Sha384::digest(measured);
        self.bytes.extend((u32::from(rtmr) + 1).to_le_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(1_u32.to_le_bytes());
        self.bytes.extend(SHA384.to_le_bytes());
        self.bytes.extend(digest);
        self.bytes.extend((data.len() as u32).to_le_bytes());
        self.bytes.extend(data);
        if let Some(register) = self.registers.get_mut(usize::from(rtmr)) {
            *register = Sha384::new()
                .chain_update(*register)
                .chain_update(digest)
                .finalize()
                .into();
        }
        self
    }

    /// An event whose data is what is measured.
    #[must_use]
    pub fn measured(self, rtmr: u8, kind: u32, data: &[u8]) -> Self {
        self.event(rtmr, kind, data, data)
    }

    /// One of secure boot's variables, in RTMR0.
    #[must_use]
    pub fn variable(self, name: &str, value: &[u8]) -> Self {
        let data = variable(name, value);
        self.measured(0, kind::VARIABLE_DRIVER_CONFIG, &data)
    }

    /// The log, as firmware's buffer holds it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.extend([0xff; 64]);
        bytes
    }

    /// RTMR0 to RTMR3 after its events.
    pub fn registers(&self) -> [[u8; 48]; 4] {
        self.registers
    }
}

/// UEFI_VARIABLE_DATA of one of secure boot's variables.
pub fn variable(name: &str, value: &[u8]) -> Vec<u8> {
    let vendor = match name {
        "db" | "dbx" => DATABASE,
        _ => GLOBAL,
    };
    let name: Vec<u16> = name.encode_utf16().collect();
    let mut data = vendor.to_vec();
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((value.len() as u64).to_le_bytes());
    data.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    data.extend(value);
    data
}
