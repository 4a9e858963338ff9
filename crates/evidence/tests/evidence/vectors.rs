//! Where captures of real machines are, and the verdict on each: what it is at
//! a time when it was valid, and that it has expired after it.
//!
//! They are not part of the repository, but in a folder beside it or in the one
//! that `SOUNDPROOF_VECTORS` names.

use crate::{
    captured::{self, capture},
    captured_gpu,
    captured_snp_nitro::{NITRO_DEBUG_MS, NITRO_MS, SNP_MS, Snp, judge_nitro, nitro},
    common::codes,
    sgx,
};
use soundproof_evidence::{Facts, Verdict, examine, fuzz};
use std::{fs, path::PathBuf};

pub(crate) fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("SOUNDPROOF_VECTORS") {
        return folder.into();
    }
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors")
}

pub(crate) fn read(path: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(folder().join(path)).ok();
    if bytes.is_none() {
        println!("skipped 1: no capture {path}");
    }
    bytes
}

/// One capture: how it is judged at a time, when, and with which codes.
struct Listed<'a> {
    name: &'a str,
    judge: &'a dyn Fn(u64) -> Verdict,
    valid_ms: u64,
    codes: &'a [&'a str],
}

impl Listed<'_> {
    fn show(&self) {
        let verdict = (self.judge)(self.valid_ms);
        assert_eq!(codes(&verdict), self.codes, "{}\n{verdict}", self.name);
        assert!(
            verdict.clone().accept().is_err(),
            "nobody knows its session"
        );
        let late = (self.judge)(self.valid_ms + 20 * 366 * 86_400_000);
        assert!(codes(&late).contains(&"collateral_expired"), "{late}");
        // To the second, where the verdict says until when.
        if let Some(until_ms) = until_ms(&verdict) {
            // A list is not of its last second any more, other collateral is.
            let last = (self.judge)(until_ms - 1000);
            assert!(!codes(&last).contains(&"collateral_expired"), "{last}");
            let after = (self.judge)(until_ms + 1000);
            assert!(codes(&after).contains(&"collateral_expired"), "{after}");
        }
        let found = self.codes.join(", ");
        println!("{}: {found}; later: collateral_expired", self.name);
    }
}

fn until_ms(verdict: &Verdict) -> Option<u64> {
    match verdict.facts.as_deref()? {
        Facts::Tdx(facts) => Some(facts.machine.as_ref()?.collateral_until_ms),
        Facts::Sgx(facts) => Some(facts.machine.as_ref()?.collateral_until_ms),
        _ => None,
    }
}

#[test]
fn trust_domains_and_enclaves() {
    for (name, collateral, valid_ms, codes) in [
        (
            "tdx_quote",
            "tdx_quote_collateral.json",
            captured::QUOTE_MS,
            &["binding_mismatch"][..],
        ),
        (
            "tdx_quote_outdated",
            "tdx_quote_outdated_collateral.json",
            captured::OUTDATED_MS,
            &["tcb_level_unknown", "binding_mismatch"],
        ),
        (
            "tdx_quote_baremetal",
            "tdx_quote_baremetal_collateral.yaml",
            captured::BAREMETAL_MS,
            &["binding_mismatch"],
        ),
    ] {
        let Some((evidence, endorsements)) = capture(name, collateral) else {
            continue;
        };
        let policy = captured::policy(&evidence);
        let judge = |now_ms| captured::judge(&evidence, &endorsements, &policy, now_ms);
        Listed {
            name,
            judge: &judge,
            valid_ms,
            codes,
        }
        .show();
    }
    if let Some((evidence, endorsements)) = sgx::captured() {
        let policy = sgx::policy(&evidence, sgx::any_machine());
        let judge = |now_ms| examine(&evidence, &endorsements, Some(&policy), None, now_ms);
        Listed {
            name: "sgx_quote",
            judge: &judge,
            valid_ms: sgx::CAPTURED_MS,
            codes: &["tcb_status_refused", "advisory_refused"],
        }
        .show();
    }
}

#[test]
fn virtual_machines_and_nitro_enclaves() {
    for (name, snp, codes) in [
        ("report_milan", Snp::milan(), &["binding_mismatch"][..]),
        (
            "debug_policy_report",
            Snp::debug(),
            &["debug_enabled", "binding_mismatch"],
        ),
    ] {
        if let Some(snp) = snp {
            Listed {
                name,
                judge: &|now_ms| snp.judge(now_ms),
                valid_ms: SNP_MS,
                codes,
            }
            .show();
        }
    }
    for (name, valid_ms, codes) in [
        ("nitro_attestation.bin", NITRO_MS, &["binding_mismatch"][..]),
        (
            "nitro_attestation_debug.bin",
            NITRO_DEBUG_MS,
            &["debug_enabled", "binding_mismatch"],
        ),
    ] {
        if let Some(document) = nitro(name) {
            Listed {
                name,
                judge: &|now_ms| judge_nitro(&document, now_ms),
                valid_ms,
                codes,
            }
            .show();
        }
    }
}

/// NVIDIA's certificates have no end (RFC 5280's 9999-12-31), so that a GPU's
/// report never expires: its nonce says of when it is.
#[test]
fn gpus() {
    let (Some(report), Some(good)) = (captured_gpu::report(), captured_gpu::chain()) else {
        return;
    };
    let bad = read("nvidia/hopper_cert_chain_bad_case2.txt").unwrap();
    assert!(fuzz::gpu_verify(&report, &good, captured_gpu::NOW_S));
    assert!(!fuzz::gpu_verify(&report, &bad, captured_gpu::NOW_S));
    println!("hopper_report: verifies; with hopper_cert_chain_bad_case2: refused");
}
