//! Judges the trust configuration: whatever the operator could set that
//! decides who may see a secret.

use crate::{
    policy::{Policy, TrustRules},
    reason::Reason,
    vector::Claim,
    verdict::Verdict,
};
use soundproof_protocol::{PROTOCOL_VERSION, attestation::Evidence, trust::TrustConfiguration};

/// What operators say with `danger_gpu_unattested`; the software platform
/// only.
const GPU_UNATTESTED: &str = "gpu-unattested";

pub(crate) fn check(
    verdict: &mut Verdict,
    trust: &TrustConfiguration,
    policy: &Policy,
    evidence: &Evidence,
) {
    // What fails below notes worse.
    verdict.vector.note(Claim::Configuration, 2);
    let rules = &policy.trust;
    verdict.check(
        "trust_version",
        trust.version == PROTOCOL_VERSION,
        Reason::TrustVersion,
        PROTOCOL_VERSION.to_string(),
        trust.version.to_string(),
    );
    provers(verdict, trust, rules);
    sandbox(verdict, trust, rules);
    verdict.check(
        "delegation",
        trust
            .delegation
            .is_none_or(|digest| rules.delegation.contains(&digest)),
        Reason::DelegationRefused,
        "no key leaves the instance, or by an accepted policy",
        trust
            .delegation
            .map_or("none".to_owned(), |digest| digest.to_string()),
    );
    verdict.check(
        "durable",
        trust
            .durable_scope
            .as_ref()
            .is_none_or(|scope| rules.durable.contains(scope)),
        Reason::DurableRefused,
        "no durable key, or one of an accepted scope",
        trust.durable_scope.clone().unwrap_or("none".to_owned()),
    );
    gpu(verdict, trust, rules, evidence);
    only(
        "telemetry",
        Reason::TelemetryRefused,
        verdict,
        &trust.telemetry,
        &rules.telemetry,
    );
    only(
        "danger",
        Reason::DangerRefused,
        verdict,
        &trust.danger,
        &rules.danger,
    );
    verdict.check(
        "swap",
        !trust.swap || rules.swap,
        Reason::SwapRefused,
        "no swap",
        if trust.swap {
            "the system had swap"
        } else {
            "none"
        },
    );
    verdict.check(
        "sp1_direct",
        !trust.sp1_direct || rules.sp1_direct,
        Reason::Sp1DirectRefused,
        if rules.sp1_direct {
            "on or off: what others send does not touch yours"
        } else {
            "no inputs in clear from other clients"
        },
        if trust.sp1_direct {
            "SP1's own clients are served, their inputs sealed on arrival"
        } else {
            "none"
        },
    );
}

/// A GPU that is not in the session's evidence may touch no witness.
fn gpu(verdict: &mut Verdict, trust: &TrustConfiguration, rules: &TrustRules, evidence: &Evidence) {
    if !trust.gpu {
        let expected = if rules.gpu {
            "secrets on an attested GPU, or none"
        } else {
            "no secret on a GPU"
        };
        verdict.pass("gpu", expected, "none");
        return;
    }
    const FOUND: &str = "secrets may be put on a GPU";
    const UNATTESTED: &str = "secrets may be put on a GPU that the evidence does not show";
    if !rules.gpu {
        verdict.fail("gpu", Reason::GpuRefused, "no secret on a GPU", FOUND);
        return;
    }
    let expected = "on a GPU that the evidence shows";
    let named = |list: &[String]| list.iter().any(|name| name == GPU_UNATTESTED);
    let unattested =
        evidence.platform.is_software() && named(&trust.danger) && named(&rules.danger);
    match &evidence.gpu {
        Some(_) => verdict.pass("gpu", expected, FOUND),
        // Nothing protects anything on a software platform.
        None if unattested => verdict.warn("gpu", Reason::GpuUnattested, expected, UNATTESTED),
        None => verdict.fail("gpu", Reason::GpuUnattested, expected, UNATTESTED),
    }
}

fn provers(verdict: &mut Verdict, trust: &TrustConfiguration, rules: &TrustRules) {
    if trust.provers.is_empty() {
        verdict.fail("provers", Reason::ProverNone, "at least one prover", "none");
        return;
    }
    let accepted = |system: &str, executable| {
        rules
            .prover
            .iter()
            .any(|prover| prover.system == system && prover.executable == executable)
    };
    let name = |unknown: bool| -> String {
        let names: Vec<_> = trust
            .provers
            .iter()
            .filter(|prover| !unknown || !accepted(&prover.system, prover.executable))
            .map(|prover| format!("{} {}", prover.system, prover.executable))
            .collect();
        names.join(", ")
    };
    if trust
        .provers
        .iter()
        .all(|prover| accepted(&prover.system, prover.executable))
    {
        verdict.pass("provers", "accepted executables only", name(false));
    } else {
        verdict.fail(
            "provers",
            Reason::ProverUnknown,
            "accepted executables only",
            name(true),
        );
    }
}

fn sandbox(verdict: &mut Verdict, trust: &TrustConfiguration, rules: &TrustRules) {
    let reached = trust.sandbox.join(", ");
    let Some(required) = &rules.sandbox else {
        verdict.fail(
            "sandbox",
            Reason::SandboxUnspecified,
            "a list of layers in the policy",
            reached,
        );
        return;
    };
    let missing: Vec<&str> = required
        .iter()
        .filter(|layer| !trust.sandbox.contains(layer))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        verdict.pass("sandbox", required.join(", "), reached);
    } else {
        verdict.fail(
            "sandbox",
            Reason::SandboxLayerMissing,
            required.join(", "),
            format!("without {}", missing.join(", ")),
        );
    }
}

/// Everything in `found` must be in `accepted`.
fn only(
    name: &'static str,
    code: Reason,
    verdict: &mut Verdict,
    found: &[String],
    accepted: &[String],
) {
    let refused: Vec<&str> = found
        .iter()
        .filter(|entry| !accepted.contains(entry))
        .map(String::as_str)
        .collect();
    let expected = if accepted.is_empty() {
        "none".to_owned()
    } else {
        format!("none but {}", accepted.join(", "))
    };
    if refused.is_empty() {
        let found = if found.is_empty() {
            "none".to_owned()
        } else {
            found.join(", ")
        };
        verdict.pass(name, expected, found);
    } else {
        verdict.fail(name, code, expected, refused.join(", "));
    }
}
