//! Quotes that real machines made, under Intel's real root. The captures are
//! not part of the repository; each test says how many it skipped.

use crate::{
    common::{Case, codes},
    vectors,
};
use soundproof_evidence::{
    Policy, Reason, Verdict, appraise, explain,
    policy::{DcapRules, TdxRules},
    tdx::Quote,
    verdict::Facts,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};

pub(crate) const CAPTURES: [&str; 6] = [
    "tdx_quote",
    "tdx_quote_outdated",
    "tdx_quote_baremetal",
    "tdx_prod_quote_SPR_E4.dat",
    "cos-113-tdx-quote.dat",
    "sgx_quote",
];
/// 2025-06-20, inside tdx_quote's window.
pub(crate) const QUOTE_MS: u64 = 1_750_400_000_000;
/// 2026-02-20, inside tdx_quote_outdated's.
pub(crate) const OUTDATED_MS: u64 = 1_771_600_000_000;
/// 2026-02-01, inside tdx_quote_baremetal's.
pub(crate) const BAREMETAL_MS: u64 = 1_769_900_000_000;

pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    vectors::read(&format!("tdx/{name}"))
}

fn evidence(statement: Vec<u8>) -> Evidence {
    Evidence {
        platform: Platform::Tdx,
        statement: Bytes(statement),
        event_log: None,
        gpu: None,
        runtime: None,
    }
}

fn endorsements(body: Vec<u8>) -> Endorsements {
    Endorsements {
        platform: Platform::Tdx,
        body: Bytes(body),
        gpu: None,
        results: None,
    }
}

pub(crate) fn capture(name: &str, collateral: &str) -> Option<(Evidence, Endorsements)> {
    let collateral = read(collateral)?;
    let collateral = if collateral.starts_with(b"{") {
        collateral
    } else {
        yaml_to_json(&collateral)
    };
    Some((evidence(read(name)?), endorsements(collateral)))
}

/// The capture's YAML is a map of strings and of lines under `|-`.
fn yaml_to_json(yaml: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(yaml.to_vec()).unwrap();
    let mut map = serde_json::Map::new();
    let mut key = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("  ") {
            let value = map.get_mut(&key).unwrap();
            *value = format!("{}{more}\n", value.as_str().unwrap()).into();
        } else if let Some((name, value)) = line.split_once(':') {
            key = name.to_owned();
            let value = value.trim().trim_start_matches('|').trim_start_matches('-');
            map.insert(key.clone(), value.trim_matches(['\'', '"']).into());
        }
    }
    for value in map.values_mut() {
        *value = value.as_str().unwrap().trim_end_matches('\n').into();
    }
    serde_json::to_vec(&map).unwrap()
}

/// A policy that accepts TDX and this quote's measurements.
pub(crate) fn policy(evidence: &Evidence) -> Policy {
    let measurements = Quote::parse(&evidence.statement.0).unwrap().measurements();
    let mut policy = Case::sound().policy;
    policy.platform.tdx = Some(any_machine());
    policy.release[0].tdx = Some(measurements);
    policy
}

fn any_machine() -> TdxRules {
    TdxRules {
        dcap: DcapRules {
            any_machine: true,
            ..DcapRules::default()
        },
        ..TdxRules::default()
    }
}

pub(crate) fn judge(
    evidence: &Evidence,
    endorsements: &Endorsements,
    policy: &Policy,
    now_ms: u64,
) -> Verdict {
    // Nobody knows a session whose binding these quotes carry.
    let expected = Binding::new(Platform::Tdx, Role::Keeper, Digest([0; 32]), None, None);
    appraise(
        evidence,
        endorsements,
        &expected,
        &soundproof_testkit::session::trust(),
        policy,
        now_ms,
    )
}

