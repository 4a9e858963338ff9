//! What a software GPU signs.

use crate::x509::Key;
use sha2::{Digest as _, Sha384};

/// A GPU to be made. Its default is sound.
#[derive(Clone)]
pub struct Profile {
    /// Of its keys.
    pub seed: String,
    /// In the leaf's device info.
    pub maker: String,
    /// The chip: `GH100` or `GB100`.
    pub chip: String,
    /// The chip that its provisioner is for.
    pub provisioned: String,
    /// The chip's serial number.
    pub serial: String,
    /// The leaf certificate's serial number, below 2^128.
    pub leaf_serial: Vec<u8>,
    /// Another key than the seed's for the leaf.
    pub leaf_key: Option<Key>,
    /// The driver's version.
    pub driver: String,
    /// The video BIOS's version as the report has it.
    pub vbios: [u8; 8],
    /// 0 single, 1 several, 2 protected PCIe; none for old drivers.
    pub feature: Option<u16>,
    /// Status of the video decoder 0: 0xaa on, 0x55 off.
    pub nvdec0: u8,
    /// FWID in the report, if there is one.
    pub fwid: Option<[u8; 48]>,
    /// FWID in the leaf.
    pub certified_fwid: [u8; 48],
    /// Whether the leaf says that its firmware is debuggable (not Hopper's).
    pub debug: bool,
    /// Measurements, for blocks 1 and up.
    pub measurements: Vec<[u8; 48]>,
    /// Whether the provisioner's certificate has run out.
    pub provisioner_expired: bool,
    /// Whether the manifest signer's certificate has run out.
    pub signer_expired: bool,
}

impl Default for Profile {
    fn default() -> Self {
        let measurement = |index: u8| Sha384::digest([index]).into();
        let fwid = Sha384::digest("firmware").into();
        Self {
            seed: "sound".into(),
            maker: "NVIDIA".into(),
            chip: "GH100".into(),
            provisioned: "GH100".into(),
            serial: "48B02D9249000001".into(),
            leaf_serial: vec![0x53, 0xc2, 0x2b, 0xa1, 0x5e],
            leaf_key: None,
            driver: "570.124.06".into(),
            vbios: [0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0],
            feature: Some(0),
            nvdec0: 0xaa,
            fwid: Some(fwid),
            certified_fwid: fwid,
            debug: false,
            measurements: (0..64).map(measurement).collect(),
            provisioner_expired: false,
            signer_expired: false,
        }
    }
}

impl Profile {
    /// A Blackwell GPU.
    pub fn blackwell() -> Self {
        Self {
            seed: "blackwell".into(),
            chip: "GB100".into(),
            provisioned: "GB100".into(),
            serial: "48B02DD4C0000002".into(),
            ..Self::default()
        }
    }

    /// The video BIOS's version as people write it.
    pub fn vbios(&self) -> String {
        let [d, c, b, a, e, ..] = self.vbios;
        format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")
    }

    /// Names of its manifests at NVIDIA's service: the driver's and the video
    /// BIOS's.
    pub fn manifest_ids(&self) -> [String; 2] {
        let cc = if self.chip == "GH100" { "" } else { "CC_" };
        [
            format!("NV_GPU_{cc}DRIVER_{}_{}", self.chip, self.driver),
            format!(
                "NV_GPU_VBIOS_1010_0200_882_{}",
                self.vbios().replace('.', "")
            ),
        ]
    }

    /// Request and response, up to the signature.
    pub fn unsigned(&self, nonce: &[u8; 32]) -> Vec<u8> {
        let mut record = Vec::new();
        for (index, measurement) in (1u8..).zip(&self.measurements) {
            record.extend([index, 1, 51, 0, 1, 48, 0]);
            record.extend(measurement);
        }
        let opaque = self.opaque();
        let length = record.len().to_le_bytes();
        [
            &[0x11, 0xe0, 0x01, 0xff][..],
            nonce,
            &[0], // slot
            &[0x11, 0x60, 0, 0],
            &[u8::try_from(self.measurements.len()).unwrap_or_default()],
            length.get(..3).unwrap_or_default(),
            &record,
            &[0x77; 32],
            opaque.len().to_le_bytes().get(..2).unwrap_or_default(),
            &opaque,
        ]
        .concat()
    }

    fn opaque(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut field = |kind: u16, value: &[u8]| {
            out.extend(kind.to_le_bytes());
            out.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
            out.extend(value);
        };
        field(6, &self.vbios);
        field(15, b"882\0\0\0\0\0\0");
        field(17, b"1010\0");
        field(18, b"0200\0");
        field(3, &[self.driver.as_bytes(), &[0]].concat());
        field(11, &[self.nvdec0]);
        if let Some(fwid) = &self.fwid {
            field(20, fwid);
        }
        if let Some(feature) = self.feature {
            field(36, &feature.to_le_bytes());
        }
        out
    }
}
