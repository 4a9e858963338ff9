//! What the operator sets.

use soundproof_attester::Attester;
use soundproof_protocol::transcript::MAX_LIFETIME_S;
use soundproof_prover::supervisor::ProverConfig;
use std::{sync::Arc, time::Duration};

/// Configuration of a keeper. What decides who may see a secret is copied into
/// the trust configuration; the rest bounds resources.
#[non_exhaustive]
pub struct KeeperConfig {
    /// Makes evidence.
    pub attester: Arc<dyn Attester>,
    /// The provers that may be run.
    pub provers: Vec<ProverConfig>,
    /// Seconds that a session lasts, at most an hour.
    pub session_lifetime_s: u32,
    /// Sessions that may be open at once.
    pub max_sessions: usize,
    /// Session keys that are made ahead.
    pub spare_keys: usize,
    /// Jobs whose keys may be held at once.
    pub max_jobs: usize,
    /// How long a job's key is held for a job that never runs.
    pub job_lifetime: Duration,
    /// Jobs that may run at once.
    pub slots: u32,
    /// Times that a job is started, when provers or the store fail it.
    pub max_attempts: u32,
    /// How long new sessions are given the same receipt key.
    pub receipt_key_lifetime: Duration,
    /// Take no job whose proof may reveal its witness.
    pub refuse_not_hiding: bool,
    /// Let the gateway open sessions that nobody appraises, for SP1's own
    /// clients. Trust configuration.
    pub sp1_direct: bool,
    /// Let provers put secrets on a GPU that no evidence vouches for. Trust
    /// configuration, and `danger`; never on a hardware platform.
    pub danger_gpu_unattested: bool,
    /// The attester's evidence vouches for the machine's GPUs, so that provers
    /// may use them.
    pub gpu_attested: bool,
    /// Where traces and metrics are sent. Trust configuration.
    pub telemetry: Vec<String>,
    /// The `danger` options that are on. Trust configuration.
    pub danger: Vec<String>,
}

impl KeeperConfig {
    /// With defaults.
    pub fn new(attester: Arc<dyn Attester>) -> Self {
        Self {
            attester,
            provers: Vec::new(),
            session_lifetime_s: MAX_LIFETIME_S,
            max_sessions: 16_384,
            spare_keys: 1024,
            max_jobs: 16_384,
            job_lifetime: Duration::from_secs(24 * 3600),
            slots: 2,
            max_attempts: 5,
            receipt_key_lifetime: Duration::from_secs(3600),
            refuse_not_hiding: false,
            sp1_direct: false,
            danger_gpu_unattested: false,
            gpu_attested: false,
            telemetry: Vec::new(),
            danger: Vec::new(),
        }
    }
}
