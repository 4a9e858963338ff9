//! Parts of evidence by themselves: GPU evidence without a platform's, a log
//! without a quote. Explained, never accepted: there is nothing that they are
//! bound to.

use crate::{
    ccel::{Boot, Log, LogError},
    gpu::GpuFacts,
    module::{Case, Clock},
    policy::Anchor,
    verdict::{Check, Verdict},
};
use serde::Serialize;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
};

/// GPU evidence, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GpusExplained {
    /// Whether every GPU's signature holds, up to the vendor's root.
    pub verified: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What each says.
    pub gpus: Vec<GpuFacts>,
}

/// Explains [`Evidence::gpu`] by itself.
pub fn explain_gpus(gpu: &Bytes, software_anchor: Option<&Anchor>, now_ms: u64) -> GpusExplained {
    // The platform is none that is looked at.
    let platform = Platform::Software;
    let evidence = Evidence {
        platform,
        statement: Bytes(Vec::new()),
        event_log: None,
        gpu: Some(gpu.clone()),
        runtime: None,
    };
    let endorsements = Endorsements::new(platform, Vec::new());
    let case = Case {
        evidence: &evidence,
        endorsements: &endorsements,
        expected: None,
        clock: Clock::of(None, now_ms),
    };
    let mut verdict = Verdict::new(platform, now_ms);
    crate::gpu::explain(&mut verdict, &case, software_anchor.map(Anchor::der));
    let failed = verdict.failures().next().is_some();
    GpusExplained {
        verified: !verdict.gpus.is_empty() && !failed,
        checks: verdict.checks,
        gpus: verdict.gpus,
    }
}

/// A CC event log, explained. Whoever has no quote that its registers can be
/// compared with has anybody's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogExplained {
    /// Events in it.
    pub events: usize,
    /// What a quote's RTMR0 to 3 must be if this is its log, in hex.
    pub rtmrs: Vec<String>,
    /// What it shows of the boot.
    pub boot: Boot,
}

/// Explains a CC event log by itself.
///
/// # Errors
/// [`LogError`].
pub fn explain_log(bytes: &Bytes) -> Result<LogExplained, LogError> {
    let log = Log::parse(&bytes.0)?;
    Ok(LogExplained {
        events: log.events.len(),
        rtmrs: log.replay().iter().map(hex::encode).collect(),
        boot: Boot::read(&log),
    })
}
