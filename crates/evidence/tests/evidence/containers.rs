//! What a file holds is found in every container in which people keep it.

use crate::{common::Case, vectors};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use soundproof_evidence::{
    container::{ContainerError, Found, MAX_FILE, Opened, open},
    explain,
};
use soundproof_protocol::{
    attestation::{Endorsements, Platform},
    cbor,
};

fn platform(opened: &Opened) -> Option<Platform> {
    match &opened.found {
        Found::Evidence(evidence, _) => Some(evidence.platform),
        Found::Session(session) => Some(session.evidence.platform),
        _ => None,
    }
}

#[test]
fn a_quote_is_found_however_it_is_wrapped() {
    let quote = Case::sound().evidence.statement.0;
    let hex = hex::encode(&quote);
    let log = r#"[{"imr":3}]"#;
    let wrapped: Vec<(Vec<u8>, &[&str], Platform)> = vec![
        (quote.clone(), &["a TDX quote"], Platform::Tdx),
        (hex.clone().into(), &["hex", "a TDX quote"], Platform::Tdx),
        (
            format!(" 0x{hex}\n").into(),
            &["hex", "a TDX quote"],
            Platform::Tdx,
        ),
        (
            STANDARD.encode(&quote).into(),
            &["base64", "a TDX quote"],
            Platform::Tdx,
        ),
        (
            format!(r#"{{"quote":"{hex}"}}"#).into(),
            &["JSON", "a TDX quote"],
            Platform::Tdx,
        ),
        (
            serde_json::json!({ "quote": hex, "event_log": log })
                .to_string()
                .into(),
            &["JSON"],
            Platform::Dstack,
        ),
        (
            format!(r#"{{"quote":"{hex}","event_log":{log}}}"#).into(),
            &["JSON"],
            Platform::Dstack,
        ),
        (
            serde_json::json!({
                "quote": STANDARD.encode(&quote),
                "cc_eventlog": STANDARD.encode(b"log"),
            })
            .to_string()
            .into(),
            &["JSON"],
            Platform::Tdx,
        ),
    ];
    for (bytes, layers, expected) in wrapped {
        let opened = open(&bytes).unwrap();
        assert_eq!(opened.layers, layers);
        assert_eq!(platform(&opened), Some(expected));
        let Found::Evidence(evidence, _) = opened.found else {
            panic!("{layers:?}")
        };
        assert_eq!(evidence.statement.0, quote, "{layers:?}");
    }
}

#[test]
fn this_protocols_own_encodings_are_found() {
    let case = Case::sound();
    let session = open(&cbor::to_vec(&case.session)).unwrap();
    assert_eq!(
        session.found,
        Found::Session(Box::new(case.session.clone()))
    );
    let evidence = open(&cbor::to_vec(&case.evidence)).unwrap();
    assert_eq!(
        evidence.found,
        Found::Evidence(Box::new(case.evidence), None)
    );
}

#[test]
fn others_are_told_apart() {
    let mut report = vec![0_u8; 1184];
    report[0] = 3;
    report[0x34] = 1;
    let mut answer = vec![0_u8; 32];
    answer[4..8].copy_from_slice(&1184_u32.to_le_bytes());
    answer.extend(&report);
    answer.extend([0; 100]);
    for bytes in [&report, &answer] {
        let opened = open(bytes).unwrap();
        assert_eq!(platform(&opened), Some(Platform::Snp));
        let Found::Evidence(evidence, _) = opened.found else {
            panic!()
        };
        assert_eq!(evidence.statement.0, report);
    }
    let mut sgx = vec![0_u8; 436];
    sgx[0] = 3;
    sgx[2] = 2;
    sgx[12..28].copy_from_slice(&hex::decode("939a7233f79c4ca9940a0db3957f0607").unwrap());
    assert_eq!(platform(&open(&sgx).unwrap()), Some(Platform::Sgx));
    let token = open(b"eyJhbGciOiJub25lIn0.eyJhIjoxfQ.").unwrap();
    let Found::Token(claims) = token.found else {
        panic!()
    };
    assert_eq!(claims["claims"]["a"], 1);
    let spdm = [&[0x11, 0xe0][..], &[0; 35], &[0x11, 0x60], &[0; 50]].concat();
    assert!(matches!(open(&spdm).unwrap().found, Found::Gpu(_)));
    let list = serde_json::json!({
        "nonce": "00",
        "evidence_list": [{ "evidence": hex::encode(&spdm), "certificate": STANDARD.encode("PEM") }],
    });
    assert!(matches!(
        open(list.to_string().as_bytes()).unwrap().found,
        Found::Gpu(_)
    ));
}

#[test]
fn what_is_nothing_is_said_to_be_nothing() {
    for bytes in [
        &b""[..],
        b" ",
        b"{}",
        b"[]",
        b"hello",
        b"0x",
        b"00",
        b"{\"quote\":\"zz\"}",
        b"a.b.c",
        b"\xff\xfe",
    ] {
        assert!(
            matches!(open(bytes), Err(ContainerError::Unknown(_))),
            "{bytes:?}"
        );
    }
    let long = vec![b'0'; MAX_FILE + 1];
    assert_eq!(open(&long), Err(ContainerError::TooLong(long.len())));
    // Hex in hex in hex ends.
    let mut deep = "00".to_owned();
    for _ in 0..6 {
        deep = hex::encode(deep);
    }
    assert!(open(deep.as_bytes()).is_err());
}

#[test]
fn every_capture_is_found() {
    for (name, expected) in [
        ("tdx/tdx_quote", Some(Platform::Tdx)),
        ("tdx/tdx_quote_outdated", Some(Platform::Tdx)),
        ("tdx/tdx_quote_baremetal", Some(Platform::Tdx)),
        ("tdx/tdx_prod_quote_SPR_E4.dat", Some(Platform::Tdx)),
        ("tdx/cos-113-tdx-quote.dat", Some(Platform::Tdx)),
        ("tdx/sgx_quote", Some(Platform::Sgx)),
        ("tdx/cos-113-ccel.dat", None),
        ("dstack/quote-report.json", Some(Platform::Dstack)),
        ("dstack/rtmr3-report.json", Some(Platform::Dstack)),
        ("snp/report_milan.hex", Some(Platform::Snp)),
        ("snp/debug_policy_report.bin", Some(Platform::Snp)),
        ("nitro/nitro_attestation.bin", Some(Platform::Nitro)),
        ("nitro/nitro_attestation_debug.bin", Some(Platform::Nitro)),
        ("nvidia/hopper_report.hex.txt", None),
    ] {
        let Some(bytes) = vectors::read(name) else {
            continue;
        };
        let opened = open(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(platform(&opened), expected, "{name}");
        match opened.found {
            Found::Evidence(evidence, _) => {
                let none = Endorsements::new(evidence.platform, Vec::new());
                assert!(explain(&evidence, &none, 0).accept().is_err());
            }
            Found::Gpu(_) => assert!(name.starts_with("nvidia")),
            Found::EventLog(_) => assert!(name.ends_with("ccel.dat")),
            other => panic!("{name}: {other:?}"),
        }
    }
}
