//! The one judge (invariant 7): appraisal is a pure function of evidence,
//! expected binding, endorsements, trust configuration, policy and time.
//!
//! To add a platform:
//!
//! 1. Write its module, a type in it that implements [`Judge`], and its rules
//!    in `policy/<platform>.rs` (serde, `deny_unknown_fields`, strict
//!    defaults).
//! 2. Add one line to the table in `policy/platforms.rs`: it makes the
//!    policy's tables, the releases' tuples and the dispatch, for the hardware
//!    platform and its software kind.
//! 3. Explain its keys in `policy/commented.rs`, and add a variant to [`Facts`](crate::verdict::Facts), a section to
//!    `reason.rs`, and the vendor's root to `policy/anchor.rs`, so that it can
//!    never stand in a policy as a software kind's anchor.
//!
//! GPU evidence is judged beside the platform's own, in [`gpu`].

use crate::{
    module::{Case, Clock, Judge},
    policy::{Anchor, Policy, Release},
    reason::Reason,
    refusal::Root,
    trust,
    vector::Claim,
    verdict::{Compared, Verdict},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, MAX_EVIDENCE},
    binding::Binding,
    trust::TrustConfiguration,
};

/// The first line of every verdict on a software platform.
pub const SOFTWARE_WARNING: &str =
    "NO HARDWARE PROTECTS ANYTHING: this is a software platform, for development only.";

/// Judges evidence for a session whose evidence must carry `expected`
/// ([`verify_session`](crate::verify_session) computes it). `now_ms` is the
/// judge's own time, in milliseconds since 1970.
pub fn appraise(
    evidence: &Evidence,
    endorsements: &Endorsements,
    expected: &Binding,
    trust: &TrustConfiguration,
    policy: &Policy,
    now_ms: u64,
) -> Verdict {
    let mut verdict = Verdict::new(evidence.platform, now_ms);
    let case = Case {
        evidence,
        endorsements,
        expected: Some(expected),
        clock: Clock::of(Some(policy), now_ms),
    };
    let bound = judge(&mut verdict, &case, &Basis::Policy(policy));
    trust::check(&mut verdict, trust, policy, evidence);
    // Every check was made, or one of those that failed kept it from being;
    // and some module said that its chain holds.
    if bound && verdict.verified && verdict.failures().next().is_none() {
        verdict.acceptable = true;
        verdict.compared = Some(Box::new(Compared {
            binding: *expected,
            evidence: evidence.digest(),
            trust: trust.clone(),
        }));
    }
    verdict
}

/// Explains evidence by itself: what it is, whether it verifies, and what it
/// says. With no expected binding nothing can be accepted (invariant 7).
///
/// A software platform's evidence verifies under an anchor that somebody
/// names; see [`explain_under`].
pub fn explain(evidence: &Evidence, endorsements: &Endorsements, now_ms: u64) -> Verdict {
    explain_under(evidence, endorsements, None, now_ms)
}

/// [`explain`], with an anchor for a software platform.
pub fn explain_under(
    evidence: &Evidence,
    endorsements: &Endorsements,
    software_anchor: Option<Anchor>,
    now_ms: u64,
) -> Verdict {
    let mut verdict = Verdict::new(evidence.platform, now_ms);
    let case = Case {
        evidence,
        endorsements,
        expected: None,
        clock: Clock::of(None, now_ms),
    };
    judge(&mut verdict, &case, &Basis::Anchor(software_anchor));
    verdict
}

/// Judges evidence that was made for no session: a quote that somebody
/// published. By a policy, if there is one; `carried` is what it should carry,
/// if the caller knows. Nothing comes of it that could be accepted (invariant
/// 7): with no session there is nothing to seal to.
pub fn examine(
    evidence: &Evidence,
    endorsements: &Endorsements,
    policy: Option<&Policy>,
    carried: Option<&[u8; 64]>,
    now_ms: u64,
) -> Verdict {
    let mut verdict = Verdict::new(evidence.platform, now_ms);
    let case = Case {
        evidence,
        endorsements,
        expected: None,
        clock: Clock::of(policy, now_ms),
    };
    judge(
        &mut verdict,
        &case,
        &policy.map_or(Basis::Anchor(None), Basis::Policy),
    );
    if let Some(carried) = carried {
        let found = verdict.facts.as_ref().and_then(|facts| facts.report_data());
        verdict.check(
            "report_data",
            found.as_ref() == Some(carried),
            Reason::ReportDataMismatch,
            hex::encode(carried),
            found.map_or_else(|| "none".to_owned(), hex::encode),
        );
    }
    verdict
}

/// What evidence is judged by.
pub(crate) enum Basis<'a> {
    Policy(&'a Policy),
    /// Nothing: it is explained, a software platform's under this anchor.
    Anchor(Option<Anchor>),
}

/// A policy's table for a platform, and the root that it stands under.
pub(crate) struct Table<'a, R> {
    pub(crate) root: Root<'a>,
    pub(crate) rules: &'a R,
}

