//! `[trust]`: what the operator may have set.

use serde::{Deserialize, Serialize};
use soundproof_protocol::{digest::Digest, trust::TrustConfiguration};

/// `[trust]`: what is not named is not accepted, but for
/// [`sp1_direct`](Self::sp1_direct).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustRules {
    /// Sandbox layers that are required. Must be said, even if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Vec<String>>,
    /// Digests of delegation policies that are accepted.
    pub delegation: Vec<Digest>,
    /// Scopes of durable keys that are accepted.
    pub durable: Vec<String>,
    /// Whether secrets may be put on a GPU.
    pub gpu: bool,
    /// Telemetry sinks that are accepted.
    pub telemetry: Vec<String>,
    /// `danger` options that are accepted.
    pub danger: Vec<String>,
    /// Whether the system may have swap.
    pub swap: bool,
    /// Whether the server may also take SP1 jobs straight from clients that
    /// appraise nothing. Accepted by default: what other clients sealed does
    /// not pass there.
    pub sp1_direct: bool,
    /// Prover executables that are accepted.
    pub prover: Vec<Prover>,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self {
            sandbox: None,
            delegation: Vec::new(),
            durable: Vec::new(),
            gpu: false,
            telemetry: Vec::new(),
            danger: Vec::new(),
            swap: false,
            sp1_direct: true,
            prover: Vec::new(),
        }
    }
}

impl TrustRules {
    /// Rules that accept what `trust` says, and nothing weaker.
    pub fn exactly(trust: &TrustConfiguration) -> Self {
        Self {
            sandbox: Some(trust.sandbox.clone()),
            delegation: trust.delegation.into_iter().collect(),
            durable: trust.durable_scope.iter().cloned().collect(),
            gpu: trust.gpu,
            telemetry: trust.telemetry.clone(),
            danger: trust.danger.clone(),
            swap: trust.swap,
            sp1_direct: trust.sp1_direct,
            prover: trust
                .provers
                .iter()
                .map(|prover| Prover {
                    system: prover.system.clone(),
                    executable: prover.executable,
                })
                .collect(),
        }
    }
}

/// `[[trust.prover]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prover {
    /// Proof system.
    pub system: String,
    /// SHA-256 of the executable.
    pub executable: Digest,
}
