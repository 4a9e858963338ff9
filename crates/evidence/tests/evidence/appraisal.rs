//! Every reason for which evidence is rejected, through the public interface.

use crate::common::{Case, codes};
use soundproof_evidence::{
    Hex, Outcome, Policy, Reason, appraise, explain, explain_under,
    policy::{Anchor, TcbStatus, TdxRules},
    verdict::Facts,
};
use soundproof_protocol::{
    attestation::{MAX_ENDORSEMENTS, MAX_EVIDENCE, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::pki::{DAY_MS, Fault, Pki};
use std::collections::BTreeSet;

#[test]
fn a_sound_session_is_accepted() {
    let case = Case::sound();
    let accepted = case
        .judge()
        .accept()
        .unwrap_or_else(|verdict| panic!("{verdict}"));
    assert_eq!(accepted.binding(), &case.binding);
    assert_eq!(accepted.evidence_digest(), case.evidence.digest());
    assert_eq!(accepted.trust(), &case.trust);
    assert_eq!(accepted.platform(), Platform::Software);
    // Invariant 8: said in capitals, first, in text and in JSON.
    let text = accepted.verdict().to_string();
    assert!(text.starts_with("NO HARDWARE PROTECTS ANYTHING"), "{text}");
    assert_eq!(accepted.verdict().checks[0].result, Outcome::Warn);
    assert!(
        accepted.verdict().checks[0]
            .found
            .contains("NO HARDWARE PROTECTS ANYTHING")
    );
}

/// Each fault is found, under its own code, with something to do about it.
/// Fails if a fault passes, or if dcap-qvl words an error anew so that its
/// code is lost.
#[test]
fn every_fault_is_found_under_its_code() {
    for fault in Fault::ALL {
        let mut case = Case::of(Pki::with(*fault).unwrap());
        fault.spoil(&mut case.evidence);
        case.now_ms = fault.judged_at_ms();
        let verdict = case.judge();
        assert!(
            codes(&verdict).contains(&fault.reason().code()),
            "{fault:?} should give {}\n{verdict}",
            fault.reason()
        );
        assert!(verdict.failures().all(|check| !check.remedy.is_empty()));
        assert!(!verdict.acceptable);
        assert!(verdict.accept().is_err(), "{fault:?}");
    }
}

#[test]
fn what_falls_short_is_said() {
    for (fault, words) in [
        (Fault::TcbOutOfDate, "CPUSVN[0] is 2, needs 3"),
        (Fault::TcbBelowEveryLevel, "CPUSVN[0] is 0, needs 3"),
        (Fault::ModuleOutOfDate, "TDX module SVN is 2, needs 3"),
        (Fault::ModuleBelowEveryLevel, "TDX module SVN is 1, needs 2"),
    ] {
        let verdict = Case::of(Pki::with(fault).unwrap()).judge();
        assert!(verdict.to_string().contains(words), "{fault:?}\n{verdict}");
    }
}

#[test]
fn an_empty_policy_rejects_everything() {
    let mut case = Case::sound();
    for empty in [Policy::default(), Policy::from_toml("").unwrap()] {
        case.policy = empty;
        let verdict = case.judge();
        for code in [
            "platform_not_accepted",
            "release_unknown",
            "prover_unknown",
            "sandbox_unspecified",
        ] {
            assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        }
        assert!(verdict.accept().is_err());
    }
}

/// Each part of a policy is needed: taking one away rejects, with one reason.
#[test]
fn every_part_of_a_policy_is_looked_at() {
    type Change = fn(&mut Case);
    let changes: &[(&str, Change)] = &[
        ("release_unknown", |case| case.policy.release.clear()),
        ("release_unknown", |case| {
            let release = case.policy.release[0].clone();
            // The same tuple, for another platform.
            case.policy.release[0].software = None;
            case.policy.release[0].tdx = release.software;
        }),
        ("tcb_status_refused", |case| {
            case.rules().tcb_statuses.clear()
        }),
        ("tcb_evaluation_old", |case| {
            case.rules().min_tcb_evaluation = 18
        }),
        ("collateral_too_old", |case| {
            case.rules().max_collateral_age_s = 3600
        }),
        ("fmspc_refused", |case| {
            case.rules().fmspc = Some(vec![Hex([1; 6])])
        }),
        ("machine_unspecified", |case| {
            case.rules().any_machine = false
        }),
        ("machine_refused", |case| {
            case.rules().any_machine = false;
            case.rules().ppid = vec![Hex([1; 16])];
        }),
        ("machine_refused", |case| {
            case.rules().any_machine = false;
            case.rules().piid = vec![Hex([0x51; 16])];
        }),
        ("prover_unknown", |case| case.policy.trust.prover.clear()),
        ("prover_unknown", |case| {
            case.policy.trust.prover[0].system = "sp1".into()
        }),
        ("prover_none", |case| case.trust.provers.clear()),
        ("prover_unknown", |case| {
            let mut second = case.trust.provers[0].clone();
            second.executable = Digest([1; 32]);
            case.trust.provers.push(second);
        }),
        ("sandbox_unspecified", |case| {
            case.policy.trust.sandbox = None
        }),
        ("sandbox_layer_missing", |case| {
            case.trust.sandbox.pop();
        }),
        ("delegation_refused", |case| {
            case.trust.delegation = Some(Digest([1; 32]))
        }),
        ("durable_refused", |case| {
            case.trust.durable_scope = Some("kms".into())
        }),
        ("gpu_refused", |case| case.trust.gpu = true),
        // The policy accepts secrets on a GPU, but the evidence shows none.
        ("gpu_unattested", |case| {
            case.trust.gpu = true;
            case.policy.trust.gpu = true;
        }),
        ("gpu_unattested", |case| {
            case.trust.gpu = true;
            case.policy.trust.gpu = true;
            case.trust.danger = vec!["gpu-unattested".into()];
        }),
        ("telemetry_refused", |case| {
            case.trust.telemetry.push("https://example.org".into())
        }),
        ("danger_refused", |case| {
            case.trust.danger.push("danger_log_witness".into())
        }),
        ("swap_refused", |case| case.trust.swap = true),
        ("sp1_direct_refused", |case| case.trust.sp1_direct = true),
        ("trust_version", |case| case.trust.version = 2),
        ("evidence_malformed", |case| {
            case.evidence.gpu = Some(Bytes(vec![1]))
        }),
        ("evidence_unjudged", |case| {
            case.evidence.runtime = Some(Bytes(vec![1]))
        }),
        ("event_log_malformed", |case| {
            case.evidence.event_log = Some(Bytes(vec![1]))
        }),
        ("endorsements_platform", |case| {
            case.endorsements.platform = Platform::Tdx
        }),
        ("endorsements_malformed", |case| {
            case.endorsements.body = Bytes(b"{}".to_vec())
        }),
        ("endorsements_malformed", |case| {
            case.endorsements.body = Bytes(vec![b' '; MAX_ENDORSEMENTS + 1]);
        }),
        ("evidence_malformed", |case| {
            case.evidence.statement = Bytes(vec![])
        }),
        ("evidence_too_long", |case| {
            case.evidence.statement = Bytes(vec![0; MAX_EVIDENCE + 1]);
        }),
        ("collateral_expired", |case| {
            case.now_ms += 364 * DAY_MS + 1000
        }),
        ("collateral_not_yet_valid", |case| {
            case.now_ms -= DAY_MS + 121_000
        }),
        ("collateral_not_yet_valid", |case| {
            case.now_ms -= DAY_MS + 1000;
            case.policy.freshness.clock_skew_s = 0;
        }),
    ];
    for (code, change) in changes {
        let mut case = Case::sound();
        assert!(case.judge().accept().is_ok());
        change(&mut case);
        let verdict = case.judge();
        assert!(codes(&verdict).contains(code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err(), "{code}");
    }
}

/// What a policy accepts by name passes; nothing beside it does.
#[test]
fn what_a_policy_names_is_accepted() {
    let mut case = Case::of(Pki::with(Fault::TcbOutOfDate).unwrap());
    case.rules().tcb_statuses.push(TcbStatus::OutOfDate);
    assert_eq!(codes(&case.judge()), ["advisory_refused"]);
    case.rules().advisories.push("SOUNDPROOF-SA-00001".into());
    assert_eq!(codes(&case.judge()), [""; 0]);
    assert!(case.judge().accept().is_ok());

    let mut case = Case::sound();
    case.trust.gpu = true;
    case.trust.swap = true;
    case.trust.sp1_direct = true;
    case.trust.danger = vec!["danger_a".into(), "gpu-unattested".into()];
    case.trust.telemetry = vec!["https://example.org".into()];
    case.trust.delegation = Some(Digest([1; 32]));
    case.trust.durable_scope = Some("kms".into());
    case.policy.trust = soundproof_evidence::policy::TrustRules::exactly(&case.trust);
    case.rules().fmspc = Some(vec![Hex(*b"PROOF\0")]);
    case.rules().ppid = vec![Hex([1; 16]), Hex([0x50; 16])];
    case.rules().any_machine = false;
    assert!(case.judge().accept().is_ok(), "{}", case.judge());
}

/// Broken if the default changed: a server that takes jobs from SP1's own
/// clients too is as good as another to a client that appraises, and a policy
/// that does not want one can say so.
#[test]
fn the_direct_path_is_accepted_unless_the_policy_says_otherwise() {
    let mut case = Case::sound();
    case.trust.sp1_direct = true;
    case.policy.trust.sp1_direct = soundproof_evidence::policy::TrustRules::default().sp1_direct;
    assert!(case.judge().accept().is_ok(), "{}", case.judge());
    case.policy.trust.sp1_direct = false;
    assert_eq!(codes(&case.judge()), ["sp1_direct_refused"]);
    case.trust.sp1_direct = false;
    assert!(case.judge().accept().is_ok());
}

/// No key of a policy can accept a debuggable enclave: even one that names its
/// very measurements does not.
#[test]
fn debug_is_never_accepted() {
    let mut case = Case::of(Pki::with(Fault::Debug).unwrap());
    case.rules().tcb_statuses = TcbStatus::ALL.to_vec();
    let verdict = case.judge();
    let found: BTreeSet<_> = codes(&verdict).into_iter().collect();
    assert_eq!(found, BTreeSet::from(["debug_enabled"]), "{verdict}");
}

/// Invariant 8, one way: the software platform's evidence is no TDX evidence,
/// whatever it is called. Fails if `[platform.tdx]` ever accepted another root
/// than Intel's.
#[test]
fn software_evidence_called_tdx_is_rejected() {
    let mut case = Case::sound();
    case.evidence.platform = Platform::Tdx;
    case.endorsements.platform = Platform::Tdx;
    case.policy.platform.tdx = Some(TdxRules::default());
    case.policy.release[0].tdx = case.policy.release[0].software;
    // The binding of a TDX session with the same root would differ too; give
    // the evidence even that.
    let verdict = case.judge();
    assert_eq!(codes(&verdict), ["anchor_mismatch"], "{verdict}");
    assert!(verdict.accept().is_err());
}

/// Another software platform's evidence: same shape, another anchor.
#[test]
fn another_anchor_is_rejected() {
    let case = Case::sound();
    let mut other = Case::sound();
    other.policy.platform = case.policy.platform.clone();
    assert_eq!(codes(&other.judge()), ["anchor_mismatch"]);
    // Only the collateral is that of the right platform.
    other.endorsements = case.endorsements.clone();
    assert_eq!(codes(&other.judge()), ["anchor_mismatch"]);
}

#[test]
fn the_binding_is_compared_to_its_last_byte() {
    let case = Case::sound();
    for (platform, role, root) in [
        (Platform::Tdx, Role::Keeper, Digest([1; 32])),
        (Platform::Software, Role::Worker, Digest([1; 32])),
        (Platform::Software, Role::Keeper, Digest([1; 32])),
    ] {
        let expected = Binding::new(platform, role, root, None, None);
        let verdict = appraise(
            &case.evidence,
            &case.endorsements,
            &expected,
            &case.trust,
            &case.policy,
            case.now_ms,
        );
        assert_eq!(codes(&verdict), ["binding_mismatch"]);
        assert!(verdict.accept().is_err());
    }
}

/// Invariant 7: with no expected binding there is explanation, but nothing of
/// the type *accepted*. Fails if `explain` ever led to one.
#[test]
fn an_explanation_is_never_accepted() {
    let case = Case::sound();
    let anchor = Anchor::from_pem(case.pki.platform.anchor_pem()).unwrap();
    let verdict = explain_under(
        &case.evidence,
        &case.endorsements,
        Some(anchor),
        case.now_ms,
    );
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(
        verdict
            .warnings()
            .any(|check| check.code == Reason::BindingNotExpected)
    );
    assert!(verdict.verified);
    let Some(Facts::Tdx(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    assert_eq!(facts.machine.as_ref().unwrap().tcb_status, "UpToDate");
    // The fields are for reading: setting them does not help either.
    let mut forged = verdict.clone();
    forged.acceptable = true;
    forged.checks.clear();
    assert!(forged.accept().is_err());
    assert!(verdict.accept().is_err());

    let unanchored = explain(&case.evidence, &case.endorsements, case.now_ms);
    assert_eq!(codes(&unanchored), ["anchor_unnamed"]);
    assert!(!unanchored.verified);
    let Some(Facts::Tdx(facts)) = unanchored.facts.as_deref() else {
        panic!("{unanchored}")
    };
    assert_eq!(facts.measurements, *case.pki.platform.measurements());
    assert_eq!(facts.machine, None);
}

#[test]
fn a_rejected_verdict_stays_rejected_when_its_lines_are_removed() {
    let mut case = Case::sound();
    case.policy.release.clear();
    let mut verdict = case.judge();
    verdict.checks.clear();
    verdict.acceptable = true;
    assert!(verdict.accept().is_err());
}

/// The same input gives the same verdict, to the byte.
#[test]
fn a_verdict_is_a_function_of_its_input() {
    let case = Case::sound();
    let json = |verdict| serde_json::to_string(&verdict).unwrap();
    assert_eq!(json(case.judge()), json(case.judge()));
}

/// What strangers send is shown without control characters.
#[test]
fn a_stranger_cannot_write_to_the_terminal() {
    let mut case = Case::sound();
    case.trust.danger = vec!["\u{1b}[2J\nacceptable\u{202e}".into(), "x".repeat(10_000)];
    let verdict = case.judge();
    let line = verdict
        .failures()
        .find(|check| check.code == Reason::DangerRefused)
        .unwrap();
    assert!(
        !line.to_string().contains(['\u{1b}', '\n', '\u{202e}']),
        "{line:?}"
    );
    assert!(line.found.chars().count() <= 601);
}
