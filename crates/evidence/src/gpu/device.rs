//! Which GPU signed: the chain from the leaf, whose key its firmware holds, to
//! NVIDIA's device root, which is compiled in.
//!
//! Five certificates (NVIDIA Hopper Confidential Computing Attestation
//! Verifier): leaf, the chip's own, its provisioner, the chip family's
//! identity authority, the root. The leaf names its maker, chip and serial
//! number (DMTF device info, DSP0274 1.1.0, 10.7.2), and the firmware that
//! holds its key.

use super::dice;
use crate::{
    reason::Reason,
    refusal::{Refusal, Root},
    x509::{Algorithm, Anchor, Certificate, Rules, read_pem, verify_chain},
};
use der::{
    Decode as _,
    asn1::{AnyRef, ObjectIdentifier},
};
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};

/// SHA-384 of the public key, an uncompressed point, of "NVIDIA Device Identity CA".
pub(crate) const NVIDIA_DEVICE_ROOT_KEY: [u8; 48] = [
    0xca, 0xf2, 0x99, 0x5c, 0x60, 0x9f, 0x0c, 0x5f, 0x44, 0x33, 0x08, 0xd6, 0xc9, 0xb5, 0xca, 0x90,
    0x13, 0x8c, 0x3a, 0xde, 0xe0, 0xf0, 0xc7, 0x07, 0x6c, 0xec, 0x3f, 0xed, 0x65, 0xc1, 0xb6, 0xc2,
    0xc7, 0xb7, 0xdc, 0x84, 0x25, 0x84, 0x3e, 0x79, 0x9a, 0xf7, 0xb0, 0x7d, 0xcb, 0xae, 0xba, 0x52,
];
/// Certificates of a GPU's chain, no more and no fewer.
pub const CHAIN: usize = 5;
/// What they are signed with.
pub(super) const ALGORITHMS: &[Algorithm] = &[Algorithm::EcdsaP384Sha384];

const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-DMTF-device-info.
const DEVICE_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.412.274.1");
const COMPOSITE_DEVICE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1");
const DICE_TCB_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.1.1");

/// Architectures that are understood.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// H100, H200, H20, GH200.
    Hopper,
    /// B100, B200, GB200, RTX PRO.
    Blackwell,
}

impl Architecture {
    /// Of a chip such as `GH100`.
    pub fn of(chip: &str) -> Option<Self> {
        match chip.get(..3)? {
            "GH1" => Some(Self::Hopper),
            "GB1" | "GB2" => Some(Self::Blackwell),
            _ => None,
        }
    }

    /// The name in policies and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hopper => "hopper",
            Self::Blackwell => "blackwell",
        }
    }
}

/// A GPU whose chain was verified.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) chain: Vec<Certificate>,
    /// Such as `GH100`.
    pub(crate) chip: String,
    pub(crate) architecture: Architecture,
    /// Serial number of the chip, hex digits.
    pub(crate) serial: String,
    pub(crate) fwid: [u8; 48],
    pub(crate) debug: bool,
}

impl Device {
    /// Reads and verifies a chain in PEM.
    pub(crate) fn verify(pem: &[u8], root: Root<'_>, at_s: u64) -> Result<Self, Refusal> {
        let chain = read_pem(pem, CHAIN).map_err(|error| invalid(error.to_string()))?;
        if chain.len() != CHAIN {
            return Err(invalid(format!(
                "{} certificates, a GPU's chain has {CHAIN}",
                chain.len()
            )));
        }
        verify_under(&chain, root, NVIDIA_DEVICE_ROOT_KEY, at_s)?;
        let [leaf, _, provisioner, ..] = chain.as_slice() else {
            return Err(invalid("a GPU's chain has five"));
        };
        let (chip, serial) =
            named(leaf).ok_or_else(|| invalid("the leaf does not name an NVIDIA device"))?;
        // What the chip says of itself, whoever provisioned it said too: a
        // switch has a chain under the same root.
        let name = provisioner.common_name().unwrap_or_default();
        if !name.split(' ').any(|word| word == chip) {
            return Err(invalid(format!(
                "the leaf is of a {chip}, its provisioner is {name:?}"
            )));
        }
        let architecture = Architecture::of(&chip)
            .ok_or_else(|| invalid(format!("{chip} is no GPU that is understood")))?;
        let layer = layer(leaf).map_err(invalid)?;
        Ok(Self {
            chip,
            architecture,
            serial,
            fwid: layer.fwid,
            debug: layer.debug,
            chain,
        })
    }

    /// The certificate whose key signs reports.
    pub(crate) fn leaf(&self) -> Option<&Certificate> {
        self.chain.first()
    }
}

/// Verifies a chain that ends in NVIDIA's root of that key, or in the software
/// anchor.
pub(super) fn verify_under(
    chain: &[Certificate],
    root: Root<'_>,
    vendor: [u8; 48],
    at_s: u64,
) -> Result<(), Refusal> {
    let rules = Rules {
        at_s,
        max_length: CHAIN,
        algorithms: ALGORITHMS,
        critical: &[],
    };
    let keys = [vendor];
    let software;
    let anchor = match root {
        Root::Vendor => Anchor::Keys(&keys),
        Root::Software(der) => {
            software = Certificate::parse(der).map_err(|error| invalid(error.to_string()))?;
            Anchor::Certificate(&software)
        }
        Root::Unnamed => return Err(Root::unnamed()),
    };
    verify_chain(chain, anchor, &rules)
        .map(drop)
        .map_err(|error| Refusal::new(error.reason(), error.to_string()))
}

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::CertificateInvalid, detail)
}

/// Chip and serial number, from `NVIDIA:GH100:48B02D92494BADF4` in the leaf's
/// alternative name.
fn named(leaf: &Certificate) -> Option<(String, String)> {
    let names = SubjectAltName::from_der(leaf.extension(SUBJECT_ALT_NAME)?).ok()?;
    let mut infos = names.0.iter().filter_map(|name| match name {
        GeneralName::OtherName(name) if name.type_id == DEVICE_INFO => Some(&name.value),
        _ => None,
    });
    let info = infos.next()?;
    if infos.next().is_some() {
        return None;
    }
    let text = AnyRef::from(info).decode_as::<der::asn1::Utf8StringRef<'_>>();
    let text = text.ok()?.as_str().to_owned();
    let mut parts = text.split(':');
    let (Some("NVIDIA"), Some(chip), Some(serial), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain(chip) && plain(serial)).then(|| (chip.to_owned(), serial.to_owned()))
}

fn layer(leaf: &Certificate) -> Result<dice::Layer, &'static str> {
    match (
        leaf.extension(COMPOSITE_DEVICE_ID),
        leaf.extension(DICE_TCB_INFO),
    ) {
        (Some(value), None) => dice::composite_device_id(value),
        (None, Some(value)) => dice::tcb_info(value),
        _ => None,
    }
    .ok_or("the leaf's DICE extension is not there, or does not read")
}
