//! `[gpu]`: which GPUs may take part. No table: none.
//!
//! ```toml
//! [gpu]                               # NVIDIA, under NVIDIA's root
//! architectures = ["hopper"]          # the default: hopper and blackwell
//! modes = ["spt"]                     # the default: single GPU passed through
//! min_driver = "570.124.06"           # optional
//! min_vbios = "96.00.9F.00.01"        # optional; hexadecimal, as NVIDIA writes it
//! appraisal = ["manifests"]           # the default; or "release", "nras": any of these is enough
//! revocation = "required"             # the default; or "when-given"
//! max_revocation_age_s = 604800       # the default: 7 days
//! serials = ["48B02D92494BADF4"]      # these GPUs only, and/or
//! leaf_keys = ["…96 hex digits…"]     # these keys (SHA-384 of the point) only, or
//! # any_machine = true                # every one on earth; one must be said
//! # nras = "nvidia"                   # name of the [[issuer]] for "nras"
//!
//! [[gpu.release]]                     # for "release": a complete tuple
//! name = "driver 570"
//! driver = "570.124.06"
//! vbios = "96.00.9F.00.01"
//! varying = [8]                       # blocks that differ from boot to boot
//! [gpu.release.measurements]          # every other block
//! 1 = "…96 hex digits…"
//! ```

use crate::{
    bytes::Hex,
    gpu::{Mode, device::Architecture},
    policy::{Rules, review::span},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seconds that an answer about revocation may be old.
const DEFAULT_REVOCATION_AGE_S: u64 = 7 * 86_400;

/// What may say that a GPU's measurements are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Appraisal {
    /// NVIDIA's reference integrity manifests of driver and video BIOS.
    Manifests,
    /// A `[[gpu.release]]` of the policy.
    Release,
    /// NVIDIA's remote attestation service, the issuer that `nras` names.
    Nras,
}

/// Whether it must be known that no certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Revocation {
    /// Of every certificate that its issuer could revoke.
    #[default]
    Required,
    /// What was stapled counts; what was not is not missed.
    WhenGiven,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuRules {
    /// Accepted architectures.
    pub architectures: Vec<Architecture>,
    /// Accepted ways in which GPUs are given to the machine.
    pub modes: Vec<Mode>,
    /// The driver, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_driver: Option<DriverVersion>,
    /// The video BIOS, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_vbios: Option<VbiosVersion>,
    /// What may say that measurements are good; any of these.
    pub appraisal: Vec<Appraisal>,
    /// Whether it must be known that no certificate was revoked.
    pub revocation: Revocation,
    /// Seconds that an answer about revocation may be old.
    pub max_revocation_age_s: u64,
    /// Every GPU on earth.
    pub any_machine: bool,
    /// GPUs by the serial number in their certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
    /// GPUs by the SHA-384 of the key that signs their reports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaf_keys: Vec<Hex<48>>,
    /// Name of the issuer for [`Appraisal::Nras`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nras: Option<String>,
    /// Tuples for [`Appraisal::Release`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<GpuRelease>,
}

impl Default for GpuRules {
    fn default() -> Self {
        Self {
            architectures: vec![Architecture::Hopper, Architecture::Blackwell],
            modes: vec![Mode::Spt],
            min_driver: None,
            min_vbios: None,
            appraisal: vec![Appraisal::Manifests],
            revocation: Revocation::Required,
            max_revocation_age_s: DEFAULT_REVOCATION_AGE_S,
            any_machine: false,
            serials: Vec::new(),
            leaf_keys: Vec::new(),
            nras: None,
            release: Vec::new(),
        }
    }
}

impl Rules for GpuRules {
    fn lets_through(&self) -> Vec<String> {
        let architectures: Vec<_> = self.architectures.iter().map(|a| a.name()).collect();
        let ways = self.appraisal.iter().map(|way| match way {
            Appraisal::Manifests => "as in NVIDIA's manifests".to_owned(),
            Appraisal::Release => {
                let names: Vec<_> = self.release.iter().map(|r| r.name.as_str()).collect();
                format!("one of {}", names.join(", "))
            }
            Appraisal::Nras => "what NVIDIA's service found good".to_owned(),
        });
        let ways: Vec<_> = ways.collect();
        let machines = if self.any_machine {
            "every one on earth".to_owned()
        } else {
            let keys = self.leaf_keys.iter().map(|key| format!("key {key}"));
            let named: Vec<_> = self.serials.iter().cloned().chain(keys).collect();
            named.join(", ")
        };
        vec![
            format!("{} GPUs: {machines}", architectures.join(" and ")),
            format!("what runs on them is {}", ways.join(", or ")),
        ]
    }

