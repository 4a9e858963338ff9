//! Policies as TOML: what is written reads again, what is unknown is refused.

use crate::common::Case;
use soundproof_evidence::{
    Hex, Policy, PolicyError,
    policy::{MAX_POLICY, TcbStatus, TdxRules},
};
use soundproof_protocol::digest::Digest;

const GOLDEN: &str = include_str!("golden/policy.toml");

/// Pins every key's name. Fails if a key is renamed: policies are files that
/// people keep.
#[test]
fn golden() {
    let policy = Policy::from_toml(GOLDEN).unwrap();
    assert!(policy.platform.tdx.is_some() && policy.platform.software.is_some());
    let rules = &policy.platform.tdx.as_ref().unwrap().dcap;
    assert_eq!(
        rules.tcb_statuses,
        [TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded]
    );
    assert_eq!(rules.tcb_grace_s, 1_209_600);
    assert_eq!(rules.advisories, ["INTEL-SA-00837"]);
    assert_eq!(rules.advisories_denied, ["INTEL-SA-00289"]);
    assert_eq!(rules.max_collateral_age_s, 604_800);
    assert_eq!(rules.min_tcb_evaluation, 17);
    assert_eq!(rules.fmspc, Some(vec![Hex([0xb0, 0xc0, 0x6f, 0, 0, 0])]));
    assert_eq!(rules.ppid, [Hex([0x11; 16])]);
    assert_eq!(rules.piid, [Hex([0x22; 16])]);
    assert!(!rules.any_machine);
    assert_eq!(policy.freshness.clock_skew_s, 30);
    assert_eq!(
        policy.trust.sandbox,
        Some(vec!["landlock-files".into(), "seccomp".into()])
    );
    assert_eq!(policy.trust.delegation, [Digest([0xaa; 32])]);
    assert_eq!(policy.trust.durable, ["kms:example"]);
    assert!(policy.trust.gpu && !policy.trust.swap);
    assert!(!policy.trust.sp1_direct && Policy::default().trust.sp1_direct);
    assert_eq!(policy.trust.telemetry, ["https://metrics.example.org"]);
    assert_eq!(policy.trust.danger, ["danger_example"]);
    assert_eq!(policy.trust.prover[0].executable, Digest([0xbb; 32]));
    let tuple = policy.release[0].tdx.unwrap();
    assert_eq!((tuple.mrtd, tuple.rtmr3), (Hex([1; 48]), Hex([5; 48])));
    assert_eq!(policy.to_toml().unwrap(), GOLDEN);
}

/// Fails if a key had no explanation, or one changed what is read.
#[test]
fn every_table_and_key_is_explained() {
    let policy = Policy::from_toml(GOLDEN).unwrap();
    let text = policy.to_commented_toml().unwrap();
    assert_eq!(Policy::from_toml(&text).unwrap(), policy);
    let lines: Vec<&str> = text.lines().collect();
    let mut inside = false;
    for (at, line) in lines.iter().enumerate() {
        let key = !inside && line.contains(" = ");
        let table = line.starts_with('[') && line.matches('.').count() < 2;
        let nested = ["[[trust.", "[release."]
            .iter()
            .any(|n| line.starts_with(n));
        if line.ends_with("[") || line.ends_with("\"\"\"") && key {
            inside = true;
        } else if *line == "]" || *line == "\"\"\"" {
            inside = false;
        }
        if key || table && !nested {
            let above = at.checked_sub(1).map_or("", |above| lines[above]);
            assert!(above.starts_with("# "), "{line:?} is not explained");
        }
    }
}

#[test]
fn what_is_written_reads_again() {
    let mut policy = Case::sound().policy;
    assert_eq!(
        Policy::from_toml(&policy.to_toml().unwrap()).unwrap(),
        policy
    );
    policy.platform.tdx = Some(TdxRules::default());
    policy.platform.tdx.as_mut().unwrap().dcap.fmspc = Some(vec![]);
    assert_eq!(
        Policy::from_toml(&policy.to_toml().unwrap()).unwrap(),
        policy
    );
    let empty = Policy::default();
    assert_eq!(Policy::from_toml(&empty.to_toml().unwrap()).unwrap(), empty);
}

