//! A policy's rules for the machine's state: grace after a TCB recovery,
//! exceptions, advisories that are never accepted, machines, and the highest
//! evaluation number seen.

use crate::common::{Case, codes};
use soundproof_evidence::{
    Hex, Policy, Reason, Verdict,
    policy::{TcbException, TcbStatus, Time},
    seen::Seen,
};
use soundproof_testkit::pki::{Fault, NOW_MS, Pki};

const NOW_S: u64 = NOW_MS / 1000;
/// 2025-01-01, the date of the software platform's older TCB levels.
const OLD_TCB_S: u64 = 1_735_689_600;
const ADVISORY: &str = "SOUNDPROOF-SA-00001";

fn outdated() -> Case {
    Case::of(Pki::with(Fault::TcbOutOfDate).unwrap())
}

fn warned(verdict: &Verdict, reason: Reason) -> bool {
    verdict.warnings().any(|check| check.code == reason)
}

/// Broken if grace lasted a second longer, or covered what is not out of date.
#[test]
fn grace_lasts_from_the_levels_date_and_no_longer() {
    let mut case = outdated();
    let since = NOW_S - OLD_TCB_S;
    case.rules().tcb_grace_s = since;
    let verdict = case.judge();
    assert!(warned(&verdict, Reason::TcbGrace), "{verdict}");
    assert!(verdict.accept().is_ok());
    case.rules().tcb_grace_s = since - 1;
    assert_eq!(
        codes(&case.judge()),
        ["tcb_status_refused", "advisory_refused"]
    );
    // Grace is for what would be accepted if it were up to date.
    case.rules().tcb_grace_s = u64::MAX;
    case.rules().tcb_statuses = vec![TcbStatus::ConfigurationNeeded];
    assert!(codes(&case.judge()).contains(&"tcb_status_refused"));
}

/// The quoting enclave's own level counts too.
#[test]
fn grace_counts_from_the_oldest_level() {
    for fault in [Fault::QuotingEnclaveOutOfDate, Fault::ModuleOutOfDate] {
        let mut case = Case::of(Pki::with(fault).unwrap());
        case.rules().tcb_grace_s = NOW_S - OLD_TCB_S;
        assert!(case.judge().accept().is_ok(), "{fault:?}\n{}", case.judge());
        case.rules().tcb_grace_s -= 1;
        assert!(codes(&case.judge()).contains(&"tcb_status_refused"));
    }
}

#[test]
fn a_denied_advisory_is_denied_whatever_accepts_it() {
    let mut case = outdated();
    case.rules().tcb_grace_s = u64::MAX;
    assert!(case.judge().accept().is_ok());
    case.rules().advisories_denied = vec![ADVISORY.into()];
    assert_eq!(codes(&case.judge()), ["advisory_refused"]);
    case.rules().advisories = vec![ADVISORY.into()];
    assert_eq!(codes(&case.judge()), ["advisory_refused"]);
    case.rules().tcb_grace_s = 0;
    case.rules().tcb_statuses.push(TcbStatus::OutOfDate);
    assert_eq!(codes(&case.judge()), ["advisory_refused"]);
    case.rules().advisories_denied = vec!["SOUNDPROOF-SA-00002".into()];
    assert!(case.judge().accept().is_ok());
}

#[test]
fn an_exception_is_for_its_status_family_and_time() {
    let exception = TcbException {
        name: "the vendor's BIOS is late".into(),
        tcb_status: TcbStatus::OutOfDate,
        advisories: vec![ADVISORY.into()],
        fmspc: None,
        until: Time(NOW_S),
    };
    let mut case = outdated();
    case.rules().tcb_exception = vec![exception.clone()];
    let verdict = case.judge();
    assert!(warned(&verdict, Reason::TcbExcepted), "{verdict}");
    assert!(verdict.to_string().contains("the vendor's BIOS is late"));
    assert!(verdict.accept().is_ok());
    type Change = fn(&mut TcbException);
    let changes: &[(&str, Change)] = &[
        ("tcb_status_refused", |e| e.until = Time(NOW_S - 1)),
        ("tcb_status_refused", |e| {
            e.tcb_status = TcbStatus::SWHardeningNeeded
        }),
        ("tcb_status_refused", |e| e.fmspc = Some(Hex([1; 6]))),
        ("advisory_refused", |e| e.advisories.clear()),
    ];
    for (code, change) in changes {
        let mut other = exception.clone();
        change(&mut other);
        case.rules().tcb_exception = vec![other];
        assert!(codes(&case.judge()).contains(code), "{code}");
    }
    let mut own = exception;
    own.fmspc = Some(Hex(*b"PROOF\0"));
    case.rules().tcb_exception = vec![own];
    case.rules().advisories_denied = vec![ADVISORY.into()];
    assert_eq!(codes(&case.judge()), ["advisory_refused"]);
}

