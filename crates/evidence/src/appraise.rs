//! The one judge (invariant 7): appraisal is a pure function of evidence,
//! expected binding, endorsements, trust configuration, policy and time.

use crate::{
    bytes::Hex,
    policy::{Anchor, Policy},
    quote::Quote,
    reason::Reason,
    software,
    tdx::{self, Collateral, Verified},
    trust,
    verdict::{Compared, Facts, Verdict},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_EVIDENCE, Platform},
    binding::Binding,
    trust::TrustConfiguration,
};

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
    let quote = judge(&mut verdict, evidence, endorsements, policy, now_ms);
    if let Some(quote) = &quote {
        release(&mut verdict, quote, policy);
        verdict.check(
            "binding",
            quote.report_data() == expected.as_bytes(),
            Reason::BindingMismatch,
            hex::encode(expected.as_bytes()),
            hex::encode(quote.report_data()),
        );
    }
    trust::check(&mut verdict, trust, &policy.trust);
    // Every check was made, or one of those that failed kept it from being.
    if quote.is_some() && verdict.failures().next().is_none() {
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
/// The software platform's evidence verifies under an anchor that only a
/// policy names; see [`explain_under`].
pub fn explain(evidence: &Evidence, endorsements: &Endorsements, now_ms: u64) -> Verdict {
    explain_under(evidence, endorsements, None, now_ms)
}

/// [`explain`], with an anchor for the software platform.
pub fn explain_under(
    evidence: &Evidence,
    endorsements: &Endorsements,
    software_anchor: Option<Anchor>,
    now_ms: u64,
) -> Verdict {
    let mut policy = Policy::default();
    policy.platform.tdx = Some(crate::policy::TdxPlatform {});
    policy.platform.software =
        software_anchor.map(|anchor_pem| crate::policy::SoftwarePlatform { anchor_pem });
    let mut verdict = Verdict::new(evidence.platform, now_ms);
    let quote = judge(&mut verdict, evidence, endorsements, &policy, now_ms);
    if let Some(quote) = quote {
        verdict.warn(
            "binding",
            Reason::BindingNotExpected,
            "nothing: explained only",
            hex::encode(quote.report_data()),
        );
    }
    verdict
}

/// Everything that does not depend on the session. The quote, if it can be
/// read, whether or not it verifies; a quote that does not verify leaves a
/// failed check behind.
fn judge(
    verdict: &mut Verdict,
    evidence: &Evidence,
    endorsements: &Endorsements,
    policy: &Policy,
    now_ms: u64,
) -> Option<Quote> {
    platform(verdict, evidence.platform, policy);
    let quote = read_quote(verdict, evidence)?;
    verdict.facts = Some(Box::new(claimed(&quote)));
    verdict.check(
        "debug",
        !quote.is_debug(),
        Reason::DebugEnabled,
        "not debuggable",
        if quote.is_debug() {
            "debuggable"
        } else {
            "not debuggable"
        },
    );
    if let Some(collateral) =
        read_collateral(verdict, evidence.platform, endorsements, policy, now_ms)
        && let Some(verified) = verify(verdict, evidence, &collateral, policy, now_ms)
    {
        state(verdict, &verified, policy);
    }
    Some(quote)
}

fn platform(verdict: &mut Verdict, platform: Platform, policy: &Policy) {
    let accepted = policy.accepts_platform(platform);
    let expected = format!("[platform.{}] in the policy", platform.name());
    match platform {
        Platform::Software if accepted => verdict.warn(
            "platform",
            Reason::SoftwarePlatform,
            expected,
            software::WARNING,
        ),
        Platform::Tdx if accepted => verdict.pass("platform", expected, "Intel TDX"),
        _ => verdict.fail(
            "platform",
            Reason::PlatformNotAccepted,
            expected,
            platform.name(),
        ),
    }
}

fn read_quote(verdict: &mut Verdict, evidence: &Evidence) -> Option<Quote> {
    let bytes = &evidence.statement.0;
    if bytes.len() > MAX_EVIDENCE {
        verdict.fail(
            "quote_format",
            Reason::EvidenceTooLong,
            format!("at most {MAX_EVIDENCE} bytes"),
            format!("{} bytes", bytes.len()),
        );
        return None;
    }
    let extra = [
        ("an event log", evidence.event_log.is_some()),
        ("GPU evidence", evidence.gpu.is_some()),
        ("a runtime quote", evidence.runtime.is_some()),
    ];
    for (what, _) in extra.into_iter().filter(|(_, there)| *there) {
        verdict.fail(
            "evidence_parts",
            Reason::EvidenceUnjudged,
            "a quote alone",
            what,
        );
    }
    match Quote::parse(bytes) {
        Ok(quote) => {
            let version = quote.version();
            verdict.pass(
                "quote_format",
                "TDX quote, version 4 or 5",
                format!("version {version}"),
            );
            Some(quote)
        }
        Err(error) => {
            verdict.fail(
                "quote_format",
                Reason::EvidenceMalformed,
                "TDX quote, version 4 or 5",
                error.to_string(),
            );
            None
        }
    }
}

fn claimed(quote: &Quote) -> Facts {
    Facts {
        quote_version: quote.version(),
        measurements: quote.measurements(),
        tee_tcb_svn: Hex(*quote.tee_tcb_svn()),
        report_data: Hex(*quote.report_data()),
        fmspc: None,
        ppid: None,
        tcb_status: None,
        advisories: Vec::new(),
        tcb_evaluation: None,
        collateral_until_ms: None,
    }
}

fn read_collateral(
    verdict: &mut Verdict,
    platform: Platform,
    endorsements: &Endorsements,
    policy: &Policy,
    now_ms: u64,
) -> Option<Collateral> {
    if endorsements.platform != platform {
        verdict.fail(
            "collateral",
            Reason::EndorsementsPlatform,
            platform.name(),
            endorsements.platform.name(),
        );
        return None;
    }
    let collateral = match Collateral::read(endorsements) {
        Ok(collateral) => collateral,
        Err(refusal) => {
            verdict.fail(
                "collateral",
                refusal.reason,
                "DCAP collateral in JSON",
                refusal.detail,
            );
            return None;
        }
    };
    let now_s = now_ms / 1000;
    let window = format!(
        "from {} until {}",
        tdx::date(collateral.from_s),
        tdx::date(collateral.until_s)
    );
    let now = format!("now {}", tdx::date(now_s));
    if now_s < collateral.from_s {
        verdict.fail("collateral", Reason::CollateralNotYetValid, window, now);
    } else if now_s > collateral.until_s {
        verdict.fail("collateral", Reason::CollateralExpired, window, now);
    } else {
        verdict.pass("collateral", window, now);
    }
    let age = now_s.saturating_sub(collateral.oldest_s);
    let max = policy.freshness.max_collateral_age_s;
    verdict.check(
        "collateral_age",
        age <= max,
        Reason::CollateralTooOld,
        format!("at most {max} s"),
        format!("{age} s"),
    );
    Some(collateral)
}

/// The chain from the anchor to the quote's last byte.
fn verify(
    verdict: &mut Verdict,
    evidence: &Evidence,
    collateral: &Collateral,
    policy: &Policy,
    now_ms: u64,
) -> Option<Verified> {
    let quote = &evidence.statement.0;
    let (anchor, result) = match evidence.platform {
        Platform::Tdx => (
            "Intel's root",
            tdx::verify(quote, collateral, policy, now_ms / 1000),
        ),
        Platform::Software => (
            "the policy's software anchor",
            software::verify(quote, collateral, policy, now_ms / 1000),
        ),
        _ => ("a platform that is known", None),
    };
    let expected = format!("verifies under {anchor}");
    match result {
        Some(Ok(verified)) => {
            verdict.pass("quote", expected, format!("verified under {anchor}"));
            Some(verified)
        }
        Some(Err(refusal)) => {
            verdict.fail("quote", refusal.reason, expected, refusal.detail);
            None
        }
        None => {
            // The policy does not accept the platform, so names no anchor.
            verdict.fail(
                "quote",
                Reason::PlatformNotAccepted,
                expected,
                "not verified",
            );
            None
        }
    }
}

/// The platform's state, as its verified evidence has it.
fn state(verdict: &mut Verdict, verified: &Verified, policy: &Policy) {
    let claims = &verified.claims;
    let pck = &claims.platform.pck;
    let status = claims.tcb.status.to_string();
    if let Some(facts) = &mut verdict.facts {
        facts.fmspc = Some(Hex(pck.fmspc));
        facts.ppid = Some(hex::encode(&pck.ppid));
        facts.tcb_status = Some(status.clone());
        facts.advisories = claims.tcb.advisory_ids.clone();
        facts.tcb_evaluation = Some(claims.tcb.eval_data_number);
        facts.collateral_until_ms = Some(claims.earliest_expiration_date.saturating_mul(1000));
    }
    let accepted: Vec<_> = policy
        .tcb
        .statuses
        .iter()
        .map(|status| status.name())
        .collect();
    let found = match &verified.shortfall {
        Some(shortfall) => format!("{status}; {shortfall}"),
        None => status.clone(),
    };
    verdict.check(
        "tcb_status",
        accepted.contains(&status.as_str()),
        Reason::TcbStatusRefused,
        accepted.join(" or "),
        found,
    );
    let refused: Vec<&str> = claims
        .tcb
        .advisory_ids
        .iter()
        .filter(|id| !policy.tcb.advisories.contains(id))
        .map(String::as_str)
        .collect();
    let none_but = if policy.tcb.advisories.is_empty() {
        "none".to_owned()
    } else {
        format!("none but {}", policy.tcb.advisories.join(", "))
    };
    let found = if refused.is_empty() {
        &claims.tcb.advisory_ids.join(", ")
    } else {
        &refused.join(", ")
    };
    verdict.check(
        "advisories",
        refused.is_empty(),
        Reason::AdvisoryRefused,
        none_but,
        if found.is_empty() { "none" } else { found },
    );
    let evaluation = claims.tcb.eval_data_number;
    let min = policy.freshness.min_tcb_evaluation;
    verdict.check(
        "tcb_evaluation",
        evaluation >= min,
        Reason::TcbEvaluationOld,
        format!("at least {min}"),
        evaluation.to_string(),
    );
    if let Some(list) = &policy.identity.fmspc {
        let fmspc = Hex(pck.fmspc);
        let expected: Vec<_> = list.iter().map(Hex::to_string).collect();
        verdict.check(
            "fmspc",
            list.contains(&fmspc),
            Reason::FmspcRefused,
            expected.join(" or "),
            fmspc.to_string(),
        );
    }
    if let Some(list) = &policy.identity.ppid {
        let known = list
            .iter()
            .any(|ppid| ppid.0.as_slice() == pck.ppid.as_slice());
        verdict.check(
            "ppid",
            known,
            Reason::PpidRefused,
            format!("one of {} machines", list.len()),
            hex::encode(&pck.ppid),
        );
    }
}

/// The complete tuple must be that of one release.
fn release(verdict: &mut Verdict, quote: &Quote, policy: &Policy) {
    let found = quote.measurements();
    let candidates: Vec<_> = policy
        .release
        .iter()
        .filter_map(|release| Some((release, release.measurements(verdict.platform)?)))
        .collect();
    if let Some((release, _)) = candidates.iter().find(|(_, tuple)| **tuple == found) {
        verdict.release = Some(release.name.clone());
        verdict.pass(
            "release",
            "one of the policy's releases",
            release.name.clone(),
        );
        return;
    }
    let nearest = candidates
        .iter()
        .map(|(release, tuple)| (release, found.differences(tuple)))
        .min_by_key(|(_, differences)| differences.len());
    let found = match nearest {
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
    verdict.fail(
        "release",
        Reason::ReleaseUnknown,
        "one of the policy's releases",
        found,
    );
}
