//! `[platform.nitro]`: AWS Nitro Enclaves.
//!
//! ```toml
//! [platform.nitro]
//! any_machine = true               # or instance_id = ["i-0123456789abcdef0"]
//! max_age_s = 3600                 # the default
//! ```

use crate::policy::{Rules, span};
use serde::{Deserialize, Serialize};

/// Age of a document that is accepted unless the policy says otherwise, in
/// seconds. A session's nonce is in the document; this bounds how long one
/// document may serve.
pub const DEFAULT_DOCUMENT_AGE_S: u64 = 3600;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NitroRules {
    /// Parent instances that are accepted, by id: PCR 4 must be theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_id: Vec<String>,
    /// Accepts every enclave of AWS's, whosever account it is in. Says nothing
    /// beside `instance_id`.
    pub any_machine: bool,
    /// Seconds since the document was made, at most.
    pub max_age_s: u64,
}

impl Default for NitroRules {
    fn default() -> Self {
        Self {
            instance_id: Vec::new(),
            any_machine: false,
            max_age_s: DEFAULT_DOCUMENT_AGE_S,
        }
    }
}

impl Rules for NitroRules {
    fn lets_through(&self) -> Vec<String> {
        let machines = if self.instance_id.is_empty() && self.any_machine {
            "enclaves on any instance of AWS's, whosever account it is in".to_owned()
        } else {
            format!("enclaves on {} named instances", self.instance_id.len())
        };
        vec![
            machines,
            format!("documents up to {} old", span(self.max_age_s)),
        ]
    }

    fn accept_any_machine(&mut self) {
        self.instance_id.clear();
        self.any_machine = true;
    }

    fn warnings(&self, _now_s: u64) -> Vec<String> {
        let mut out = Vec::new();
        let named = !self.instance_id.is_empty();
        if !self.any_machine && !named {
            out.push(
                "it names no instance (instance_id) and does not say any_machine = true: nothing \
                 is accepted"
                    .into(),
            );
        }
        if self.any_machine && named {
            out.push("any_machine = true says nothing: the list of instances counts".into());
        }
        if self.max_age_s > 3 * DEFAULT_DOCUMENT_AGE_S {
            out.push(format!(
                "max_age_s: {} is longer than a document's certificate lives",
                span(self.max_age_s)
            ));
        }
        out
    }
}
