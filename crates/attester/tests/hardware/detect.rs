use super::{code, device};
use soundproof_attester::{
    AttestError, Machine,
    detect::{Module, detect, open, survey},
};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    self, Access,
    agent::{self, FakeAgent},
    configfs::{self, FakeConfigfs},
    nsm::{self, FakeNsm},
    tpm::{self, FakeTpm},
};

fn nothing() -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let machine = fakes::machine(folder.path());
    (folder, machine)
}

/// Broken if anything but hardware were ever chosen (invariant 8).
#[test]
fn a_machine_without_any_gets_an_error_and_never_software() {
    let (_folder, machine) = nothing();
    let error = detect(&machine).err().unwrap();
    assert!(matches!(error, AttestError::NoPlatform(_)));
    let text = error.to_string();
    for name in ["Nitro", "dstack", "configfs-tsm", "vTPM"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(error.remedy().contains("software"));
    assert_eq!(
        survey(&machine).filter(|found| found.is_absent()).count(),
        4
    );
    for platform in Platform::ALL.iter().filter(|one| one.is_software()) {
        assert!(matches!(
            open(*platform, &machine),
            Err(AttestError::NotBuilt(_))
        ));
    }
}

#[test]
fn the_more_particular_comes_first() {
    let (folder, mut machine) = nothing();
    let snp = fakes::unsigned_snp_report(&[0; 64]);
    machine.tpm = FakeTpm::new(
        tpm::hcl_report(true, &snp, b"{}"),
        tpm::Behaviour::default(),
    );
    assert_eq!(detect(&machine).unwrap().platform(), Platform::AzureSnp);
    machine.configfs = FakeConfigfs::tdx(configfs::Behaviour::default());
    assert_eq!(detect(&machine).unwrap().platform(), Platform::Tdx);
    let socket = folder.path().join("var/run/dstack.sock");
    let _agent = FakeAgent::start(&socket, agent::Behaviour::default()).unwrap();
    assert_eq!(detect(&machine).unwrap().platform(), Platform::Dstack);
    machine.nsm = FakeNsm::new(nsm::Behaviour::default());
    assert_eq!(detect(&machine).unwrap().platform(), Platform::Nitro);
    // By name, any that is there.
    assert_eq!(
        open(Platform::Tdx, &machine).unwrap().platform(),
        Platform::Tdx
    );
    let error = device(open(Platform::Snp, &machine));
    assert_eq!(code(&error), "wrong_provider");
    assert_eq!(Module::ALL.len(), 4);
}

/// Broken if a module that fails were passed over: clients would see evidence
/// of another platform, and reject it.
#[test]
fn one_that_is_there_and_fails_is_told() {
    let (_folder, mut machine) = nothing();
    machine.configfs = FakeConfigfs::tdx(configfs::Behaviour::default());
    machine.nsm = FakeNsm::new(nsm::Behaviour {
        access: Access::Denied,
        ..nsm::Behaviour::default()
    });
    let error = device(detect(&machine));
    assert_eq!(code(&error), "no_permission");
}