/// In every table. Fails if a misspelt restriction were ignored.
#[test]
fn an_unknown_key_is_an_error_in_every_table() {
    let tuple = GOLDEN.split("[release.tdx]").nth(1).unwrap();
    let (_, anchor) = GOLDEN.split_once("anchor_pem").unwrap();
    let anchor = anchor.split_once("[").unwrap().0;
    for text in [
        "debug = true".to_owned(),
        "[platform]\nsev = {}".to_owned(),
        "[platform.tdx]\nroot = \"x\"".to_owned(),
        format!("[platform.software]\nanchor_pem{anchor}\nallow = true"),
        format!("[platform.software]\nanchor_pem{anchor}\n[platform.software.rules]\nallow = true"),
        "[platform.tdx]\nany_machine = true\nmachine = []".to_owned(),
        "[tcb]\nstatuses = []".to_owned(),
        "[freshness]\nmax_age = 1".to_owned(),
        "[trust]\nprovers = []".to_owned(),
        format!(
            "[[trust.prover]]\nsystem = \"groth16\"\nexecutable = \"{}\"\nversion = \"1\"",
            "b".repeat(64)
        ),
        format!("[[release]]\nname = \"x\"\nany = true\n[release.tdx]{tuple}"),
        format!("[[release]]\nname = \"x\"\n[release.tdx]{tuple}\nrtmr4 = \"00\""),
    ] {
        match Policy::from_toml(&text) {
            Err(PolicyError::Toml(error)) => {
                assert!(error.contains("unknown field"), "{text}\n{error}")
            }
            other => panic!("{text}\n{other:?}"),
        }
    }
}

#[test]
fn what_is_no_policy_is_an_error_that_says_where() {
    let tuple = GOLDEN.split("[release.tdx]").nth(1).unwrap();
    for (text, words) in [
        (
            "[platform.tdx]\ntcb_statuses = [\"Revoked\"]".to_owned(),
            "Revoked",
        ),
        (
            "[platform.tdx]\ntcb_statuses = \"UpToDate\"".to_owned(),
            "line 1",
        ),
        (
            "[platform.tdx]\nmax_collateral_age_s = -1".to_owned(),
            "line 1",
        ),
        ("[freshness]\nclock_skew_s = -1".to_owned(), "line 2"),
        (
            "[platform.tdx]\nfmspc = [\"b0c06f\"]".to_owned(),
            "12 hex digits",
        ),
        ("[platform.software]".to_owned(), "anchor_pem"),
        ("[platform.software]\nanchor_pem = \"x\"".to_owned(), "PEM"),
        (
            "[[release]]\nname = \"x\"".to_owned(),
            "names no measurements",
        ),
        (
            "[[release]]\n[release.tdx]\nmrtd = \"00\"".to_owned(),
            "96 hex digits",
        ),
        // A tuple must be complete.
        (
            format!(
                "[[release]]\nname = \"x\"\n[release.tdx]{}",
                tuple.replacen("mrtd", "#", 1)
            ),
            "mrtd",
        ),
        ("x".repeat(MAX_POLICY + 1), "at most"),
        ("[[[".to_owned(), "line 1"),
    ] {
        let error = Policy::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}\n{error}");
    }
}

/// Invariant 8: a hardware vendor's root cannot stand in a policy as the
/// software platform's anchor. The certificate is Intel's SGX Root CA, which
/// is public.
#[test]
fn a_vendors_root_is_no_software_anchor() {
    let root = include_str!("golden/intel_sgx_root_ca.pem");
    let text = format!("[platform.software]\nanchor_pem = \"\"\"\n{root}\"\"\"");
    let error = Policy::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("hardware vendor's root"), "{error}");
}
