//! `[platform.azure-tdx]` and `[platform.azure-snp]`.
//!
//! ```toml
//! [platform.azure-snp]
//! secure_boot = true        # the default: it must be on
//! console = false           # the default: the host may have no console to the guest
//! vm_ids = ["BAEFD3E1-…"]   # optional: these VMs only
//! [platform.azure-snp.hardware]   # the keys of [platform.snp]
//! any_machine = true
//!
//! [release.azure-snp.hardware]    # the paravisor, as in [release.snp]
//! [release.azure-snp.pcrs]        # what the guest booted; every PCR of the quote
//! 0 = "…64 hex digits…"
//! ```

use crate::policy::Rules;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureRules<R: Default> {
    /// Whether UEFI secure boot must be on.
    pub secure_boot: bool,
    /// Whether the host may have a console to the guest.
    pub console: bool,
    /// VMs by id, if only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vm_ids: Vec<String>,
    /// The hardware platform's rules.
    pub hardware: R,
}

impl<R: Default> Default for AzureRules<R> {
    fn default() -> Self {
        Self {
            secure_boot: true,
            console: false,
            vm_ids: Vec::new(),
            hardware: R::default(),
        }
    }
}

impl<R: Rules + Default> Rules for AzureRules<R> {
    fn lets_through(&self) -> Vec<String> {
        let mut through = self.hardware.lets_through();
        through.push(if self.vm_ids.is_empty() {
            "every VM on those machines".into()
        } else {
            format!("the VMs {}", self.vm_ids.join(", "))
        });
        through
    }

    fn accept_any_machine(&mut self) {
        self.hardware.accept_any_machine();
    }

    fn warnings(&self, now_s: u64) -> Vec<String> {
        let mut warnings = self.hardware.warnings(now_s);
        if !self.secure_boot {
            warnings.push("VMs without secure boot are accepted".into());
        }
        if self.console {
            warnings.push("VMs to which the host has a console are accepted".into());
        }
        warnings
    }
}
