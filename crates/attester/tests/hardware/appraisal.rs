//! From the interface to the verdict: the modules over fakes whose statements
//! are signed under a software PKI, judged by a policy that names its anchor.

use soundproof_attester::{
    Attester, Machine,
    detect::{Module, detect},
    nsm::Nitro,
    tsm::Tsm,
};
use soundproof_evidence::{
    Policy, Verdict, appraise,
    nitro::{Document, NitroMeasurements},
    policy::{Anchor, MinTcb, NitroRules, Release, SnpRules, Software, TrustRules},
    snp::{Product, Report, SnpMeasurements, Tcb},
};
use soundproof_protocol::{attestation::Role, binding::Binding, digest::Digest};
use soundproof_testkit::{
    fakes::{
        self,
        configfs::{self, FakeConfigfs},
        nsm::{self, FakeNsm},
    },
    nitro::Enclave,
    pki::NOW_MS,
    session,
    snp::{Chip, Guest},
};
use std::sync::Arc;

fn machine() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let machine = fakes::machine(folder.path());
    (folder, machine)
}

/// Judges evidence of the session with that root, by what the module made for
/// the session with root 7.
fn judged(attester: &dyn Attester, policy: &Policy, root: u8) -> Verdict {
    let of = |root: u8| {
        let root = Digest([root; 32]);
        Binding::new(attester.platform(), Role::Keeper, root, None, None)
    };
    let evidence = attester.evidence(&of(7)).unwrap();
    let endorsements = attester.endorsements().unwrap();
    let trust = session::trust();
    appraise(&evidence, &endorsements, &of(root), &trust, policy, NOW_MS)
}

fn assert_accepted_for_its_session_only(attester: &dyn Attester, policy: &Policy) {
    let verdict = judged(attester, policy, 7);
    assert!(verdict.accept().is_ok());
    let other = judged(attester, policy, 8);
    let failed: Vec<_> = other.failures().map(|check| check.code.code()).collect();
    assert_eq!(failed, ["binding_mismatch"]);
}

#[test]
fn a_nitro_enclave_is_accepted_by_its_policy() {
    let enclave = Enclave::new(NOW_MS - 60_000);
    let document = enclave.document(None);
    let mut policy = Policy::default();
    policy.platform.software_nitro = Some(Software {
        anchor_pem: Anchor::from_pem(&Enclave::root_pem()).unwrap(),
        rules: NitroRules {
            any_machine: true,
            ..NitroRules::default()
        },
    });
    policy.trust = TrustRules::exactly(&session::trust());
    policy.release = vec![Release {
        name: "this one".into(),
        software_nitro: NitroMeasurements::of(&Document::parse(&document).unwrap()),
        ..Release::default()
    }];
    let make: fakes::Maker = Arc::new(move |data: &[u8]| enclave.document(Some(data)));
    let (_folder, mut machine) = machine();
    machine.nsm = FakeNsm::with_maker(make, nsm::Behaviour::default());
    let nitro = Nitro::open(&machine).unwrap().as_software();
    assert_accepted_for_its_session_only(&nitro, &policy);
    // Under its own name it is hardware, which that anchor is none for.
    let found = detect(&machine).unwrap();
    assert!(judged(&*found, &policy, 7).accept().is_err());
    assert!(Module::ALL.contains(&Module::Nitro));
}

#[test]
fn an_snp_guest_is_accepted_with_the_certificates_of_its_host() {
    let chip = Chip::new(Product::Genoa, NOW_MS / 1000);
    let guest = Guest::new(3);
    let [_, bootloader, tee, snp, microcode] = chip.certified;
    let least = Tcb {
        fmc: None,
        bootloader,
        tee,
        snp,
        microcode,
    };
    let report = guest.report(&chip, &[0; 64]);
    let mut policy = Policy::default();
    policy.platform.software_snp = Some(Software {
        anchor_pem: Anchor::from_pem(&chip.root_pem()).unwrap(),
        rules: SnpRules {
            any_machine: true,
            min_tcb: MinTcb::only(Product::Genoa, least),
            ..SnpRules::default()
        },
    });
    policy.trust = TrustRules::exactly(&session::trust());
    policy.release = vec![Release {
        name: "this one".into(),
        software_snp: Some(SnpMeasurements::of(&Report::parse(&report).unwrap())),
        ..Release::default()
    }];
    let host = chip.collateral();
    let certificates = configfs::table_with_list(
        &host.certificate.0,
        &host.chain[0].0,
        &host.chain[1].0,
        &host.crl.as_ref().unwrap().0,
    );
    let make: fakes::Maker =
        Arc::new(move |data: &[u8]| guest.report(&chip, data.try_into().unwrap()));
    let behaviour = configfs::Behaviour {
        certificates,
        ..configfs::Behaviour::default()
    };
    let (_folder, mut machine) = machine();
    machine.configfs = FakeConfigfs::new("sev_guest", make, behaviour);
    let tsm = Tsm::open(&machine).unwrap().as_software();
    assert_accepted_for_its_session_only(&tsm, &policy);
    let found = detect(&machine).unwrap();
    assert!(judged(&*found, &policy, 7).accept().is_err());
}
