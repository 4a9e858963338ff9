//! From the interface to the verdict: every module over its fake, whose
//! statements are signed under a software PKI, judged by a policy that names
//! its anchor. Accepted for the binding that was asked for and for no other;
//! under hardware's own name for none.

mod azure;
mod cases;
mod gpus;

use cases::Case;
use soundproof_attester::detect::Module;
use soundproof_evidence::{Policy, Verdict, appraise};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{pki::NOW_MS, session};
use std::collections::BTreeSet;

const ROOT: Digest = Digest([7; 32]);

/// Reason codes of the checks that failed.
fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.failures().map(|check| check.code.code()).collect()
}

fn judge(
    evidence: &Evidence,
    endorsements: &Endorsements,
    binding: &Binding,
    policy: &Policy,
) -> Verdict {
    let trust = session::trust();
    appraise(evidence, endorsements, binding, &trust, policy, NOW_MS)
}

fn asked_for(platform: Platform) -> Binding {
    Binding::new(platform, Role::Keeper, ROOT, None, None)
}

/// Every binding that differs from the one that is asked for in one thing.
fn others(case: &Case) -> [(&'static str, Binding); 5] {
    let (platform, keeper) = (case.software.platform(), Role::Keeper);
    let other = Digest([8; 32]);
    [
        ("root", Binding::new(platform, keeper, other, None, None)),
        (
            "role",
            Binding::new(platform, Role::Worker, ROOT, None, None),
        ),
        (
            "GPU evidence",
            Binding::new(platform, keeper, ROOT, Some(other), None),
        ),
        (
            "runtime quote",
            Binding::new(platform, keeper, ROOT, None, Some(other)),
        ),
        ("platform", asked_for(case.hardware.platform())),
    ]
}

/// The same, by what is in the policies: hardware's own tables.
fn assert_no_hardware(case: &Case, evidence: &Evidence, endorsements: &Endorsements) {
    let platform = case.hardware.platform();
    assert!(!platform.is_software());
    assert_eq!(evidence.platform, platform);
    let mut endorsements = endorsements.clone();
    endorsements.platform = platform;
    let binding = asked_for(platform);
    let verdict = judge(evidence, &endorsements, &binding, &case.policy);
    assert!(
        codes(&verdict).contains(&"platform_not_accepted"),
        "{verdict}"
    );
    assert!(verdict.accept().is_err());
    let verdict = judge(evidence, &endorsements, &binding, &case.as_hardware);
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    assert!(verdict.accept().is_err());
}

fn assert_accepted_for_its_session_only(case: &Case) {
    let name = case.name;
    let platform = case.software.platform();
    assert!(platform.is_software(), "{name}");
    let evidence = case.software.evidence(&asked_for(platform)).unwrap();
    let endorsements = case.endorsements();
    let judged = |evidence: &Evidence, binding: &Binding| {
        judge(evidence, &endorsements, binding, &case.policy)
    };
    let verdict = judged(&evidence, &asked_for(platform));
    assert_eq!(codes(&verdict), [""; 0], "{name}\n{verdict}");
    assert_eq!(verdict.release.as_deref(), Some("this one"), "{name}");
    assert!(verdict.accept().is_ok(), "{name}");

    // Broken if the module asked its device for anything but this binding, or
    // the verifier did not compare all of it.
    for (other, binding) in others(case) {
        let verdict = judged(&evidence, &binding);
        assert_eq!(codes(&verdict), ["binding_mismatch"], "{name}, {other}");
        assert!(verdict.accept().is_err(), "{name}, {other}");
    }
    // The same device signs the same session under other domain tags.
    for tag in ["soundproof/2/binding", "soundproof/1/gpu", "", "other"] {
        let statement = (case.sign)(&tagged(tag));
        let foreign = Evidence {
            statement: Bytes(statement),
            ..evidence.clone()
        };
        let verdict = judged(&foreign, &asked_for(platform));
        assert_eq!(codes(&verdict), ["binding_mismatch"], "{name}, tag {tag:?}");
        assert!(verdict.accept().is_err(), "{name}, tag {tag:?}");
    }
    // Signed as it must be, the same way: what failed above was the tag.
    let again = Evidence {
        statement: Bytes((case.sign)(asked_for(platform).as_bytes())),
        ..evidence
    };
    assert!(judged(&again, &asked_for(platform)).accept().is_ok());

    let hardware = case.hardware.platform();
    let evidence = case.hardware.evidence(&asked_for(hardware)).unwrap();
    assert_no_hardware(case, &evidence, &endorsements);
}

/// What another protocol might have the same device sign for the same root.
fn tagged(tag: &str) -> [u8; 64] {
    let half = |number: u8| Digest::of(&[tag.as_bytes(), &[0, number], &ROOT.0].concat());
    [half(0).0, half(1).0].concat().try_into().unwrap()
}

macro_rules! accepted {
    ($($test:ident: $case:path;)*) => {
        $(
            #[test]
            fn $test() {
                assert_accepted_for_its_session_only(&$case());
            }
        )*

        /// Broken if a module had no accepting run of its own.
        #[test]
        fn every_module_and_platform_is_among_them() {
            let cases = [$($case()),*];
            let found: BTreeSet<_> = cases
                .iter()
                .map(|case| case.hardware.platform().name())
                .collect();
            let expected: BTreeSet<_> = Platform::ALL
                .iter()
                .filter(|one| !one.is_software() && **one != Platform::Sgx)
                .map(|one| one.name())
                .collect();
            assert_eq!(found, expected);
            assert_eq!(Module::ALL.len(), 4);
        }
    };
}

accepted! {
    a_tdx_guest_with_its_event_log_is_accepted: cases::tdx;
    an_snp_guest_is_accepted_with_the_certificates_of_its_host: cases::snp;
    a_dstack_guest_is_accepted_by_the_current_agent: cases::dstack;
    a_dstack_guest_is_accepted_by_the_legacy_agent: cases::tappd;
    a_nitro_enclave_is_accepted: cases::nitro;
    an_azure_vm_on_tdx_is_accepted: azure::tdx;
    an_azure_vm_on_snp_is_accepted: azure::snp;
}
