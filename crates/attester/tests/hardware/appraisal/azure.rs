//! An Azure VM: the paravisor's report in the fake vTPM, whose quotes the
//! testkit's attestation key signs; the hardware's quote, or its host's
//! certificates, from the fake metadata service.

use super::cases::{Case, anchor, as_hardware, chip, machine, policy};
use soundproof_attester::{
    Attester as _,
    azure::{Azure, Imds},
};
use soundproof_evidence::{
    Hex,
    azure::AzureRelease,
    policy::{AzureRules, DcapRules, Release, Software, TdxRules},
    snp::{Report, SnpCollateral, SnpMeasurements},
};
use soundproof_protocol::{
    attestation::{Endorsements, Platform},
    cbor,
    digest::Digest,
};
use soundproof_testkit::{
    azure::Vm,
    fakes::{
        Maker,
        imds::{self, FakeImds},
        impatient,
        tpm::{self, FakeTpm, hcl_report, td_report},
    },
    pki::Pki,
    snp::Guest,
};
use std::{any::Any, sync::Arc};

/// The module over its two fakes, as software and as it is.
struct Opened {
    software: Azure,
    hardware: Azure,
    held: Vec<Box<dyn Any>>,
}

fn open(vm: &Arc<Vm>, snp: bool, report: &[u8], imds: FakeImds) -> Opened {
    let report = hcl_report(snp, report, &vm.runtime_data());
    let signer = vm.clone();
    let sign = Arc::new(move |attest: &[u8]| signer.sign(attest));
    let (folder, mut machine) = machine();
    std::fs::write(&machine.asset_tag, "7783-7084-3265-9085-8269-3286-77\n").unwrap();
    let tpm = FakeTpm::with_signer(report, sign, tpm::Behaviour::default());
    assert!(vm.pcrs.values().eq(&tpm.pcrs()));
    machine.tpm = tpm;
    machine.host = Arc::new(Imds::at(imds.address(), impatient()));
    Opened {
        software: Azure::open(&machine).unwrap().as_software(),
        hardware: Azure::open(&machine).unwrap(),
        held: vec![Box::new(folder), Box::new(imds)],
    }
}

/// What the guest booted, beside what its hardware measured.
fn booted<R>(vm: &Vm, hardware: R) -> AzureRelease<R> {
    AzureRelease {
        hardware,
        pcrs: vm
            .pcrs
            .iter()
            .map(|(register, value)| (register.to_string(), Hex(*value)))
            .collect(),
        varying: Vec::new(),
    }
}

/// The vTPM carries 32 bytes: SHA-256 of its tag and B.
fn nonce(binding: &[u8]) -> [u8; 32] {
    Digest::of(&[b"soundproof/1/tpm\0", binding].concat()).0
}

pub(super) fn tdx() -> Case {
    let pki = Arc::new(Pki::sound().unwrap());
    let vm = Arc::new(Vm::default());
    let measurements = *pki.platform.measurements();
    let mut policy = policy(Release {
        software_azure_tdx: Some(booted(&vm, measurements)),
        ..Release::default()
    });
    let hardware = TdxRules {
        dcap: DcapRules {
            any_machine: true,
            ..DcapRules::default()
        },
        ..TdxRules::default()
    };
    policy.platform.software_azure_tdx = Some(Software {
        anchor_pem: anchor(pki.platform.anchor_pem()),
        rules: AzureRules {
            hardware,
            ..AzureRules::default()
        },
    });
    let collateral = pki.endorsements().unwrap();
    // The host's quoting enclave: a quote of the report that it is given.
    let quote = {
        let pki = pki.clone();
        move |data: &[u8]| {
            pki.platform
                .sign_domain(&measurements, data.try_into().unwrap())
        }
    };
    let host: Maker = {
        let quote = quote.clone();
        Arc::new(move |report: &[u8]| quote(&report[128..192]))
    };
    let imds = FakeImds::with_maker(host, imds::Behaviour::default()).unwrap();
    let opened = open(&vm, false, &td_report(&vm.report_data()), imds);
    assert_eq!(opened.hardware.platform(), Platform::AzureTdx);
    let sign: Maker =
        Arc::new(move |data: &[u8]| vm.encoded(quote(&vm.report_data()), &nonce(data)));
    Case {
        name: "Azure on TDX",
        software: Arc::new(opened.software),
        hardware: Arc::new(opened.hardware),
        as_hardware: as_hardware!(policy, software_azure_tdx, azure_tdx),
        policy,
        fetched: Some(Endorsements {
            platform: Platform::SoftwareAzureTdx,
            ..collateral
        }),
        sign,
        _held: opened.held,
    }
}

pub(super) fn snp() -> Case {
    let (chip, rules) = chip();
    let guest = Guest::new(3);
    let vm = Arc::new(Vm::default());
    let report = guest.report(&chip, &vm.report_data());
    let measured = SnpMeasurements::of(&Report::parse(&report).unwrap());
    let mut policy = policy(Release {
        software_azure_snp: Some(booted(&vm, measured)),
        ..Release::default()
    });
    policy.platform.software_azure_snp = Some(Software {
        anchor_pem: anchor(&chip.root_pem()),
        rules: AzureRules {
            hardware: rules,
            ..AzureRules::default()
        },
    });
    let collateral = chip.collateral();
    let certificates = [&collateral.certificate]
        .into_iter()
        .chain(&collateral.chain)
        .map(|der| der.0.clone())
        .collect();
    let imds = FakeImds::start(imds::Behaviour {
        certificates,
        ..imds::Behaviour::default()
    })
    .unwrap();
    let opened = open(&vm, true, &report, imds);
    assert_eq!(opened.hardware.platform(), Platform::AzureSnp);
    let sign: Maker = Arc::new(move |data: &[u8]| vm.encoded(report.clone(), &nonce(data)));
    // What the host hands out has no list: the server fetches AMD's.
    let handed_out = opened.software.endorsements().unwrap();
    let handed_out: SnpCollateral = cbor::from_slice(&handed_out.body.0, 1 << 20).unwrap();
    assert_eq!(handed_out.crl, None);
    let whole = SnpCollateral {
        crl: collateral.crl.clone(),
        ..handed_out
    };
    assert_eq!(whole, collateral);
    let body = whole.to_vec();
    Case {
        name: "Azure on SEV-SNP",
        software: Arc::new(opened.software),
        hardware: Arc::new(opened.hardware),
        as_hardware: as_hardware!(policy, software_azure_snp, azure_snp),
        policy,
        fetched: Some(Endorsements::new(Platform::SoftwareAzureSnp, body)),
        sign,
        _held: opened.held,
    }
}
