//! SEV-SNP reports and Nitro documents that real machines made, under AMD's and
//! AWS's real roots. The captures are not part of the repository; each test
//! says how many it skipped.

use crate::{common::codes, snp::evidence, vectors::read};
use soundproof_evidence::{
    Facts, Policy, Verdict, appraise, explain,
    nitro::{Document, NitroMeasurements},
    policy::{MinTcb, NitroRules, Release, SnpRules, TrustRules},
    snp::{Product, Report, SnpCollateral, SnpMeasurements, Tcb},
    x509::read_pem,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::session;

/// 2024-06-01, inside every SEV-SNP certificate's window.
pub(crate) const SNP_MS: u64 = 1_717_200_000_000;
/// When the Nitro documents say they were made.
pub(crate) const NITRO_MS: u64 = 1_766_668_537_578;
pub(crate) const NITRO_DEBUG_MS: u64 = 1_766_650_846_577;

/// Report, signing key's certificate, chain.
pub(crate) struct Snp {
    report: Vec<u8>,
    collateral: SnpCollateral,
}

impl Snp {
    pub(crate) fn milan() -> Option<Self> {
        let hex = read("snp/report_milan.hex")?;
        let report = hex::decode(hex.trim_ascii()).unwrap();
        Self::of(report, "snp/vcek_milan.der", "snp/cert_chain_milan.pem")
    }

    pub(crate) fn debug() -> Option<Self> {
        Self::of(
            read("snp/debug_policy_report.bin")?,
            "snp/debug_policy_vcek.cer",
            "snp/debug_policy_milan_chain.cer",
        )
    }

    fn of(report: Vec<u8>, certificate: &str, chain: &str) -> Option<Self> {
        let chain = read_pem(&read(chain)?, 2).unwrap();
        Some(Self {
            report,
            collateral: SnpCollateral {
                certificate: Bytes(read(certificate)?),
                chain: chain.iter().map(|c| Bytes(c.der().to_vec())).collect(),
                crl: None,
            },
        })
    }

    fn evidence(&self) -> Evidence {
        evidence(Platform::Snp, self.report.clone())
    }

    fn endorsements(&self) -> Endorsements {
        Endorsements::new(Platform::Snp, self.collateral.to_vec())
    }

    fn explain(&self) -> Verdict {
        explain(&self.evidence(), &self.endorsements(), SNP_MS)
    }

    /// By a policy that accepts what it says, without a revocation list.
    pub(crate) fn judge(&self, now_ms: u64) -> Verdict {
        let report = Report::parse(&self.report).unwrap();
        let mut policy = Policy::default();
        policy.platform.snp = Some(SnpRules {
            any_machine: true,
            require_crl: false,
            min_tcb: MinTcb::only(Product::Milan, report.reported_tcb(Product::Milan)),
            ..SnpRules::default()
        });
        policy.release = vec![Release {
            name: "captured".into(),
            snp: Some(SnpMeasurements::of(&report)),
            ..Release::default()
        }];
        judge(&self.evidence(), &self.endorsements(), policy, now_ms)
    }
}

/// Nobody knows a session whose binding these carry.
fn judge(
    evidence: &Evidence,
    endorsements: &Endorsements,
    mut policy: Policy,
    now_ms: u64,
) -> Verdict {
    let expected = Binding::new(evidence.platform, Role::Keeper, Digest([0; 32]), None, None);
    let trust = session::trust();
    policy.trust = TrustRules::exactly(&trust);
    appraise(evidence, endorsements, &expected, &trust, &policy, now_ms)
}

#[test]
fn a_milan_report_passes_everything_but_the_binding() {
    let Some(snp) = Snp::milan() else { return };
    let verdict = snp.judge(SNP_MS);
    assert_eq!(codes(&verdict), ["binding_mismatch"], "{verdict}");
    let Some(Facts::Snp(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    assert_eq!(facts.report_version, 2);
    assert_eq!(facts.measurements.guest_policy.0, 0x3_0000);
    let machine = facts.machine.as_ref().unwrap();
    assert_eq!(machine.product, Product::Milan);
    assert_eq!(
        machine.reported_tcb,
        Tcb {
            fmc: None,
            bootloader: 3,
            tee: 0,
            snp: 8,
            microcode: 115
        }
    );
    assert!(
        machine
            .chip_id
            .as_ref()
            .unwrap()
            .starts_with("d49554ec717f4e5b")
    );
    assert_eq!(codes(&snp.explain()), [""; 0]);
    let expired = snp.judge(1_903_000_000_000);
    assert!(codes(&expired).contains(&"collateral_expired"), "{expired}");
    assert!(!expired.verified);
    let early = snp.judge(1_600_000_000_000);
    assert!(
        codes(&early).contains(&"collateral_not_yet_valid"),
        "{early}"
    );
}

#[test]
fn a_debuggable_milan_guest_verifies_and_is_refused() {
    let Some(snp) = Snp::debug() else { return };
    let verdict = snp.judge(SNP_MS);
    assert!(verdict.verified);
    assert_eq!(
        codes(&verdict),
        ["debug_enabled", "binding_mismatch"],
        "{verdict}"
    );
}

#[test]
fn certificates_are_not_exchanged_between_captures() {
    let (Some(milan), Some(debug)) = (Snp::milan(), Snp::debug()) else {
        return;
    };
    for (report, collateral) in [
        (&milan.report, &debug.collateral),
        (&debug.report, &milan.collateral),
    ] {
        let mixed = Snp {
            report: report.clone(),
            collateral: collateral.clone(),
        };
        assert!(codes(&mixed.explain()).contains(&"chip_mismatch"));
    }
}

#[test]
fn no_byte_of_a_captured_report_can_be_changed() {
    let Some(snp) = Snp::milan() else { return };
    let mut tried = 0;
    let mut refuse = |changed: Vec<u8>, what: &str| {
        tried += 1;
        let changed = Snp {
            report: changed,
            collateral: snp.collateral.clone(),
        };
        let verdict = changed.explain();
        assert!(!verdict.verified, "{what}: {verdict}");
    };
    for at in 0..snp.report.len() {
        let mut changed = snp.report.clone();
        changed[at] ^= 1 << (at % 8);
        refuse(changed, &format!("byte {at:#x}"));
    }
    for len in 0..snp.report.len() {
        refuse(snp.report[..len].to_vec(), &format!("{len} bytes"));
    }
    let mut longer = snp.report.clone();
    longer.push(0);
    refuse(longer, "a byte more");
    println!("snp report: {tried} changed, 0 accepted");
}

#[test]
fn no_byte_of_captured_amd_certificates_can_be_changed() {
    let Some(snp) = Snp::milan() else { return };
    let mut tried = 0;
    let mut refuse = |change: &dyn Fn(&mut SnpCollateral), what: String| {
        tried += 1;
        let mut changed = Snp {
            report: snp.report.clone(),
            collateral: snp.collateral.clone(),
        };
        change(&mut changed.collateral);
        assert!(!changed.explain().verified, "{what}");
    };
    let lengths = [
        snp.collateral.certificate.0.len(),
        snp.collateral.chain[0].0.len(),
        snp.collateral.chain[1].0.len(),
    ];
    for (which, len) in lengths.into_iter().enumerate() {
        let pick = move |collateral: &mut SnpCollateral, change: &dyn Fn(&mut Vec<u8>)| match which
        {
            0 => change(&mut collateral.certificate.0),
            n => change(&mut collateral.chain[n - 1].0),
        };
        for at in 0..len {
            let flip = |der: &mut Vec<u8>| der[at] ^= 1 << (at % 8);
            refuse(
                &|c| pick(c, &flip),
                format!("certificate {which}, byte {at}"),
            );
        }
        for cut in (0..len).step_by(13) {
            let cut = |der: &mut Vec<u8>| der.truncate(cut);
            refuse(&|c| pick(c, &cut), format!("certificate {which}, cut"));
        }
    }
    refuse(&|c| c.chain.reverse(), "reversed".into());
    refuse(&|c| c.chain.truncate(1), "no root".into());
    refuse(&|c| c.chain.push(c.chain[1].clone()), "a root more".into());
    println!("AMD certificates: {tried} changed, 0 accepted");
}

/// The document as the capture has it: after a head of 4 bytes, and before
/// other fields.
pub(crate) fn nitro(name: &str) -> Option<Vec<u8>> {
    let capture = read(&format!("nitro/{name}"))?;
    let (_, used) = Document::parse_prefix(&capture[4..]).unwrap();
    Some(capture[4..4 + used].to_vec())
}

pub(crate) fn judge_nitro(document: &[u8], now_ms: u64) -> Verdict {
    let parsed = Document::parse(document).unwrap();
    let mut policy = Policy::default();
    policy.platform.nitro = Some(NitroRules {
        any_machine: true,
        ..NitroRules::default()
    });
    policy.release = vec![Release {
        name: "captured".into(),
        nitro: NitroMeasurements::of(&parsed),
        ..Release::default()
    }];
    judge(
        &evidence(Platform::Nitro, document.to_vec()),
        &Endorsements::new(Platform::Nitro, Vec::new()),
        policy,
        now_ms,
    )
}

fn explain_nitro(document: Vec<u8>, now_ms: u64) -> Verdict {
    explain(
        &evidence(Platform::Nitro, document),
        &Endorsements::new(Platform::Nitro, Vec::new()),
        now_ms,
    )
}

#[test]
fn a_nitro_document_passes_everything_but_the_binding() {
    let Some(document) = nitro("nitro_attestation.bin") else {
        return;
    };
    let verdict = judge_nitro(&document, NITRO_MS);
    assert_eq!(codes(&verdict), ["binding_mismatch"], "{verdict}");
    assert!(verdict.verified);
    let parsed = Document::parse(&document).unwrap();
    assert_eq!(parsed.timestamp_ms(), NITRO_MS);
    assert!(parsed.module_id().starts_with("i-0827e799ec9232d44-enc"));
    assert_eq!((parsed.nonce(), parsed.public_key()), (None, None));
    assert_eq!(parsed.user_data().map(<[u8]>::len), Some(64));
    assert_eq!(codes(&explain_nitro(document.clone(), NITRO_MS)), [""; 0]);
    let later = judge_nitro(&document, NITRO_MS + 4 * 3_600_000);
    assert!(codes(&later).contains(&"collateral_expired"), "{later}");
    assert!(
        codes(&judge_nitro(&document, NITRO_MS - 600_000)).contains(&"collateral_not_yet_valid")
    );
}

#[test]
fn a_nitro_debug_enclave_verifies_and_is_refused() {
    let Some(document) = nitro("nitro_attestation_debug.bin") else {
        return;
    };
    let verdict = judge_nitro(&document, NITRO_DEBUG_MS);
    assert!(verdict.verified);
    assert_eq!(
        codes(&verdict),
        ["debug_enabled", "binding_mismatch"],
        "{verdict}"
    );
}

#[test]
fn no_byte_of_a_captured_document_can_be_changed() {
    let Some(document) = nitro("nitro_attestation.bin") else {
        return;
    };
    let mut tried = 0;
    let mut refuse = |changed: Vec<u8>, what: String| {
        tried += 1;
        assert!(!explain_nitro(changed, NITRO_MS).verified, "{what}");
    };
    for at in 0..document.len() {
        let mut changed = document.clone();
        changed[at] ^= 1 << (at % 8);
        refuse(changed, format!("byte {at}"));
    }
    for len in (0..document.len()).step_by(3) {
        refuse(document[..len].to_vec(), format!("{len} bytes"));
    }
    // Every byte that could be a length, at its extremes.
    for at in 0..document.len().min(600) {
        for value in [0x00, 0x5b, 0x7f, 0x9f, 0xbf, 0xdf, 0xff] {
            let mut changed = document.clone();
            if changed[at] != value {
                changed[at] = value;
                refuse(changed, format!("byte {at} is {value:#x}"));
            }
        }
    }
    println!("nitro document: {tried} changed, 0 accepted");
}
