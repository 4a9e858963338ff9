//! What this machine can attest with: each module is looked for, and one that
//! is there makes evidence once. Only `soundproofd` needs it, so that a machine
//! that has none of it is as healthy as any.
//!
//! As in `soundproofd`, a process of its own asks Azure's metadata service and
//! runs NVIDIA's library: this one may hold an API key, and what works here
//! must work there.

use super::{Check, Checks, Finding};
use crate::failure::Failure;
use soundproof::protocol::error::Code;
use soundproof_attester::{
    AttestError, Machine, Problem,
    collector::{self, Collector},
    detect,
};
use std::sync::Arc;

/// This machine, where this executable, started again, is the collector.
pub(super) fn machine() -> Result<Machine, Failure> {
    let own =
        std::env::current_exe().map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Ok(Machine::this().with_collector(Arc::new(Collector::of(own))))
}

/// What the collector's process does.
pub(crate) fn collect() -> Result<(), Failure> {
    collector::run().map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

/// Looks at every platform, and at GPUs.
pub(super) fn look(checks: &mut Checks, machine: &Machine) {
    let mut here = false;
    for found in detect::survey(machine) {
        let absent = found.is_absent();
        here |= !absent;
        let made = found.attester.and_then(|attester| {
            let evidence = detect::rehearse(&*attester)?;
            Ok((attester.platform(), evidence))
        });
        match made {
            Ok((platform, evidence)) => {
                let log = match evidence.event_log {
                    Some(_) => ", with an event log",
                    None => "",
                };
                let bytes = evidence.carried_len();
                let name = platform.name();
                checks.good(
                    "platform",
                    format!("{name}: makes evidence, {bytes} bytes{log}"),
                );
            }
            Err(error) => {
                let finding = if absent {
                    Finding::Absent
                } else {
                    Finding::Bad
                };
                failed(checks, "platform", found.module.name(), finding, &error);
            }
        }
    }
    if !here {
        checks.good("platform", "no TEE here; only `soundproofd` needs one");
    }
    match detect::rehearse_gpus_of(machine) {
        Ok(evidence) => checks.good("gpus", format!("attest, {} bytes", evidence.len())),
        // A GPU outside a TEE, as on any desk.
        Err(AttestError::Device(error))
            if !here && matches!(error.problem, Problem::NotConfidential(_)) =>
        {
            checks.good("gpus", format!("do not attest: {}", error.problem));
        }
        Err(error) => {
            let absent = matches!(&error, AttestError::Device(error) if error.is_absent());
            let finding = if absent {
                Finding::Absent
            } else {
                Finding::Bad
            };
            failed(checks, "gpus", "nvidia", finding, &error);
        }
    }
}

fn failed(
    checks: &mut Checks,
    name: &'static str,
    module: &str,
    finding: Finding,
    error: &AttestError,
) {
    let (code, side) = match error {
        AttestError::Device(error) => (error.problem.code(), Some(error.side().name())),
        _ => ("failed", None),
    };
    checks.0.push(Check {
        name,
        finding,
        found: format!("{module}: {code}: {error}"),
        side,
        remedy: error.remedy(),
    });
}

#[cfg(test)]
mod tests;
