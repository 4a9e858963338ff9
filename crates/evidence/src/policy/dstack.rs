//! `[platform.dstack]`: what dstack's event log may say.
//!
//! ```toml
//! [platform.dstack]                   # and the keys of DcapRules
//! any_machine = true
//! key_providers = [{ name = "kms", id = "3059…" }]
//!
//! [[release]]
//! name = "0.1.0"
//! [release.dstack]
//! compose_hash = "…64 hex digits…"    # `soundproof measure dstack` prints all this
//! [[release.dstack.image]]            # the OS image, on one shape of machine
//! mrtd = "…"
//! rtmr0 = "…"
//! rtmr1 = "…"
//! rtmr2 = "…"
//! ```

use crate::{
    bytes::Hex,
    dstack::KeyProvider,
    policy::{DcapRules, Rules},
};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DstackRules {
    /// Which machines, in which state.
    #[serde(flatten)]
    pub dcap: DcapRules,
    /// Who may give the guest its keys: whoever does can read its disk, and
    /// be it. One must be named, or all accepted.
    pub key_providers: Vec<KeyProvider>,
    /// Accepts whoever gives it keys.
    pub any_key_provider: bool,
    /// Instances that are accepted; all, if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<Hex<20>>>,
    /// Whether the compose file must come with the evidence, so that what it
    /// shows to others can be judged. By default it must.
    pub require_compose: bool,
    /// Accepts an application whose containers' logs everybody can read.
    pub danger_public_logs: bool,
    /// Accepts one whose processes and load everybody can see.
    pub danger_public_sysinfo: bool,
    /// Whether MRCONFIGID must be set. If it is, it must be that of what ran,
    /// whatever is said here.
    pub require_mr_config: bool,
}

impl Default for DstackRules {
    fn default() -> Self {
        Self {
            dcap: DcapRules::default(),
            key_providers: Vec::new(),
            any_key_provider: false,
            instances: None,
            require_compose: true,
            danger_public_logs: false,
            danger_public_sysinfo: false,
            require_mr_config: false,
        }
    }
}

impl Rules for DstackRules {
    fn lets_through(&self) -> Vec<String> {
        let mut out = self.dcap.lets_through();
        let providers: Vec<_> = self
            .key_providers
            .iter()
            .map(|provider| format!("{} {}", provider.name, provider.id))
            .collect();
        out.push(match (self.any_key_provider, providers.as_slice()) {
            (true, _) => {
                "keys from anybody: whoever gives them can read its disk, and be it".into()
            }
            (false, []) => "keys from nobody".into(),
            (false, providers) => format!("keys from {}", providers.join(" or ")),
        });
        if let Some(instances) = &self.instances {
            out.push(format!("{} named instances", instances.len()));
        }
        if !self.require_compose {
            out.push("applications whose compose file is not shown".into());
        }
        out
    }

    fn accept_any_machine(&mut self) {
        self.dcap.accept_any_machine();
    }

    fn warnings(&self, now_s: u64) -> Vec<String> {
        let mut out = self.dcap.warnings(now_s);
        if self.key_providers.is_empty() && !self.any_key_provider {
            out.push(
                "it names no key provider and does not say any_key_provider = true: nothing is \
                 accepted"
                    .into(),
            );
        }
        if self.any_key_provider && !self.key_providers.is_empty() {
            out.push("key_providers says nothing: any_key_provider = true accepts all".into());
        }
        for (accepted, what) in [
            (
                self.danger_public_logs,
                "danger_public_logs: applications are accepted whose logs everybody can read",
            ),
            (
                self.danger_public_sysinfo,
                "danger_public_sysinfo: applications are accepted whose processes everybody can see",
            ),
        ] {
            out.extend(accepted.then(|| what.to_owned()));
        }
        out
    }
}
