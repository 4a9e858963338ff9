//! What a finished proof is reported as: phases in milliseconds, verdict,
//! files.

use serde::Serialize;
use soundproof::Proven;
use std::{path::PathBuf, time::Duration};

/// Time in each phase, in milliseconds. `queue`, `open`, `witness`, `prove`
/// and `enclave_verify` are the enclave's own figures.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Phases {
    pub(crate) session_ms: f64,
    pub(crate) appraisal_ms: f64,
    pub(crate) seal_ms: f64,
    pub(crate) upload_ms: f64,
    pub(crate) queue_ms: f64,
    pub(crate) open_ms: f64,
    pub(crate) witness_ms: f64,
    pub(crate) prove_ms: f64,
    pub(crate) enclave_verify_ms: f64,
    pub(crate) wait_ms: f64,
    pub(crate) verify_ms: f64,
    pub(crate) total_ms: f64,
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

impl Phases {
    pub(crate) fn of(proven: &Proven) -> Self {
        let timings = &proven.timings;
        Self {
            session_ms: ms(timings.session),
            appraisal_ms: ms(timings.appraisal),
            seal_ms: ms(timings.seal),
            upload_ms: ms(timings.upload),
            queue_ms: ms(proven.phase("queue")),
            open_ms: ms(proven.phase("open")),
            witness_ms: ms(proven.phase("witness")),
            prove_ms: ms(proven.phase("prove")),
            enclave_verify_ms: ms(proven.phase("verify")),
            wait_ms: ms(timings.wait),
            verify_ms: ms(timings.verify),
            total_ms: ms(timings.total),
        }
    }

    /// In the order in which they happen, for a table. `other` is what no
    /// phase names: starting processes, loading keys, the network.
    pub(crate) fn rows(&self) -> [(&'static str, f64); 10] {
        let named = [
            self.session_ms,
            self.appraisal_ms,
            self.seal_ms,
            self.upload_ms,
            self.queue_ms,
            self.witness_ms,
            self.prove_ms,
            self.verify_ms,
        ];
        let other = (self.total_ms - named.iter().sum::<f64>()).max(0.0);
        [
            ("session", self.session_ms),
            ("appraisal", self.appraisal_ms),
            ("seal", self.seal_ms),
            ("upload", self.upload_ms),
            ("queue", self.queue_ms),
            ("witness", self.witness_ms),
            ("prove", self.prove_ms),
            ("verify", self.verify_ms),
            ("other", other),
            ("total", self.total_ms),
        ]
    }
}

/// The three files of a proof: named after their formats.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Files {
    pub(crate) proof: PathBuf,
    pub(crate) public: PathBuf,
    pub(crate) receipt: PathBuf,
}

impl Files {
    /// Where a proof of this system goes in `folder`.
    pub(crate) fn in_folder(folder: &std::path::Path, system: &str) -> Self {
        let (proof, public) = match system {
            soundproof::SP1 => ("proof.bin", "public_values.bin"),
            _ => ("proof.json", "public.json"),
        };
        Self {
            proof: folder.join(proof),
            public: folder.join(public),
            receipt: folder.join("receipt.bundle"),
        }
    }

    /// Writes them; a proof that may reveal its input is its owner's only.
    pub(crate) fn write(&self, proven: &Proven) -> Result<(), crate::failure::Failure> {
        if let Some(folder) = self.proof.parent() {
            crate::files::folder(folder)?;
        }
        let secret = crate::sp1::is_secret(proven);
        crate::files::write(&self.proof, &proven.proof, secret)?;
        crate::files::write(&self.public, &proven.public_values, false)?;
        crate::files::write(&self.receipt, &proven.bundle_bytes(), false)
    }
}

/// In one word, for programs.
pub(crate) fn verdict(proven: &Proven) -> &'static str {
    // A `Proven` exists only with an accepted verdict.
    if proven.verdict.warnings().next().is_some() {
        "accepted_with_warnings"
    } else {
        "accepted"
    }
}