/// A list of machines counts, even beside any_machine.
#[test]
fn a_list_of_machines_counts() {
    let mut case = Case::sound();
    case.rules().ppid = vec![Hex([1; 16])];
    assert_eq!(codes(&case.judge()), ["machine_refused"]);
    case.rules().ppid.push(Hex([0x50; 16]));
    let verdict = case.judge();
    assert_eq!(verdict.vector.instance_identity, Some(2));
    assert!(verdict.accept().is_ok());
}

/// Broken if a policy could be lowered by what was seen, or collateral of an
/// older evaluation were accepted after a newer one.
#[test]
fn what_was_seen_only_raises() {
    let mut case = Case::sound();
    let mut seen = Seen::default();
    assert!(seen.note(&case.judge().accept().unwrap()));
    assert_eq!(seen.tcb_evaluation["software"], 17);
    assert!(!seen.note(&case.judge().accept().unwrap()));
    case.policy.raise(&seen);
    assert!(case.judge().accept().is_ok());
    seen.tcb_evaluation.insert("software".into(), 18);
    case.policy.raise(&seen);
    assert_eq!(codes(&case.judge()), ["tcb_evaluation_old"]);
    seen.tcb_evaluation.insert("software".into(), 1);
    case.policy.raise(&seen);
    assert_eq!(codes(&case.judge()), ["tcb_evaluation_old"]);
    // Another platform's number is another's.
    let mut case = Case::sound();
    let mut other = Seen::default();
    other.tcb_evaluation.insert("tdx".into(), 99);
    other.tcb_evaluation.insert("no such platform".into(), 99);
    case.policy.raise(&other);
    assert!(case.judge().accept().is_ok());
    assert!(seen.merge(&other));
    assert_eq!(seen.tcb_evaluation.len(), 2);
    assert!(!seen.merge(&other));
}

#[test]
fn a_review_says_what_is_let_through() {
    let mut case = outdated();
    case.rules().tcb_grace_s = 14 * 86_400;
    case.rules().advisories_denied = vec![ADVISORY.into()];
    case.rules().tcb_exception = vec![TcbException {
        name: "late".into(),
        tcb_status: TcbStatus::OutOfDate,
        advisories: vec![ADVISORY.into()],
        fmspc: None,
        until: Time(NOW_S - 1),
    }];
    let review = case.policy.review(NOW_S);
    assert_eq!(review.accepts_nothing, [""; 0]);
    let all = |lines: &[String]| lines.join("\n");
    let through = all(&review.lets_through);
    for part in [
        "software: what runs is one of this one",
        "any machine on earth",
        "14 days",
        "collateral up to 30 days old",
        "prover groth16",
    ] {
        assert!(through.contains(part), "{part}\n{through}");
    }
    let warnings = all(&review.warnings);
    for part in [
        "NO HARDWARE PROTECTS ANYTHING",
        "exception \"late\" has ended",
        "accepted and denied",
        "min_tcb_evaluation is 0",
    ] {
        assert!(warnings.contains(part), "{part}\n{warnings}");
    }
    let review = Policy::default().review(NOW_S);
    assert_eq!(review.accepts_nothing.len(), 4);
    let unsaid = Policy::from_toml("[platform.tdx]").unwrap().review(NOW_S);
    let warnings = all(&unsaid.warnings);
    assert!(warnings.contains("any_machine"), "{warnings}");
}
