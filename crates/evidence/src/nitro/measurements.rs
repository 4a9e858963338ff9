//! What runs in an enclave: the complete tuple that a policy's release names.

use super::document::Document;
use crate::bytes::Hex;
use serde::{Deserialize, Serialize};

/// All registers that AWS defines. Those that name where an enclave runs (PCR 3
/// the instance's role, PCR 4 the instance) may be left out of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NitroMeasurements {
    /// The enclave's image file.
    pub pcr0: Hex<48>,
    /// Kernel and boot file systems.
    pub pcr1: Hex<48>,
    /// The application.
    pub pcr2: Hex<48>,
    /// The role of the parent instance; zero if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcr3: Option<Hex<48>>,
    /// The parent instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcr4: Option<Hex<48>>,
    /// The certificate that signed the image; zero if none did.
    pub pcr8: Hex<48>,
}

impl Default for NitroMeasurements {
    /// All zero, which no enclave outside debug mode has.
    fn default() -> Self {
        let zero = Hex([0; 48]);
        Self {
            pcr0: zero,
            pcr1: zero,
            pcr2: zero,
            pcr3: Some(zero),
            pcr4: Some(zero),
            pcr8: zero,
        }
    }
}

impl NitroMeasurements {
    /// As a document has them; none if one is not there or not of 48 bytes.
    pub fn of(document: &Document) -> Option<Self> {
        let pcr = |index| document.pcr(index)?.try_into().ok().map(Hex);
        Some(Self {
            pcr0: pcr(0)?,
            pcr1: pcr(1)?,
            pcr2: pcr(2)?,
            pcr3: Some(pcr(3)?),
            pcr4: Some(pcr(4)?),
            pcr8: pcr(8)?,
        })
    }

    /// Names of the fields in which this, found in a document, is not what
    /// `release` asks for.
    pub(crate) fn differences(&self, release: &Self) -> Vec<&'static str> {
        let left_out_or = |asked: Option<Hex<48>>, found| asked.is_none() || asked == found;
        let pairs: [(&'static str, bool); 6] = [
            ("pcr0", self.pcr0 == release.pcr0),
            ("pcr1", self.pcr1 == release.pcr1),
            ("pcr2", self.pcr2 == release.pcr2),
            ("pcr3", left_out_or(release.pcr3, self.pcr3)),
            ("pcr4", left_out_or(release.pcr4, self.pcr4)),
            ("pcr8", self.pcr8 == release.pcr8),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, same)| (!same).then_some(name))
            .collect()
    }
}
