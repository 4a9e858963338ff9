//! What runs in a trust domain, as its report has it.

use crate::bytes::Hex;
use dcap_qvl::quote::TDReport10;
use serde::{Deserialize, Serialize};

/// All that decides what runs in a trust domain: the complete tuple that a
/// policy's release names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// The TDX module.
    pub mrseam: Hex<48>,
    /// The module's signer; zero for Intel's.
    pub mrsignerseam: Hex<48>,
    /// TD attributes, as they lie in the report.
    pub tdattributes: Hex<8>,
    /// Extended features that the domain may use.
    pub xfam: Hex<8>,
    /// What the domain was built from.
    pub mrtd: Hex<48>,
    /// Set by the owner: configuration.
    pub mrconfigid: Hex<48>,
    /// Set by the owner.
    pub mrowner: Hex<48>,
    /// Set by the owner.
    pub mrownerconfig: Hex<48>,
    /// Extended at run time: firmware and its configuration.
    pub rtmr0: Hex<48>,
    /// Boot loader and kernel.
    pub rtmr1: Hex<48>,
    /// Operating system.
    pub rtmr2: Hex<48>,
    /// Application.
    pub rtmr3: Hex<48>,
}

impl Measurements {
    /// Names of the fields in which two tuples differ.
    pub(crate) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs: [(&'static str, bool); 12] = [
            ("mrseam", self.mrseam == other.mrseam),
            ("mrsignerseam", self.mrsignerseam == other.mrsignerseam),
            ("tdattributes", self.tdattributes == other.tdattributes),
            ("xfam", self.xfam == other.xfam),
            ("mrtd", self.mrtd == other.mrtd),
            ("mrconfigid", self.mrconfigid == other.mrconfigid),
            ("mrowner", self.mrowner == other.mrowner),
            ("mrownerconfig", self.mrownerconfig == other.mrownerconfig),
            ("rtmr0", self.rtmr0 == other.rtmr0),
            ("rtmr1", self.rtmr1 == other.rtmr1),
            ("rtmr2", self.rtmr2 == other.rtmr2),
            ("rtmr3", self.rtmr3 == other.rtmr3),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, same)| (!same).then_some(name))
            .collect()
    }
}

impl From<&TDReport10> for Measurements {
    fn from(report: &TDReport10) -> Self {
        Self {
            mrseam: Hex(report.mr_seam),
            mrsignerseam: Hex(report.mr_signer_seam),
            tdattributes: Hex(report.td_attributes),
            xfam: Hex(report.xfam),
            mrtd: Hex(report.mr_td),
            mrconfigid: Hex(report.mr_config_id),
            mrowner: Hex(report.mr_owner),
            mrownerconfig: Hex(report.mr_owner_config),
            rtmr0: Hex(report.rt_mr0),
            rtmr1: Hex(report.rt_mr1),
            rtmr2: Hex(report.rt_mr2),
            rtmr3: Hex(report.rt_mr3),
        }
    }
}
