//! `[platform.tdx]`: a trust domain by itself.

use crate::policy::{DcapRules, EventLogRules, Rules};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TdxRules {
    /// Which machines, in which state.
    #[serde(flatten)]
    pub dcap: DcapRules,
    /// What the firmware's event log must show.
    #[serde(skip_serializing_if = "EventLogRules::ask_nothing")]
    pub event_log: EventLogRules,
}

impl Rules for TdxRules {
    fn lets_through(&self) -> Vec<String> {
        let mut out = self.dcap.lets_through();
        out.extend(self.event_log.lets_through());
        out
    }

    fn accept_any_machine(&mut self) {
        self.dcap.accept_any_machine();
    }

    fn warnings(&self, now_s: u64) -> Vec<String> {
        self.dcap.warnings(now_s)
    }
}