#[test]
fn an_up_to_date_machine_passes_everything_but_the_binding() {
    let Some((evidence, endorsements)) = capture("tdx_quote", "tdx_quote_collateral.json") else {
        return;
    };
    let verdict = judge(&evidence, &endorsements, &policy(&evidence), QUOTE_MS);
    assert_eq!(codes(&verdict), ["binding_mismatch"], "{verdict}");
    assert!(verdict.verified);
    let Some(Facts::Tdx(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    let machine = facts.machine.as_ref().unwrap();
    assert_eq!(machine.tcb_status, "UpToDate");
    assert_eq!(machine.fmspc.to_string(), "b0c06f000000");
    assert!(!verdict.to_string().contains("NO HARDWARE"));
    assert!(verdict.accept().is_err());

    let explained = explain(&evidence, &endorsements, QUOTE_MS);
    assert_eq!(codes(&explained), [""; 0], "{explained}");
    assert!(explained.accept().is_err());
}

#[test]
fn outside_its_window_collateral_has_expired() {
    let Some((evidence, endorsements)) = capture("tdx_quote", "tdx_quote_collateral.json") else {
        return;
    };
    let policy = policy(&evidence);
    let late = judge(
        &evidence,
        &endorsements,
        &policy,
        QUOTE_MS + 40 * 86_400_000,
    );
    assert!(codes(&late).contains(&"collateral_expired"), "{late}");
    let early = judge(
        &evidence,
        &endorsements,
        &policy,
        QUOTE_MS - 40 * 86_400_000,
    );
    assert!(
        codes(&early).contains(&"collateral_not_yet_valid"),
        "{early}"
    );
}

#[test]
fn an_outdated_machine_is_rejected_with_what_falls_short() {
    let Some((evidence, endorsements)) =
        capture("tdx_quote_outdated", "tdx_quote_outdated_collateral.json")
    else {
        return;
    };
    let verdict = judge(&evidence, &endorsements, &policy(&evidence), OUTDATED_MS);
    let check = verdict
        .failures()
        .find(|check| check.code == Reason::TcbLevelUnknown)
        .unwrap_or_else(|| panic!("{verdict}"));
    assert!(check.found.contains("falls short: "), "{check}");
    assert!(
        check.found.contains(" is ") && check.found.contains(", needs "),
        "{check}"
    );
    println!("{check}");
}

#[test]
fn a_bare_metal_machine_with_a_padded_quote_passes() {
    let Some((evidence, endorsements)) =
        capture("tdx_quote_baremetal", "tdx_quote_baremetal_collateral.yaml")
    else {
        return;
    };
    let verdict = judge(&evidence, &endorsements, &policy(&evidence), BAREMETAL_MS);
    assert_eq!(codes(&verdict), ["binding_mismatch"], "{verdict}");
}

/// Invariant 8, the other way: real TDX evidence is not the software
/// platform's, whatever it is called and whatever anchor the policy names.
#[test]
fn real_evidence_called_software_is_rejected() {
    let Some((mut evidence, mut endorsements)) = capture("tdx_quote", "tdx_quote_collateral.json")
    else {
        return;
    };
    let mut policy = policy(&evidence);
    policy.release[0].software = policy.release[0].tdx;
    evidence.platform = Platform::Software;
    endorsements.platform = Platform::Software;
    let verdict = judge(&evidence, &endorsements, &policy, QUOTE_MS);
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    // The same with the software platform's own collateral.
    let case = Case::sound();
    let verdict = judge(&evidence, &case.endorsements, &policy, case.now_ms);
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    // And a software quote with Intel's collateral, called TDX.
    let mut software = case.evidence.clone();
    software.platform = Platform::Tdx;
    endorsements.platform = Platform::Tdx;
    let verdict = judge(&software, &endorsements, &policy, QUOTE_MS);
    let failed = codes(&verdict);
    assert!(!failed.contains(&"tcb_level_unknown"), "{verdict}");
    assert!(verdict.accept().is_err());
}

#[test]
fn a_changed_bit_in_a_real_quote_is_found() {
    let Some((evidence, endorsements)) = capture("tdx_quote", "tdx_quote_collateral.json") else {
        return;
    };
    let policy = policy(&evidence);
    for at in [
        0, 4, 28, 60, 168, 184, 376, 520, 568, 631, 640, 700, 800, 1170, 1230,
    ] {
        let mut changed = evidence.clone();
        changed.statement.0[at] ^= 1;
        let verdict = judge(&changed, &endorsements, &policy, QUOTE_MS);
        let failed = codes(&verdict);
        assert!(
            failed.iter().any(|code| [
                "evidence_malformed",
                "quote_signature",
                "quote_unverified",
                "debug_enabled"
            ]
            .contains(code)),
            "byte {at}\n{verdict}"
        );
    }
}

/// Where a quote ends: what follows is no part of it.
fn end_of(quote: &[u8]) -> usize {
    let u32_at = |at: usize| u32::from_le_bytes(quote[at..at + 4].try_into().unwrap()) as usize;
    let length_at = match quote[0] {
        3 => 48 + 384,
        4 => 48 + 584,
        _ => 54 + u32_at(50),
    };
    length_at + 4 + u32_at(length_at)
}

#[test]
fn every_capture_is_read_or_refused_and_survives_being_cut() {
    for name in CAPTURES {
        let Some(bytes) = read(name) else { continue };
        // SGX's quotes are not what a trust domain makes.
        assert_eq!(Quote::parse(&bytes).is_ok(), name != "sgx_quote", "{name}");
        let end = end_of(&bytes);
        for len in (0..end).step_by(7) {
            assert!(Quote::parse(&bytes[..len]).is_err(), "{name} cut at {len}");
        }
    }
}
