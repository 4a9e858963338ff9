use super::code;
use soundproof_attester::{
    Attester, Interface,
    composite::WithGpus,
    nvml::{Gpus as _, Nvml},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::{Binding, GpuNonce},
    digest::Digest,
};
use soundproof_testkit::fakes::{
    impatient,
    nvml::{Behaviour, build, unsigned},
};
use std::sync::Arc;

fn nonce() -> GpuNonce {
    GpuNonce::new(Digest([7; 32]))
}

fn library(behaviour: &Behaviour) -> (tempfile::TempDir, Nvml) {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), Arc::new(unsigned), behaviour).unwrap();
    (folder, Nvml::new(path, impatient()))
}

#[test]
fn every_gpu_reports_our_nonce_with_its_chain() {
    let (_folder, nvml) = library(&Behaviour {
        gpus: 2,
        busy: 2,
        ..Behaviour::default()
    });
    let evidence = nvml.evidence(&nonce()).unwrap();
    let mut decoder = minicbor::Decoder::new(&evidence);
    assert_eq!(decoder.map().unwrap(), Some(1));
    assert_eq!(decoder.u8().unwrap(), 0);
    assert_eq!(decoder.array().unwrap(), Some(2));
    for index in 0..2 {
        let (report, chain) = unsigned(index, nonce().as_bytes());
        assert_eq!(decoder.map().unwrap(), Some(3));
        assert_eq!((decoder.u8().unwrap(), decoder.u8().unwrap()), (0, 0));
        assert_eq!(decoder.u8().unwrap(), 1);
        assert_eq!(decoder.bytes().unwrap(), report);
        assert_eq!(decoder.u8().unwrap(), 2);
        assert_eq!(decoder.bytes().unwrap(), chain);
    }
    assert_eq!(decoder.position(), evidence.len());
}

#[test]
fn every_failure_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let absent = Nvml::new(folder.path().join("libnvidia-ml.so.1"), impatient());
    assert_eq!(code(&absent.evidence(&nonce()).unwrap_err()), "no_device");

    let default = Behaviour::default;
    for (behaviour, expected) in [
        // DRIVER_NOT_LOADED, NO_PERMISSION, UNKNOWN
        (
            Behaviour {
                start: 9,
                ..default()
            },
            "no_device",
        ),
        (
            Behaviour {
                start: 4,
                ..default()
            },
            "no_permission",
        ),
        (
            Behaviour {
                start: 999,
                ..default()
            },
            "refused",
        ),
        (
            Behaviour {
                gpus: 0,
                ..default()
            },
            "no_device",
        ),
        (
            Behaviour {
                gpus: 17,
                ..default()
            },
            "refused",
        ),
        (
            Behaviour {
                confidential: false,
                ..default()
            },
            "not_confidential",
        ),
        (
            Behaviour {
                developer_tools: true,
                ..default()
            },
            "not_confidential",
        ),
        (
            Behaviour {
                old: true,
                ..default()
            },
            "refused",
        ),
        (
            Behaviour {
                busy: 3,
                ..default()
            },
            "throttled",
        ),
        // TIMEOUT, GPU_IS_LOST
        (
            Behaviour {
                report: 10,
                ..default()
            },
            "timed_out",
        ),
        (
            Behaviour {
                report: 15,
                ..default()
            },
            "refused",
        ),
        (
            Behaviour {
                claimed: Some(0x2001),
                ..default()
            },
            "malformed_answer",
        ),
        (
            Behaviour {
                claimed: Some(0),
                ..default()
            },
            "malformed_answer",
        ),
        (
            Behaviour {
                claimed: Some(35),
                ..default()
            },
            "malformed_answer",
        ),
    ] {
        let (_folder, nvml) = library(&behaviour);
        let error = nvml.evidence(&nonce()).unwrap_err();
        assert_eq!(code(&error), expected, "{behaviour:?}: {error}");
        assert_eq!(error.interface, Interface::Nvml);
    }
}

#[test]
fn a_report_with_another_nonce_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let other = |index: u32, _: &[u8; 32]| unsigned(index, &[0; 32]);
    let path = build(folder.path(), Arc::new(other), &Behaviour::default()).unwrap();
    let error = Nvml::new(path, impatient()).evidence(&nonce()).unwrap_err();
    assert_eq!(code(&error), "malformed_answer");
}

struct Cpu;

impl Attester for Cpu {
    fn platform(&self) -> Platform {
        Platform::Software
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, soundproof_attester::AttestError> {
        Ok(Evidence {
            platform: Platform::Software,
            statement: binding.as_bytes().to_vec().into(),
            event_log: None,
            gpu: None,
            runtime: None,
        })
    }

    fn endorsements(&self) -> Result<Endorsements, soundproof_attester::AttestError> {
        Ok(Endorsements::new(Platform::Software, Vec::new()))
    }
}

#[test]
fn a_cpu_with_gpus_is_of_the_cpus_platform() {
    let (_folder, nvml) = library(&Behaviour::default());
    let expected = nvml.evidence(&nonce()).unwrap();
    assert_eq!(Cpu.gpus(&nonce()).unwrap(), None);
    let both = WithGpus::new(Arc::new(Cpu), Arc::new(nvml));
    assert_eq!(both.platform(), Platform::Software);
    assert_eq!(both.gpus(&nonce()).unwrap().unwrap().0, expected);
}
