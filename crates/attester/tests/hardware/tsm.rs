use super::{binding, code, device};
use soundproof_attester::{Attester as _, Machine, Problem, tsm::Tsm};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    self, Access,
    configfs::{Behaviour, FakeConfigfs, certificate_table},
};
use std::sync::Arc;

/// A guest with that interface; the folder holds what else it has.
fn guest(configfs: &Arc<FakeConfigfs>) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    machine.configfs = configfs.clone();
    (folder, machine)
}

#[test]
fn a_tdx_guest_quotes_the_binding_and_shows_its_event_log() {
    let configfs = FakeConfigfs::tdx(Behaviour::default());
    let (_folder, machine) = guest(&configfs);
    std::fs::write(&machine.event_log, [1, 2, 3]).unwrap();
    let tsm = Tsm::open(&machine).unwrap();
    assert_eq!(tsm.platform(), Platform::Tdx);
    let bound = binding(Platform::Tdx);
    let evidence = tsm.evidence(&bound).unwrap();
    assert_eq!(evidence.platform, Platform::Tdx);
    assert_eq!(&evidence.statement.0[568..632], bound.as_bytes());
    assert_eq!(evidence.event_log.unwrap().0, [1, 2, 3]);
    assert_eq!(configfs.made(), [(0, bound.as_bytes().to_vec())]);
    assert!(tsm.endorsements().unwrap().body.0.is_empty());
    assert_eq!(configfs.folders(), 0, "every folder is removed");
}

#[test]
fn an_snp_guest_names_its_level_and_passes_the_hosts_certificates_on() {
    let configfs = FakeConfigfs::snp(Behaviour {
        floor: 2,
        certificates: certificate_table(b"vcek", b"ask", b"ark"),
        ..Behaviour::default()
    });
    let (_folder, machine) = guest(&configfs);
    let tsm = Tsm::open(&machine).unwrap();
    assert_eq!(tsm.platform(), Platform::Snp);
    let bound = binding(Platform::Snp);
    let evidence = tsm.evidence(&bound).unwrap();
    assert_eq!(&evidence.statement.0[0x50..0x90], bound.as_bytes());
    assert_eq!(configfs.made(), [(2, bound.as_bytes().to_vec())]);
    // {0: h'vcek', 1: [h'ask', h'ark']}
    let endorsements = tsm.endorsements().unwrap();
    assert_eq!(
        endorsements.body.0,
        b"\xa2\x00\x44vcek\x01\x82\x43ask\x43ark"
    );
    configfs.behave(|now| now.certificates.clear());
    tsm.evidence(&bound).unwrap();
    assert!(tsm.endorsements().unwrap().body.0.is_empty());
}

#[test]
fn evidence_over_a_fake_can_be_named_software_and_nothing_else() {
    let (_folder, machine) = guest(&FakeConfigfs::snp(Behaviour::default()));
    let tsm = Tsm::open(&machine).unwrap().as_software();
    let bound = binding(Platform::SoftwareSnp);
    let evidence = tsm.evidence(&bound).unwrap();
    assert_eq!(evidence.platform, Platform::SoftwareSnp);
    assert!(tsm.platform().is_software());
}

#[test]
fn busy_is_asked_again_a_bounded_number_of_times() {
    let configfs = FakeConfigfs::tdx(Behaviour {
        busy: 2,
        ..Behaviour::default()
    });
    let (_folder, machine) = guest(&configfs);
    let tsm = Tsm::open(&machine).unwrap();
    let bound = binding(Platform::Tdx);
    assert!(tsm.evidence(&bound).is_ok());
    configfs.behave(|now| now.busy = 3);
    let error = device(tsm.evidence(&bound));
    assert_eq!(code(&error), "throttled");
    assert!(matches!(error.problem, Problem::Throttled { tries: 3 }));
    assert_eq!(configfs.folders(), 0);
}

/// Broken if the generation were not compared: somebody else's data would be
/// in the report.
#[test]
fn a_report_that_somebody_else_interrupted_is_asked_for_again() {
    let configfs = FakeConfigfs::tdx(Behaviour {
        interrupted: 2,
        ..Behaviour::default()
    });
    let (_folder, machine) = guest(&configfs);
    let tsm = Tsm::open(&machine).unwrap();
    let bound = binding(Platform::Tdx);
    let evidence = tsm.evidence(&bound).unwrap();
    assert_eq!(&evidence.statement.0[568..632], bound.as_bytes());
    assert_eq!(configfs.made().len(), 3);
}

#[test]
fn every_failure_has_its_name() {
    for (behaviour, expected) in [
        (
            Behaviour {
                access: Access::Absent,
                ..Behaviour::default()
            },
            "no_device",
        ),
        (
            Behaviour {
                no_provider: true,
                ..Behaviour::default()
            },
            "no_device",
        ),
        (
            Behaviour {
                access: Access::Denied,
                ..Behaviour::default()
            },
            "no_permission",
        ),
    ] {
        let (_folder, machine) = guest(&FakeConfigfs::tdx(behaviour));
        let error = Tsm::open(&machine).err().unwrap();
        assert_eq!(code(&error), expected);
    }
    let make = Arc::new(|_: &[u8]| Vec::new());
    let arm = FakeConfigfs::new("arm_cca_guest", make.clone(), Behaviour::default());
    let (_folder, machine) = guest(&arm);
    let error = Tsm::open(&machine).err().unwrap();
    assert_eq!(code(&error), "wrong_provider");

    let bound = binding(Platform::Tdx);
    let broken = Behaviour {
        broken: true,
        ..Behaviour::default()
    };
    let stale = Behaviour {
        stale: true,
        ..Behaviour::default()
    };
    for (configfs, expected) in [
        (FakeConfigfs::tdx(broken), "io"),
        (FakeConfigfs::tdx(stale), "malformed_answer"),
        (
            FakeConfigfs::new("tdx_guest", make, Behaviour::default()),
            "malformed_answer",
        ),
        (
            FakeConfigfs::new(
                "sev_guest",
                Arc::new(|data: &[u8]| {
                    let mut report = fakes::unsigned_snp_report(data);
                    report.push(0);
                    report
                }),
                Behaviour::default(),
            ),
            "malformed_answer",
        ),
        (
            FakeConfigfs::snp(Behaviour {
                certificates: vec![1; 30],
                ..Behaviour::default()
            }),
            "malformed_answer",
        ),
    ] {
        let (_folder, machine) = guest(&configfs);
        let error = device(Tsm::open(&machine).unwrap().evidence(&bound));
        assert_eq!(code(&error), expected);
        assert_eq!(configfs.folders(), 0);
    }
}

#[test]
fn an_event_log_that_is_there_must_be_read() {
    let configfs = FakeConfigfs::tdx(Behaviour::default());
    let (_folder, machine) = guest(&configfs);
    assert!(!Tsm::open(&machine).unwrap().has_event_log());
    std::fs::write(&machine.event_log, vec![1; 300 * 1024]).unwrap();
    let error = Tsm::open(&machine).err().unwrap();
    assert_eq!(code(&error), "malformed_answer");
    std::fs::remove_file(&machine.event_log).unwrap();
    // A folder can be opened, and not read.
    std::fs::create_dir(&machine.event_log).unwrap();
    let error = Tsm::open(&machine).err().unwrap();
    assert_eq!(code(&error), "io");
}
