use super::{binding, code, device};
use soundproof_attester::{
    Attester as _, Interface, Machine,
    azure::{Azure, Imds},
};
use soundproof_protocol::attestation::Platform;
use soundproof_testkit::fakes::{
    self, Access,
    imds::{self, FakeImds},
    impatient,
    tpm::{self, FakeTpm, hcl_report, td_report, vouching},
};
use std::{sync::Arc, time::Duration};

const RUNTIME: &[u8] = b"{\"keys\":[{\"kid\":\"HCLAkPub\"}]}";

struct Vm {
    _folder: tempfile::TempDir,
    machine: Machine,
    tpm: Arc<FakeTpm>,
    imds: FakeImds,
}

fn vm(snp: bool) -> Vm {
    let data = vouching(RUNTIME);
    let report = match snp {
        true => fakes::unsigned_snp_report(&data),
        false => td_report(&data),
    };
    let tpm = FakeTpm::new(hcl_report(snp, &report, RUNTIME), tpm::Behaviour::default());
    let imds = FakeImds::start(imds::Behaviour {
        certificates: vec![b"vcek".to_vec(), b"ask".to_vec(), b"ark".to_vec()],
        ..imds::Behaviour::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    std::fs::write(&machine.asset_tag, "7783-7084-3265-9085-8269-3286-77\n").unwrap();
    machine.tpm = tpm.clone();
    machine.host = Arc::new(Imds::at(imds.address(), impatient()));
    Vm {
        _folder: folder,
        machine,
        tpm,
        imds,
    }
}

/// The statement's entries 0 to 3, and the number of its PCRs.
fn parts(statement: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let mut decoder = minicbor::Decoder::new(statement);
    assert_eq!(decoder.map().unwrap(), Some(5));
    let mut parts = Vec::new();
    for key in 0..4 {
        assert_eq!(decoder.u8().unwrap(), key);
        parts.push(decoder.bytes().unwrap().to_vec());
    }
    assert_eq!(decoder.u8().unwrap(), 4);
    let pcrs = decoder.map().unwrap().unwrap();
    for pcr in 0..pcrs {
        assert_eq!(decoder.u64().unwrap(), pcr);
        assert_eq!(decoder.bytes().unwrap().len(), 32);
    }
    assert_eq!(decoder.position(), statement.len());
    (parts, pcrs)
}

#[test]
fn on_tdx_the_host_quotes_the_report_and_the_vtpm_the_binding() {
    let vm = vm(false);
    let azure = Azure::open(&vm.machine).unwrap();
    assert_eq!(azure.platform(), Platform::AzureTdx);
    let bound = binding(Platform::AzureTdx);
    let evidence = azure.evidence(&bound).unwrap();
    let (parts, pcrs) = parts(&evidence.statement.0);
    assert_eq!(&parts[0][568..632], vouching(RUNTIME));
    assert_eq!(parts[1], RUNTIME);
    let nonce = bound.tpm_nonce();
    assert!(parts[2].windows(32).any(|part| part == nonce.as_bytes()));
    assert_eq!(parts[3].len(), 6 + 256);
    assert_eq!(pcrs, 24);
    assert!(azure.endorsements().unwrap().body.0.is_empty());
    // The hardware's quote is kept: the service is not asked again.
    vm.imds.behave(|now| now.status = Some(500));
    assert!(azure.evidence(&bound).is_ok());
}

#[test]
fn on_snp_the_report_is_signed_and_the_host_gives_certificates() {
    let vm = vm(true);
    let azure = Azure::open(&vm.machine).unwrap();
    assert_eq!(azure.platform(), Platform::AzureSnp);
    let evidence = azure.evidence(&binding(Platform::AzureSnp)).unwrap();
    let (parts, _) = parts(&evidence.statement.0);
    assert_eq!(parts[0].len(), 1184);
    assert_eq!(
        azure.endorsements().unwrap().body.0,
        b"\xa2\x00\x44vcek\x01\x82\x43ask\x43ark"
    );
}

/// Broken if the values were read once only: they would not be the quoted ones.
#[test]
fn a_pcr_that_changes_meanwhile_makes_the_quote_again() {
    let vm = vm(false);
    let azure = Azure::open(&vm.machine).unwrap();
    let bound = binding(Platform::AzureTdx);
    vm.tpm.behave(|now| now.extended = 2);
    let evidence = azure.evidence(&bound).unwrap();
    let pcr = vm.tpm.pcrs()[10];
    assert!(evidence.statement.0.windows(32).any(|part| part == pcr));
    vm.tpm.behave(|now| now.extended = 3);
    assert_eq!(code(&device(azure.evidence(&bound))), "throttled");
}

#[test]
fn every_failure_of_the_vtpm_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = Azure::open(&fakes::machine(folder.path())).err().unwrap();
    assert_eq!(code(&error), "no_device");
    // A TPM of another maker is not even asked.
    let other = vm(false);
    std::fs::write(&other.machine.asset_tag, "No Asset Tag\n").unwrap();
    other.tpm.behave(|now| now.access = Access::Denied);
    assert!(Azure::open(&other.machine).err().unwrap().is_absent());
    // Azure's, and no confidential VM.
    let plain = vm(false);
    plain.tpm.set_report(None);
    assert!(Azure::open(&plain.machine).err().unwrap().is_absent());

    for (change, expected) in [
        (
            (|now| now.access = Access::Denied) as fn(&mut tpm::Behaviour),
            "no_permission",
        ),
        (|now| now.busy = 3, "throttled"),
        (|now| now.retry = 3, "throttled"),
        // TPM_RC_AUTH_FAIL: the owner has a password.
        (|now| now.code = Some(0x98e), "refused"),
        (|now| now.answer = Some(vec![]), "malformed_answer"),
        (|now| now.answer = Some(vec![0x80; 10]), "malformed_answer"),
        (
            |now| now.answer = Some(vec![0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0]),
            "malformed_answer",
        ),
    ] {
        let vm = vm(false);
        vm.tpm.behave(change);
        let error = Azure::open(&vm.machine).err().unwrap();
        assert_eq!(code(&error), expected, "{error}");
        assert_eq!(error.interface, Interface::Tpm);
    }

    let vm = vm(false);
    let azure = Azure::open(&vm.machine).unwrap();
    vm.tpm.behave(|now| now.stale = true);
    let error = device(azure.evidence(&binding(Platform::AzureTdx)));
    assert_eq!(code(&error), "malformed_answer");
}

#[test]
fn a_busy_vtpm_is_asked_again() {
    let vm = vm(true);
    vm.tpm.behave(|now| {
        now.busy = 2;
    });
    assert!(Azure::open(&vm.machine).is_ok());
    vm.tpm.behave(|now| now.retry = 2);
    assert!(Azure::open(&vm.machine).is_ok());
}

#[test]
fn a_report_that_is_none_or_vouches_for_something_else_is_an_error() {
    let vm = vm(false);
    let azure = Azure::open(&vm.machine).unwrap();
    let other = hcl_report(false, &td_report(&vouching(b"other")), RUNTIME);
    for report in [other, b"HCLA".to_vec(), vec![0; 2600]] {
        vm.tpm.set_report(Some(report));
        let error = device(azure.evidence(&binding(Platform::AzureTdx)));
        assert_eq!(code(&error), "malformed_answer");
    }
    // It was TDX when it was opened.
    let snp = hcl_report(
        true,
        &fakes::unsigned_snp_report(&vouching(RUNTIME)),
        RUNTIME,
    );
    vm.tpm.set_report(Some(snp));
    let error = device(azure.evidence(&binding(Platform::AzureTdx)));
    assert_eq!(code(&error), "malformed_answer");
}

#[test]
fn every_failure_of_the_metadata_service_has_its_name() {
    for (change, expected) in [
        (
            (|now| now.throttled = 3) as fn(&mut imds::Behaviour),
            "throttled",
        ),
        (|now| now.status = Some(404), "no_device"),
        (|now| now.status = Some(400), "refused"),
        (|now| now.status = Some(403), "no_permission"),
        (|now| now.status = Some(410), "throttled"),
        (|now| now.body = Some("[]".into()), "malformed_answer"),
        (
            |now| now.body = Some("{\"quote\":\"!\"}".into()),
            "malformed_answer",
        ),
        (
            |now| now.body = Some("{\"quote\":\"AAAA\"}".into()),
            "malformed_answer",
        ),
        (|now| now.stale = true, "malformed_answer"),
    ] {
        let vm = vm(false);
        let azure = Azure::open(&vm.machine).unwrap();
        vm.imds.behave(change);
        let error = device(azure.evidence(&binding(Platform::AzureTdx)));
        assert_eq!(code(&error), expected, "{error}");
        assert_eq!(error.interface, Interface::Imds);
    }
    let vm = vm(true);
    vm.imds.behave(|now| now.certificates.clear());
    let azure = Azure::open(&vm.machine).unwrap();
    let error = device(azure.evidence(&binding(Platform::AzureSnp)));
    assert_eq!(code(&error), "malformed_answer");
}

#[test]
fn a_service_that_is_throttled_or_silent() {
    let mut vm = vm(false);
    vm.imds.behave(|now| now.throttled = 2);
    let azure = Azure::open(&vm.machine).unwrap();
    assert!(azure.evidence(&binding(Platform::AzureTdx)).is_ok());

    let mut retry = impatient();
    retry.limit = Duration::from_millis(50);
    vm.machine.host = Arc::new(Imds::at(vm.imds.address(), retry));
    vm.imds.behave(|now| now.silent = true);
    let azure = Azure::open(&vm.machine).unwrap();
    let error = device(azure.evidence(&binding(Platform::AzureTdx)));
    assert_eq!(code(&error), "timed_out");
}
