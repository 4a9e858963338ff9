//! Containers of SEV-SNP's and Azure's evidence, and the files in which AMD's
//! certificates come.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use serde_json::{Value, json};
use soundproof_evidence::{
    container::{ContainerError, Found, endorsements, open},
    snp::{Product, SnpCollateral},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, Platform},
    cbor::{self, Bytes},
};
use soundproof_testkit::{
    azure::Vm,
    pki::NOW_MS,
    snp::{Chip, Guest},
};

fn chip() -> Chip {
    Chip::new(Product::Genoa, NOW_MS / 1000)
}

fn evidence(bytes: &[u8]) -> (Evidence, Option<Box<Endorsements>>) {
    match open(bytes).unwrap().found {
        Found::Evidence(evidence, beside) => (*evidence, beside),
        found => panic!("{found:?}"),
    }
}

/// The paravisor's report, as it lies in the vTPM.
fn hcl(kind: u32, hardware: &[u8], runtime_data: &[u8]) -> Vec<u8> {
    let mut bytes = b"HCLA".to_vec();
    bytes.resize(32, 0);
    bytes.extend(hardware);
    bytes.resize(32 + 1184, 0);
    let size = runtime_data.len() as u32;
    for field in [size + 20, 1, kind, 1, size] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(runtime_data);
    bytes.resize(2600, 0);
    bytes
}

#[test]
fn a_report_is_found_a_few_bytes_into_something_else() {
    let report = Guest::new(3).report(&chip(), &[7; 64]);
    for prefix in [0, 4, 32] {
        let mut bytes = vec![0; prefix];
        bytes.extend(&report);
        bytes.extend([9; 100]);
        let (found, _) = evidence(&bytes);
        assert_eq!(found.platform, Platform::Snp);
        assert_eq!(found.statement.0, report, "{prefix} bytes before");
    }
    let mut bytes = vec![0; 40];
    bytes.extend(&report);
    assert!(open(&bytes).is_err());
    // What must be zero in every report tells it from anything else.
    for at in [0x30, 0x2d5, 0x320, 0x400] {
        let mut other = report.clone();
        other[at] = 0x55;
        assert!(open(&other).is_err(), "{at:#x}");
    }
}

#[test]
fn a_paravisors_report_is_what_its_hardware_says() {
    let report = Guest::new(3).report(&chip(), &[7; 64]);
    let (found, _) = evidence(&hcl(2, &report, b"{}"));
    assert_eq!(found.statement.0, report);
    // Of TDX it is not signed for anybody else.
    let Err(ContainerError::Unknown(layers)) = open(&hcl(4, &[0x81; 1024], b"{}")) else {
        panic!()
    };
    assert!(layers[0].contains("of TDX"), "{layers:?}");
}

/// Both ways in which Trustee's versions write it: lists of numbers, and text.
#[test]
fn trustees_evidence_of_an_azure_vm_is_found_whole() {
    let vm = Vm::default();
    let report = Guest::new(3).report(&chip(), &vm.report_data());
    let expected = vm.statement(report.clone(), b"nonce");
    let hcl = hcl(2, &report, &vm.runtime_data());
    let vcek = chip().collateral().certificate.0;
    // Without TPMT_SIGNATURE's scheme, hash and length.
    let signature = &expected.signature.0[6..];
    let pcrs = expected.pcrs.0.values();
    let numbers = json!({
        "quote": {
            "message": expected.attest.0, "signature": signature,
            "pcrs": pcrs.clone().collect::<Vec<_>>(),
        },
        "report": hcl,
        "vcek": null,
    });
    let text = json!({
        "version": 1,
        "tpm_quote": {
            "message": hex::encode(&expected.attest.0), "signature": hex::encode(signature),
            "pcrs": pcrs.map(hex::encode).collect::<Vec<_>>(),
        },
        "hcl_report": URL_SAFE.encode(&hcl),
        "vcek": URL_SAFE.encode(&vcek),
    });
    for (value, with_key) in [(&numbers, false), (&text, true)] {
        let (found, beside) = evidence(value.to_string().as_bytes());
        assert_eq!(found.platform, Platform::AzureSnp);
        assert_eq!(found.statement.0, cbor::to_vec(&expected));
        assert_eq!(beside.is_some(), with_key);
    }
    for (member, wrong) in [
        ("hcl_report", json!("AAAA")),
        ("hcl_report", json!([256])),
        ("tpm_quote", Value::Null),
    ] {
        let mut value = text.clone();
        value[member] = wrong;
        assert!(open(value.to_string().as_bytes()).is_err(), "{member}");
    }
}

#[test]
fn certificates_are_put_in_order_whatever_files_they_are_in() {
    let sound = chip().collateral();
    let (found, _) = evidence(&Guest::new(3).report(&chip(), &[7; 64]));
    let key = sound.certificate.0.clone();
    let [ask, ark] = [&sound.chain[0].0, &sound.chain[1].0].map(Clone::clone);
    let put = |beside: Option<&Endorsements>, files: &[Vec<u8>]| {
        let body = endorsements(&found, beside, files)?.body.0;
        cbor::from_slice::<SnpCollateral>(&body, MAX_ENDORSEMENTS).ok()
    };
    let pem = |der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    };
    let expected = SnpCollateral {
        crl: None,
        ..sound.clone()
    };
    let bundle = [pem(&ark), pem(&ask)].concat();
    for files in [
        vec![key.clone(), ask.clone(), ark.clone()],
        vec![ark.clone(), key.clone(), ask.clone()],
        vec![bundle.clone(), key.clone()],
        vec![[bundle.clone(), pem(&key)].concat()],
    ] {
        assert_eq!(put(None, &files).as_ref(), Some(&expected));
    }
    // The rest of what the evidence came with, and a list.
    let beside = SnpCollateral {
        certificate: Bytes(key),
        chain: Vec::new(),
        crl: None,
    };
    let beside = Endorsements::new(Platform::Snp, beside.to_vec());
    let crl = sound.crl.clone().unwrap().0;
    assert_eq!(put(Some(&beside), &[bundle.clone(), crl]), Some(sound));
    // Nobody's certificate, and not a certificate.
    assert_eq!(put(None, &[bundle]), None);
    assert_eq!(put(None, &[b"what".to_vec()]), None);
}

#[test]
fn a_detached_token_is_shown() {
    let (header, each) = ("eyJhIjoxfQ", "eyJtIjoic3VjY2VzcyJ9");
    let token = |claims: &str| format!("{header}.{claims}.c2ln");
    let value = json!([["JWT", token("eyJ4Ijp0cnVlfQ")], { "GPU-0": token(each) }]);
    let Found::Token(claims) = open(value.to_string().as_bytes()).unwrap().found else {
        panic!()
    };
    assert_eq!(claims["overall"]["claims"]["x"], true);
    assert_eq!(claims["each"]["GPU-0"]["claims"]["m"], "success");
}
