//! `[platform.sgx]`: an enclave.

use crate::policy::DcapRules;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgxRules {
    /// Which machines, in which state.
    #[serde(flatten)]
    pub dcap: DcapRules,
}
