//! What runs in a guest: the complete tuple that a policy's release names.

use super::report::{GuestPolicy, Report};
use crate::bytes::Hex;
use serde::{Deserialize, Serialize};

/// All that decides what a guest is. Each must be as it is here, but for
/// [`min_guest_svn`](Self::min_guest_svn).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpMeasurements {
    /// What it was launched from: firmware, and what that was told to measure.
    pub measurement: Hex<48>,
    /// Set by the host at launch.
    pub host_data: Hex<32>,
    /// What the host may do with it.
    pub guest_policy: GuestPolicy,
    /// Set by the owner at launch.
    pub family_id: Hex<16>,
    /// Set by the owner at launch.
    pub image_id: Hex<16>,
    /// SHA-384 of the key that signed the ID block; zero for none.
    pub id_key_digest: Hex<48>,
    /// SHA-384 of the key that certified the ID key; zero for none.
    pub author_key_digest: Hex<48>,
    /// The owner's version number, at least.
    pub min_guest_svn: u32,
}

impl SnpMeasurements {
    /// As a report has them, with its own version number as the least.
    pub fn of(report: &Report) -> Self {
        Self {
            measurement: Hex(report.measurement()),
            host_data: Hex(report.host_data()),
            guest_policy: report.policy(),
            family_id: Hex(report.family_id()),
            image_id: Hex(report.image_id()),
            id_key_digest: Hex(report.id_key_digest()),
            author_key_digest: Hex(report.author_key_digest()),
            min_guest_svn: report.guest_svn(),
        }
    }

    /// Names of the fields in which this, found in a report, is not what
    /// `release` asks for.
    pub(crate) fn differences(&self, release: &Self) -> Vec<&'static str> {
        let pairs: [(&'static str, bool); 8] = [
            ("measurement", self.measurement == release.measurement),
            ("host_data", self.host_data == release.host_data),
            ("guest_policy", self.guest_policy == release.guest_policy),
            ("family_id", self.family_id == release.family_id),
            ("image_id", self.image_id == release.image_id),
            ("id_key_digest", self.id_key_digest == release.id_key_digest),
            (
                "author_key_digest",
                self.author_key_digest == release.author_key_digest,
            ),
            ("guest_svn", self.min_guest_svn >= release.min_guest_svn),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, same)| (!same).then_some(name))
            .collect()
    }
}
