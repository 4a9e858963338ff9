//! What a real H100 signed, under NVIDIA's real root. The captures are not part
//! of the repository; each test says how many it skipped.

use crate::vectors::{folder, read};
use soundproof_evidence::{
    fuzz,
    gpu::{Mode, Report, Rim},
    tpm,
};
use std::fs;

/// 2026-11-20.
pub(crate) const NOW_S: u64 = 1_795_132_800;
const NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

pub(crate) fn report() -> Option<Vec<u8>> {
    let text = String::from_utf8(read("nvidia/hopper_report.hex.txt")?).unwrap();
    Some(hex::decode(text.trim()).unwrap())
}

pub(crate) fn chain() -> Option<Vec<u8>> {
    read("nvidia/hopper_cert_chain_good.txt")
}

#[test]
fn a_real_report_verifies_and_says_what_it_should() {
    let (Some(bytes), Some(chain)) = (report(), chain()) else {
        return;
    };
    assert!(fuzz::gpu_verify(&bytes, &chain, NOW_S));
    let report = Report::parse(&bytes).unwrap();
    assert_eq!(hex::encode(report.nonce()), NONCE);
    assert_eq!(report.measurements().len(), 64);
    let opaque = report.opaque();
    assert_eq!(opaque.driver(), Some("550.90.07"));
    assert_eq!(opaque.vbios().as_deref(), Some("96.00.9F.00.01"));
    assert_eq!(opaque.mode(), Some(Mode::Spt));
    assert!(opaque.fwid().is_some() && opaque.nvdec0_is_off());
}

#[test]
fn a_chain_without_its_leaf_is_refused() {
    let (Some(bytes), Some(bad)) = (report(), read("nvidia/hopper_cert_chain_bad_case2.txt"))
    else {
        return;
    };
    assert!(!fuzz::gpu_verify(&bytes, &bad, NOW_S));
}

/// Every byte is signed, or is the signature.
#[test]
fn no_change_to_a_real_report_is_accepted() {
    let (Some(bytes), Some(chain)) = (report(), chain()) else {
        return;
    };
    let key = soundproof_evidence::x509::read_pem(&chain, 5).unwrap()[0]
        .key()
        .clone();
    let verifies =
        |bytes: &[u8]| Report::parse(bytes).is_ok_and(|report| report.is_signed_by(&key));
    assert!(verifies(&bytes));
    let mut tried = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!verifies(&changed), "byte {at}");
        assert!(!verifies(&bytes[..at]), "cut at {at}");
        tried += 2;
    }
    // Length fields at their extremes: record, a block, a measurement, opaque
    // data, a field in them; and the number of blocks.
    let record = 45 + 64 * 55;
    let opaque = record + 32;
    for (at, len) in [
        (41, 1),
        (42, 3),
        (47, 2),
        (50, 2),
        (opaque, 2),
        (opaque + 4, 2),
    ] {
        for fill in [0x00, 0x01, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at..at + len].fill(fill);
            assert!(changed == bytes || !verifies(&changed), "length at {at}");
            tried += 1;
        }
    }
    assert!(!verifies(&[&bytes[..], &[0]].concat()));
    println!("{tried} changes to a GPU's report: accepted 0");
}

/// Certificates in PEM: a change may only be to white space around them, or to
/// bits of base64 that nothing is in.
#[test]
fn no_change_to_a_real_chain_is_another_device() {
    let (Some(bytes), Some(chain)) = (report(), chain()) else {
        return;
    };
    let certificates = |pem: &[u8]| soundproof_evidence::x509::read_pem(pem, 5).ok();
    let right = certificates(&chain).unwrap();
    let mut tried = 0;
    // Every seventh byte: each verification is of six signatures.
    for at in (0..chain.len()).step_by(7) {
        let mut changed = chain.clone();
        changed[at] ^= 1 << (at % 7);
        if fuzz::gpu_verify(&bytes, &changed, NOW_S) {
            assert_eq!(certificates(&changed).as_ref(), Some(&right), "byte {at}");
        }
        tried += 1;
    }
    println!("{tried} changes to a GPU's chain: accepted as another 0");
}

/// Manifests, if any were put beside the captures: each must verify, unless its
/// name says what is wrong with it.
#[test]
fn real_manifests_verify() {
    let Ok(files) = fs::read_dir(folder().join("nvidia/manifests")) else {
        println!("skipped 1: no manifests");
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        // Signers' certificates last two years: some quarter is in them.
        let quarters = (0..14).map(|quarter| 1_690_000_000 + quarter * 7_900_000);
        let good = quarters.into_iter().any(|at_s| fuzz::rim_xml(&bytes, at_s));
        let bad = ["incorrect", "invalid"]
            .iter()
            .any(|word| name.contains(word));
        if !name.contains("expired") && !name.contains("mismatch") {
            assert_eq!(good, !bad, "{name}");
        }
        if good {
            let rim = Rim::parse(&bytes).unwrap();
            assert!(rim.golden().len() >= 32, "{name}");
            println!("{name}: {} {}", rim.product(), rim.version());
        }
    }
}

/// A real quote as Keylime carries it: structure only, since nobody kept its
/// key.
#[test]
fn a_real_tpm_quote_is_read() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let Some(text) = read("tpm-ima/keylime-test-quote.txt") else {
        return;
    };
    let text = String::from_utf8(text).unwrap();
    let parts: Vec<_> = text.trim().strip_prefix('r').unwrap().split(':').collect();
    let attest = STANDARD.decode(parts[0]).unwrap();
    let signature = STANDARD.decode(parts[1]).unwrap();
    let quote = tpm::Attest::parse(&attest).unwrap();
    assert_eq!(quote.selections.len(), 1);
    assert_eq!(quote.selections[0].bank, tpm::HashAlgorithm::Sha1);
    assert_eq!(quote.extra_data, b"TEST");
    assert_eq!(quote.pcr_digest.len(), 20);
    // Its scheme's hash is SHA-1, which is not accepted.
    assert_eq!(
        tpm::Signature::parse(&signature),
        Err(tpm::SignatureError::Hash(4))
    );
    for cut in 0..attest.len() {
        assert!(tpm::Attest::parse(&attest[..cut]).is_err(), "cut at {cut}");
    }
}
