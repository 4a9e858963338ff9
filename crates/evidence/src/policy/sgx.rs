//! `[platform.sgx]`: an enclave.

use crate::policy::{DcapRules, Rules};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgxRules {
    /// Which machines, in which state.
    #[serde(flatten)]
    pub dcap: DcapRules,
}

impl Rules for SgxRules {
    fn lets_through(&self) -> Vec<String> {
        self.dcap.lets_through()
    }

    fn accept_any_machine(&mut self) {
        self.dcap.accept_any_machine();
    }

    fn warnings(&self, now_s: u64) -> Vec<String> {
        self.dcap.warnings(now_s)
    }
}
