//! AMD's products, and the versions of their firmware (SEV-SNP Firmware ABI,
//! AMD 56860, `TCB_VERSION`; CPUID Fn0000_0001 EAX).

use serde::{Deserialize, Serialize};

/// A line of processors that has SEV-SNP. Each has an AMD Root Key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, Bergamo, Siena.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// Every one.
    pub const ALL: &[Self] = &[Self::Milan, Self::Genoa, Self::Turin];

    /// AMD's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// From the family and model that a report of version 3 or later names,
    /// each combined with its extended part.
    pub const fn of_cpu(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// From the product name in a certificate: `Milan-B0`, `Genoa`, `Turin-C1`.
    pub fn of_name(name: &str) -> Option<Self> {
        let line = name.split_once('-').map_or(name, |(line, _)| line);
        Self::ALL
            .iter()
            .copied()
            .find(|product| product.name() == line)
    }

    /// Whether the product's `TCB_VERSION` begins with the version of its FMC
    /// firmware.
    const fn has_fmc(self) -> bool {
        matches!(self, Self::Turin)
    }
}

/// Security version numbers of the firmware's parts: higher is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcb {
    /// First mutable code; on Turin only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// Boot loader of the secure processor.
    pub bootloader: u8,
    /// Its operating system.
    pub tee: u8,
    /// SEV-SNP firmware.
    pub snp: u8,
    /// Microcode: the lowest of all cores.
    pub microcode: u8,
}

impl Tcb {
    /// From the 8 bytes of a report, which are laid out by product. Bytes that
    /// the product does not use say nothing.
    pub const fn read(bytes: [u8; 8], product: Product) -> Self {
        let [b0, b1, b2, b3, _, _, b6, b7] = bytes;
        if product.has_fmc() {
            Self {
                fmc: Some(b0),
                bootloader: b1,
                tee: b2,
                snp: b3,
                microcode: b7,
            }
        } else {
            Self {
                fmc: None,
                bootloader: b0,
                tee: b1,
                snp: b6,
                microcode: b7,
            }
        }
    }

    /// The parts, by name.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, u8)> {
        [
            ("FMC", self.fmc),
            ("boot loader", Some(self.bootloader)),
            ("TEE", Some(self.tee)),
            ("SNP firmware", Some(self.snp)),
            ("microcode", Some(self.microcode)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// What falls short of `least`, in words; empty if nothing does. A part
    /// that only one of the two has counts as 0 in the other.
    pub(crate) fn shortfall(&self, least: &Self) -> Vec<String> {
        let pairs = [
            ("FMC", self.fmc.unwrap_or(0), least.fmc.unwrap_or(0)),
            ("boot loader", self.bootloader, least.bootloader),
            ("TEE", self.tee, least.tee),
            ("SNP firmware", self.snp, least.snp),
            ("microcode", self.microcode, least.microcode),
        ];
        pairs
            .into_iter()
            .filter(|(_, have, needs)| have < needs)
            .map(|(name, have, needs)| {
                format!("{name} is {have}, needs {needs}, {} short", needs - have)
            })
            .collect()
    }

    /// The lower of each part.
    pub(crate) fn lower(&self, other: &Self) -> Self {
        Self {
            fmc: self.fmc.map(|fmc| fmc.min(other.fmc.unwrap_or(0))),
            bootloader: self.bootloader.min(other.bootloader),
            tee: self.tee.min(other.tee),
            snp: self.snp.min(other.snp),
            microcode: self.microcode.min(other.microcode),
        }
    }
}

impl core::fmt::Display for Tcb {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, (name, value)) in self.parts().enumerate() {
            write!(f, "{}{name} {value}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Version of the SEV-SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// Of the ABI.
    pub major: u8,
    /// Of the ABI.
    pub minor: u8,
    /// Of the build.
    pub build: u8,
}

impl core::fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

impl core::str::FromStr for FirmwareVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "expected a version such as 1.55.39";
        let mut numbers = text
            .split('.')
            .map(|number| number.parse().map_err(|_| WRONG));
        let mut next = || numbers.next().ok_or(WRONG)?;
        let version = Self {
            major: next()?,
            minor: next()?,
            build: next()?,
        };
        match next() {
            Err(_) if text.split('.').count() == 3 => Ok(version),
            _ => Err(WRONG),
        }
    }
}

impl Serialize for FirmwareVersion {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FirmwareVersion {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            Tcb::read(bytes, Product::Genoa).to_string(),
            "boot loader 1, TEE 2, SNP firmware 7, microcode 8"
        );
        assert_eq!(
            Tcb::read(bytes, Product::Turin).to_string(),
            "FMC 1, boot loader 2, TEE 3, SNP firmware 4, microcode 8"
        );
    }

    #[test]
    fn a_shortfall_names_part_and_amount() {
        let have = Tcb::read([3, 0, 0, 0, 0, 0, 8, 115], Product::Milan);
        let least = Tcb {
            snp: 20,
            microcode: 116,
            ..have
        };
        assert_eq!(
            have.shortfall(&least),
            [
                "SNP firmware is 8, needs 20, 12 short",
                "microcode is 115, needs 116, 1 short"
            ]
        );
        assert!(have.shortfall(&have).is_empty());
        assert_eq!(have.lower(&least), have);
    }

    #[test]
    fn products() {
        assert_eq!(Product::of_cpu(0x19, 0x01), Some(Product::Milan));
        assert_eq!(Product::of_cpu(0x19, 0x11), Some(Product::Genoa));
        assert_eq!(Product::of_cpu(0x19, 0xa0), Some(Product::Genoa));
        assert_eq!(Product::of_cpu(0x1a, 0x02), Some(Product::Turin));
        assert_eq!(Product::of_cpu(0x1a, 0x50), None);
        assert_eq!(Product::of_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::of_name("Turin"), Some(Product::Turin));
        assert_eq!(Product::of_name("Milano"), None);
    }

    #[test]
    fn firmware_versions() {
        let version: FirmwareVersion = "1.55.39".parse().unwrap();
        assert_eq!(version.to_string(), "1.55.39");
        assert!("1.55".parse::<FirmwareVersion>().is_err());
        assert!("1.55.39.1".parse::<FirmwareVersion>().is_err());
        assert!("1.55.256".parse::<FirmwareVersion>().is_err());
        assert!(version > "1.55.38".parse().unwrap());
    }
}