/// Everything but the trust configuration. Whether the evidence carries the
/// expected binding; evidence that does not verify leaves a failed check
/// behind.
fn judge(verdict: &mut Verdict, case: &Case<'_>, basis: &Basis<'_>) -> bool {
    let (evidence, endorsements) = (case.evidence, case.endorsements);
    for (name, code, len, max) in [
        (
            "evidence_size",
            Reason::EvidenceTooLong,
            evidence.carried_len(),
            MAX_EVIDENCE,
        ),
        (
            "endorsements_size",
            Reason::EndorsementsMalformed,
            endorsements.carried_len(),
            MAX_ENDORSEMENTS,
        ),
    ] {
        if len > max {
            verdict.fail(
                name,
                code,
                format!("at most {max} bytes"),
                format!("{len} bytes"),
            );
            return false;
        }
    }
    let bound = crate::policy::platforms::dispatch(verdict, case, basis);
    gpu(verdict, case, basis);
    if evidence.runtime.is_some() {
        unjudged(verdict, "no runtime quote", "a runtime quote");
    }
    if endorsements.platform != evidence.platform {
        verdict.fail(
            "endorsements",
            Reason::EndorsementsPlatform,
            evidence.platform.name(),
            endorsements.platform.name(),
        );
    }
    bound
}

/// GPU evidence, where there is any, and results of others.
fn gpu(verdict: &mut Verdict, case: &Case<'_>, basis: &Basis<'_>) {
    match basis {
        Basis::Policy(policy) => {
            let software = policy.software_gpu.as_ref();
            let tables = crate::gpu::Tables {
                nvidia: policy.gpu.as_ref(),
                software: software.map(|table| (table.anchor_pem.der(), &table.rules)),
                issuers: &policy.issuer,
            };
            crate::gpu::judge(verdict, case, &tables);
            crate::results::judge(verdict, case, &policy.issuer);
        }
        Basis::Anchor(anchor) => {
            crate::gpu::explain(verdict, case, anchor.as_ref().map(Anchor::der));
        }
    }
}

fn unjudged(verdict: &mut Verdict, expected: &'static str, what: &'static str) {
    verdict.fail("evidence_parts", Reason::EvidenceUnjudged, expected, what);
}

/// Judges by one platform's module. `table` is none where the policy has no
/// table for the platform, and `software` says which kind it is.
pub(crate) fn judge_by<J: Judge>(
    verdict: &mut Verdict,
    case: &Case<'_>,
    basis: &Basis<'_>,
    software: bool,
    table: Option<Table<'_, J::Rules>>,
    tuple: impl Fn(&Release) -> Option<&J::Release>,
) -> bool {
    let strictest = J::Rules::default();
    let named = table.is_some();
    let Table { root, rules } = table.unwrap_or(Table {
        root: match basis {
            Basis::Anchor(Some(anchor)) if software => Root::Software(anchor.der()),
            _ if software => Root::Unnamed,
            _ => Root::Vendor,
        },
        rules: &strictest,
    });
    platform(verdict, basis, software, named, J::NAME);
    if case.evidence.event_log.is_some() && !J::EVENT_LOG {
        unjudged(verdict, "no event log", "an event log");
    }
    let Some(examined) = J::examine(verdict, case, root) else {
        return false;
    };
    if let Basis::Policy(policy) = basis {
        if verdict.verified {
            examined.apply(verdict, case, rules);
        }
        release(verdict, &examined, policy, tuple);
    }
    binding(verdict, case, &examined)
}

fn binding<J: Judge>(verdict: &mut Verdict, case: &Case<'_>, examined: &J) -> bool {
    let carried = examined.carried();
    let found = hex::encode(carried);
    let Some(binding) = case.expected else {
        verdict.warn(
            "binding",
            Reason::BindingNotExpected,
            "nothing: explained only",
            found,
        );
        return false;
    };
    let expected = J::expected(binding);
    verdict.check(
        "binding",
        carried == expected,
        Reason::BindingMismatch,
        hex::encode(expected),
        found,
    );
    carried == expected
}

fn platform(
    verdict: &mut Verdict,
    basis: &Basis<'_>,
    software: bool,
    named: bool,
    name: &'static str,
) {
    let expected = match basis {
        Basis::Policy(_) => format!("[platform.{}] in the policy", verdict.platform.name()),
        Basis::Anchor(_) => "nothing: explained only".to_owned(),
    };
    if !named && matches!(basis, Basis::Policy(_)) {
        let found = verdict.platform.name();
        verdict.fail("platform", Reason::PlatformNotAccepted, expected, found);
    } else if software {
        verdict.vector.note(Claim::RuntimeOpaque, 96);
        verdict.warn(
            "platform",
            Reason::SoftwarePlatform,
            expected,
            SOFTWARE_WARNING,
        );
    } else {
        verdict.pass("platform", expected, name);
    }
}

/// The complete tuple must be that of one release.
fn release<J: Judge>(
    verdict: &mut Verdict,
    examined: &J,
    policy: &Policy,
    tuple: impl Fn(&Release) -> Option<&J::Release>,
) {
    const EXPECTED: &str = "one of the policy's releases";
    let nearest = policy
        .release
        .iter()
        .filter_map(|release| Some((release, examined.differences(tuple(release)?))))
        .min_by_key(|(_, differences)| differences.len());
    let found = match nearest {
        Some((release, differences)) if differences.is_empty() => {
            verdict.release = Some(release.name.clone());
            verdict.vector.note(Claim::Executables, 3);
            verdict.pass("release", EXPECTED, release.name.clone());
            return;
        }
        Some((release, differences)) => format!(
            "none; nearest is {:?}, which differs in {}",
            release.name,
            differences.join(", ")
        ),
        None => format!(
            "the policy names no release for {}",
            verdict.platform.name()
        ),
    };
    verdict.fail("release", Reason::ReleaseUnknown, EXPECTED, found);
}
