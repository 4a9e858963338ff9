//! Enclaves' quotes: a real one, and those of a software platform.

use crate::{captured::read, common::codes};
use soundproof_attester::software::Profile;
use soundproof_evidence::{
    Facts, Policy, Verdict, appraise, examine, explain,
    policy::{DcapRules, Release, SgxRules, TcbStatus},
    sgx::{Quote, QuoteError},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{
    pki::{Fault, NOW_MS},
    session,
    sgx::Enclave,
};

/// 2025-06-20, inside the capture's window.
pub(crate) const CAPTURED_MS: u64 = 1_750_400_000_000;
const DAY_MS: u64 = 86_400_000;

pub(crate) fn captured() -> Option<(Evidence, Endorsements)> {
    let evidence = Evidence {
        platform: Platform::Sgx,
        statement: Bytes(read("sgx_quote")?),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    let collateral = read("sgx_quote_collateral.json")?;
    Some((evidence, Endorsements::new(Platform::Sgx, collateral)))
}

pub(crate) fn policy(evidence: &Evidence, dcap: DcapRules) -> Policy {
    let quote = Quote::parse(&evidence.statement.0).unwrap();
    let mut policy = Policy::default();
    policy.platform.sgx = Some(SgxRules { dcap });
    policy.release = vec![Release {
        name: "captured".into(),
        sgx: Some(quote.measurements()),
        ..Release::default()
    }];
    policy
}

pub(crate) fn any_machine() -> DcapRules {
    DcapRules {
        any_machine: true,
        ..DcapRules::default()
    }
}

#[test]
fn a_real_enclave_that_needs_hardening_is_accepted_by_name_only() {
    let Some((evidence, endorsements)) = captured() else {
        return;
    };
    let judge = |dcap: DcapRules, now| {
        let policy = policy(&evidence, dcap);
        examine(&evidence, &endorsements, Some(&policy), None, now)
    };
    let verdict = judge(any_machine(), CAPTURED_MS);
    assert_eq!(
        codes(&verdict),
        ["tcb_status_refused", "advisory_refused"],
        "{verdict}"
    );
    assert!(verdict.verified);
    let Some(Facts::Sgx(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    let machine = facts.machine.as_ref().unwrap();
    assert_eq!(machine.tcb_status, "ConfigurationAndSWHardeningNeeded");
    assert_eq!(machine.advisories, ["INTEL-SA-00289", "INTEL-SA-00615"]);
    assert_eq!(facts.attributes, ["INIT", "MODE64BIT"]);
    let named = DcapRules {
        tcb_statuses: vec![TcbStatus::ConfigurationAndSWHardeningNeeded],
        advisories: vec!["INTEL-SA-00289".into(), "INTEL-SA-00615".into()],
        ..any_machine()
    };
    let verdict = judge(named.clone(), CAPTURED_MS);
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(verdict.accept().is_err(), "no binding was expected");
    for (now, code) in [
        (CAPTURED_MS + 60 * DAY_MS, "collateral_expired"),
        (CAPTURED_MS - 60 * DAY_MS, "collateral_not_yet_valid"),
    ] {
        let verdict = judge(named.clone(), now);
        assert!(codes(&verdict).contains(&code), "{verdict}");
    }
    // With a trust domain's collateral, and as a trust domain's quote.
    if let Some(other) = read("tdx_quote_collateral.json") {
        let other = Endorsements::new(Platform::Sgx, other);
        let verdict = explain(&evidence, &other, CAPTURED_MS);
        assert!(!verdict.verified, "{verdict}");
    }
    let mut other = evidence.clone();
    other.platform = Platform::Tdx;
    let verdict = explain(&other, &endorsements, CAPTURED_MS);
    assert_eq!(codes(&verdict)[0], "evidence_malformed", "{verdict}");
}

fn binding() -> Binding {
    Binding::new(
        Platform::SoftwareSgx,
        Role::Keeper,
        Digest([3; 32]),
        None,
        None,
    )
}

fn judge_by(enclave: &Enclave, evidence: &Evidence, policy: &Policy, now_ms: u64) -> Verdict {
    appraise(
        evidence,
        &enclave.endorsements().unwrap(),
        &binding(),
        &session::trust(),
        policy,
        now_ms,
    )
}

#[test]
fn a_sound_enclave_is_accepted_and_every_part_of_it_looked_at() {
    let mut enclave = Enclave::sound().unwrap();
    let policy = enclave.policy(&session::trust()).unwrap();
    let evidence = enclave.evidence(binding().as_bytes());
    let verdict = judge_by(&enclave, &evidence, &policy, NOW_MS);
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(verdict.accept().is_ok());
    let sound = enclave.measurements;
    type Change = fn(&mut soundproof_evidence::sgx::Measurements);
    let changes: &[(&str, Change)] = &[
        ("release_unknown", |m| m.mrenclave.0[0] ^= 1),
        ("release_unknown", |m| m.mrsigner.0[0] ^= 1),
        ("release_unknown", |m| m.isv_prod_id ^= 1),
        ("release_unknown", |m| m.isv_svn += 1),
        ("release_unknown", |m| m.isv_svn -= 1),
        ("release_unknown", |m| m.misc_select.0[0] ^= 1),
        ("release_unknown", |m| m.attributes.0[8] ^= 0x20),
        ("release_unknown", |m| m.config_id.0[0] ^= 1),
        ("release_unknown", |m| m.config_svn ^= 1),
        ("release_unknown", |m| m.isv_ext_prod_id.0[0] ^= 1),
        ("release_unknown", |m| m.isv_family_id.0[0] ^= 1),
        ("debug_enabled", |m| m.attributes.0[0] |= 2),
        ("attributes_refused", |m| m.attributes.0[0] &= !1),
        ("attributes_refused", |m| m.attributes.0[0] |= 0x20),
        ("attributes_refused", |m| m.attributes.0[2] |= 1),
    ];
    for (code, change) in changes {
        enclave.measurements = sound;
        change(&mut enclave.measurements);
        let evidence = enclave.evidence(binding().as_bytes());
        let verdict = judge_by(&enclave, &evidence, &policy, NOW_MS);
        assert!(codes(&verdict).contains(code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }
    enclave.measurements = sound;
    let other = enclave.evidence(&[9; 64]);
    let verdict = judge_by(&enclave, &other, &policy, NOW_MS);
    assert_eq!(codes(&verdict), ["binding_mismatch"], "{verdict}");
    // A policy goes through TOML unchanged.
    let text = policy.to_toml().unwrap();
    assert_eq!(Policy::from_toml(&text).unwrap(), policy);
}

#[test]
fn faults_of_the_machine_are_found() {
    for (fault, change) in [
        (
            Fault::PckRevoked,
            (|p| p.pck_revoked = true) as fn(&mut Profile),
        ),
        (Fault::TcbOutOfDate, |p| p.cpu_svn[0] = 2),
        (Fault::TcbBelowEveryLevel, |p| p.cpu_svn[0] = 0),
        (Fault::QuotingEnclaveOther, |p| p.qe_signer = [0xee; 32]),
        (Fault::FamilyOther, |p| p.tcb_info_fmspc = [9; 6]),
        (Fault::QeIdentitySignature, |p| {
            p.bad_qe_identity_signature = true;
        }),
    ] {
        let mut profile = Profile::default();
        change(&mut profile);
        let enclave = Enclave::on(profile).unwrap();
        let policy = enclave.policy(&session::trust()).unwrap();
        let evidence = enclave.evidence(binding().as_bytes());
        let verdict = judge_by(&enclave, &evidence, &policy, NOW_MS);
        let code = fault.reason().code();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }
}

/// The same body in the forms of versions 4 and 5: read, and not verified.
#[test]
fn later_versions_are_read_and_refused() {
    let enclave = Enclave::sound().unwrap();
    let policy = enclave.policy(&session::trust()).unwrap();
    let v3 = enclave.evidence(binding().as_bytes()).statement.0;
    let qe = &v3[48 + 384 + 4 + 128..];
    let mut auth = v3[48 + 384 + 4..48 + 384 + 4 + 128].to_vec();
    auth.extend(6_u16.to_le_bytes());
    auth.extend((qe.len() as u32).to_le_bytes());
    auth.extend(qe);
    for version in [4_u8, 5] {
        let mut quote = v3[..48].to_vec();
        quote[0] = version;
        if version == 5 {
            quote.extend(1_u16.to_le_bytes());
            quote.extend(384_u32.to_le_bytes());
        }
        quote.extend(&v3[48..48 + 384]);
        quote.extend((auth.len() as u32).to_le_bytes());
        quote.extend(&auth);
        let read = Quote::parse(&quote).unwrap();
        assert_eq!(read.measurements(), enclave.measurements);
        assert_eq!(read.version(), u16::from(version));
        for len in 0..quote.len() {
            assert!(Quote::parse(&quote[..len]).is_err(), "cut at {len}");
        }
        let mut evidence = enclave.evidence(binding().as_bytes());
        evidence.statement = Bytes(quote);
        let verdict = judge_by(&enclave, &evidence, &policy, NOW_MS);
        assert!(codes(&verdict).contains(&"sgx_quote_version"), "{verdict}");
        assert!(verdict.accept().is_err());
    }
}

#[test]
fn every_length_and_reserved_byte_is_looked_at() {
    let enclave = Enclave::sound().unwrap();
    let quote = enclave.evidence(&[0; 64]).statement.0;
    assert!(Quote::parse(&quote).is_ok());
    for len in 0..quote.len() {
        assert!(Quote::parse(&quote[..len]).is_err(), "cut at {len}");
    }
    let auth = 48 + 384;
    let qe_auth = auth + 4 + 128 + 384 + 64;
    for (at, size) in [(auth, 4), (qe_auth, 2), (qe_auth + 2 + 32 + 2, 4)] {
        let sound = quote[at..at + size].to_vec();
        for value in [0_u32, 1, u32::from(u16::MAX), i32::MAX as u32, u32::MAX] {
            let bytes = &value.to_le_bytes()[..size];
            if bytes == sound {
                continue;
            }
            let mut changed = quote.clone();
            changed[at..at + size].copy_from_slice(bytes);
            assert!(Quote::parse(&changed).is_err(), "{value} at {at}");
        }
    }
    // Reserved bytes of the report; type of key and of certification data.
    for at in [
        48 + 20,
        48 + 31,
        48 + 96,
        48 + 127,
        48 + 160,
        48 + 191,
        48 + 262,
        48 + 303,
    ] {
        let mut changed = quote.clone();
        changed[at] = 1;
        assert!(
            matches!(Quote::parse(&changed), Err(QuoteError::Reserved(_))),
            "{at}"
        );
    }
    for (at, error) in [
        (0, QuoteError::Version(2)),
        (2, QuoteError::KeyType(3)),
        (4, QuoteError::TeeType(1)),
    ] {
        let mut changed = quote.clone();
        changed[at] ^= 1;
        assert_eq!(Quote::parse(&changed), Err(error));
    }
}