    fn accept_any_machine(&mut self) {
        self.any_machine = true;
    }

    fn warnings(&self, _: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |odd: bool, text: String| {
            if odd {
                warnings.push(text);
            }
        };
        let named = !self.serials.is_empty() || !self.leaf_keys.is_empty();
        warn(
            self.any_machine,
            "it accepts every GPU on earth, in whosever hands".into(),
        );
        warn(
            !self.any_machine && !named,
            "it names no GPU and does not say any_machine = true, so it accepts none".into(),
        );
        warn(
            self.appraisal.is_empty(),
            "appraisal is empty, so it accepts none".into(),
        );
        let by = |way| self.appraisal.contains(&way);
        warn(
            by(Appraisal::Release) && self.release.is_empty(),
            "appraisal names releases, and there is no [[gpu.release]]".into(),
        );
        warn(
            by(Appraisal::Nras) && self.nras.is_none(),
            "appraisal names nras, and nras names no [[issuer]]".into(),
        );
        warn(
            by(Appraisal::Manifests) && self.min_driver.is_none(),
            "NVIDIA's manifests are of old drivers too: set min_driver".into(),
        );
        warn(
            self.revocation == Revocation::WhenGiven,
            "whether certificates were revoked need not be known".into(),
        );
        warn(
            self.max_revocation_age_s > 30 * 86_400,
            format!(
                "answers about revocation may be {} old",
                span(self.max_revocation_age_s)
            ),
        );
        for release in &self.release {
            warn(
                !release.varying.is_empty(),
                format!(
                    "release {:?} does not compare blocks {:?}",
                    release.name, release.varying
                ),
            );
        }
        warnings
    }
}

/// `[[gpu.release]]`: driver, video BIOS and every measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuRelease {
    /// What the verdict calls it.
    pub name: String,
    /// The driver's version, exactly.
    pub driver: String,
    /// The video BIOS's version, exactly.
    pub vbios: String,
    /// Blocks that are not compared. A report with a block that is neither
    /// here nor in `measurements` is not of this release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varying: Vec<u8>,
    /// Measurements by SPDM block, 1 to 254.
    pub measurements: BTreeMap<String, Hex<48>>,
}

macro_rules! version {
    ($(#[$doc:meta])* $name:ident, $read:expr, $max:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            numbers: Vec<u32>,
            text: String,
        }

        impl $name {
            /// Reads one; `None` if it is none.
            pub fn parse(text: &str) -> Option<Self> {
                let numbers = text
                    .split('.')
                    .map(|part| {
                        let plain = !part.is_empty()
                            && part.len() <= $max
                            && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
                        plain.then(|| $read(part).ok()).flatten()
                    })
                    .collect::<Option<Vec<_>>>()?;
                (2..=5).contains(&numbers.len()).then(|| Self {
                    numbers,
                    text: text.to_owned(),
                })
            }

            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.text
            }

            /// Whether it is this one or a later one.
            pub fn is_at_least(&self, least: &Self) -> bool {
                self.numbers >= least.numbers
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or(concat!("not a version such as ", $example))
            }
        }

        impl From<$name> for String {
            fn from(version: $name) -> Self {
                version.text
            }
        }
    };
}

version!(
    /// A driver's version: decimal numbers.
    DriverVersion, str::parse::<u32>, 6, "570.124.06"
);
version!(
    /// A video BIOS's version: bytes in hexadecimal.
    VbiosVersion, |part| u32::from_str_radix(part, 16), 2, "96.00.9F.00.01"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let driver = |text| DriverVersion::parse(text).unwrap();
        assert!(driver("570.9").is_at_least(&driver("550.144.03")));
        assert!(driver("550.90.07").is_at_least(&driver("550.90.7")));
        assert!(driver("550.90.12").is_at_least(&driver("550.90.7")));
        assert!(!driver("550.90").is_at_least(&driver("550.90.07")));
        let vbios = |text| VbiosVersion::parse(text).unwrap();
        assert!(vbios("96.00.A5.00.01").is_at_least(&vbios("96.00.9F.00.01")));
        assert!(!vbios("96.00.5E.00.03").is_at_least(&vbios("96.00.74.00.1a")));
        for bad in ["", "5", "5.", "5.x", "5.+1", "1.2.3.4.5.6", "-1.2"] {
            assert_eq!(DriverVersion::parse(bad), None, "{bad}");
        }
        assert_eq!(VbiosVersion::parse("960.00"), None);
    }
}
