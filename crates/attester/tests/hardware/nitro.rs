use super::{binding, code, device};
use soundproof_attester::{Attester as _, Machine, nsm::Nitro};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    self, Access,
    nsm::{Behaviour, FakeNsm, unsigned_document},
};
use std::sync::Arc;

fn enclave(nsm: &Arc<FakeNsm>) -> (tempfile::TempDir, Machine) {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    machine.nsm = nsm.clone();
    (folder, machine)
}

#[test]
fn the_document_carries_the_binding_as_user_data() {
    let (_folder, machine) = enclave(&FakeNsm::new(Behaviour::default()));
    let nitro = Nitro::open(&machine).unwrap();
    let bound = binding(Platform::Nitro);
    let evidence = nitro.evidence(&bound).unwrap();
    assert_eq!(evidence.platform, Platform::Nitro);
    assert_eq!(evidence.statement.0, unsigned_document(bound.as_bytes()));
    assert!(nitro.endorsements().unwrap().body.0.is_empty());

    // With COSE's tag in front it is a document as well.
    let tagged = |data: &[u8]| [&[0xd2], unsigned_document(data).as_slice()].concat();
    let nsm = FakeNsm::with_maker(Arc::new(tagged), Behaviour::default());
    let (_folder, machine) = enclave(&nsm);
    assert!(Nitro::open(&machine).unwrap().evidence(&bound).is_ok());
}

#[test]
fn every_failure_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let machine = fakes::machine(folder.path());
    let error = Nitro::open(&machine).err().unwrap();
    assert_eq!(code(&error), "no_device");

    for (change, expected) in [
        (
            (|now| now.access = Access::Absent) as fn(&mut Behaviour),
            "no_device",
        ),
        (|now| now.access = Access::Denied, "no_permission"),
        (|now| now.busy = 3, "throttled"),
        (|now| now.error = Some("InternalError".into()), "refused"),
        (|now| now.answer = Some(vec![]), "malformed_answer"),
        (|now| now.answer = Some(vec![0xff; 9]), "malformed_answer"),
        // {"GetRandom": {}}
        (
            |now| now.answer = Some(b"\xa1\x69GetRandom\xa0".to_vec()),
            "malformed_answer",
        ),
        // {"Attestation": {}}
        (
            |now| now.answer = Some(b"\xa1\x6bAttestation\xa0".to_vec()),
            "malformed_answer",
        ),
        // {"Attestation": {"document": h''}}
        (
            |now| now.answer = Some(b"\xa1\x6bAttestation\xa1\x68document\x40".to_vec()),
            "malformed_answer",
        ),
        (|now| now.stale = true, "malformed_answer"),
    ] {
        let nsm = FakeNsm::new(Behaviour::default());
        let (_folder, machine) = enclave(&nsm);
        let nitro = Nitro::open(&machine).unwrap();
        nsm.behave(change);
        let error = device(nitro.evidence(&binding(Platform::Nitro)));
        assert_eq!(code(&error), expected, "{error}");
    }
}

#[test]
fn a_busy_device_is_asked_again() {
    let (_folder, machine) = enclave(&FakeNsm::new(Behaviour {
        busy: 2,
        ..Behaviour::default()
    }));
    assert!(Nitro::open(&machine).is_ok());
}
