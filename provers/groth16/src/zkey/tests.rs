//! A real key (tests/data/small.zkey, made by snarkjs 0.7.6) and every way to
//! spoil it.

use ark_bn254::{Fq, Fq2, Fr, G2Affine};
use ark_ff::{BigInteger, PrimeField, Zero};
use proptest::prelude::*;
use soundproof_proofs::groth16::VerifyingKey;

use super::{ProvingKey, ZkeyError};

const ZKEY: &[u8] = include_bytes!("../../tests/data/small.zkey");
const VKEY: &[u8] = include_bytes!("../../tests/data/small.vkey.json");

// Offsets in section 2.
const N8Q: usize = 0;
const Q: usize = 4;
const N8R: usize = 36;
const R: usize = 40;
const SIGNALS: usize = 72;
const PUBLIC: usize = 76;
const DOMAIN: usize = 80;
const ALPHA_1: usize = 84;
const BETA_1: usize = ALPHA_1 + 64;
const BETA_2: usize = BETA_1 + 64;
const GAMMA_2: usize = BETA_2 + 128;
const DELTA_1: usize = GAMMA_2 + 128;
const DELTA_2: usize = DELTA_1 + 64;

/// The file as (id, body) in its order.
fn sections() -> Vec<(u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut at = 12;
    while at < ZKEY.len() {
        let id = u32::from_le_bytes(ZKEY[at..at + 4].try_into().unwrap());
        let len = u64::from_le_bytes(ZKEY[at + 4..at + 12].try_into().unwrap()) as usize;
        out.push((id, ZKEY[at + 12..at + 12 + len].to_vec()));
        at += 12 + len;
    }
    out
}

fn file(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"zkey".to_vec();
    out.extend(1u32.to_le_bytes());
    out.extend((sections.len() as u32).to_le_bytes());
    for (id, body) in sections {
        out.extend(id.to_le_bytes());
        out.extend((body.len() as u64).to_le_bytes());
        out.extend(body);
    }
    out
}

/// The error after `edit` of the section `id`.
fn error(id: u32, edit: impl FnOnce(&mut Vec<u8>)) -> ZkeyError {
    let mut sections = sections();
    let (_, body) = sections.iter_mut().find(|(other, _)| *other == id).unwrap();
    edit(body);
    ProvingKey::from_zkey(&file(&sections)).unwrap_err()
}

fn put(at: usize, bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
    move |body| body[at..at + bytes.len()].copy_from_slice(bytes)
}

/// A coordinate as the file has it: Montgomery form, little-endian.
fn raw(x: Fq) -> Vec<u8> {
    x.0.to_bytes_le()
}

fn raw_g2(p: &G2Affine) -> Vec<u8> {
    [p.x.c0, p.x.c1, p.y.c0, p.y.c1]
        .into_iter()
        .flat_map(raw)
        .collect()
}

fn outside_subgroup() -> G2Affine {
    (1u64..)
        .find_map(|x| {
            let x = Fq2::new(Fq::from(x), Fq::zero());
            let point = G2Affine::get_point_from_x_unchecked(x, false)?;
            (!point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
        })
        .unwrap()
}

#[test]
fn a_snarkjs_key_is_read() {
    let key = ProvingKey::from_zkey(ZKEY).unwrap();
    assert_eq!(key.signal_count(), 21);
    assert_eq!(key.public_count(), 2);
    assert_eq!(key.domain_size(), 16);
    assert_eq!(*key.verifying_key(), VerifyingKey::from_json(VKEY).unwrap());
    assert!(key.memory() > 0);
    // Signals that stand in no row of B have infinity there, and are dropped.
    assert!(key.b1.points.len() < 21);
    assert_eq!(key.b1.signals, key.b2.signals);
    assert!(key.c.signals.iter().all(|signal| (3..21).contains(signal)));
}

#[test]
fn sections_may_stand_in_any_order() {
    let mut sections = sections();
    sections.reverse();
    let key = ProvingKey::from_zkey(&file(&sections)).unwrap();
    assert_eq!(*key.verifying_key(), VerifyingKey::from_json(VKEY).unwrap());
}

#[test]
fn sections_stand_once_and_are_all_there() {
    for (id, body) in sections() {
        let mut twice = sections();
        twice.push((id, body));
        assert_eq!(
            ProvingKey::from_zkey(&file(&twice)).unwrap_err(),
            ZkeyError::Malformed
        );
        // The tenth section tells how the key was made and is not needed.
        if id < 10 {
            let missing: Vec<_> = sections().into_iter().filter(|(i, _)| *i != id).collect();
            assert_eq!(
                ProvingKey::from_zkey(&file(&missing)).unwrap_err(),
                ZkeyError::Malformed
            );
        }
    }
}

#[test]
fn truncated_files_are_refused_at_every_byte() {
    for cut in 0..ZKEY.len() {
        let error = ProvingKey::from_zkey(&ZKEY[..cut]).unwrap_err();
        assert_eq!(error, ZkeyError::Truncated, "{cut}");
    }
    // Sections cut, with lengths that say so: counts do not match any more.
    for (id, body) in sections() {
        if id < 10 && !body.is_empty() {
            let error = error(id, |body| {
                body.pop();
            });
            let expected = match id {
                1 | 2 => ZkeyError::Malformed,
                _ => ZkeyError::SizeClaim,
            };
            assert_eq!(error, expected, "section {id}");
        }
    }
}

#[test]
fn other_files_systems_and_curves_are_told_apart() {
    let wtns = include_bytes!("../../tests/data/small.wtns");
    assert_eq!(
        ProvingKey::from_zkey(wtns).unwrap_err(),
        ZkeyError::Malformed
    );
    for protocol in [2u32, 10] {
        let found = error(1, put(0, &protocol.to_le_bytes()));
        assert_eq!(found, ZkeyError::WrongProtocol);
    }
    // BLS12-381 has 48 and 32 bytes.
    assert_eq!(
        error(2, put(N8Q, &48u32.to_le_bytes())),
        ZkeyError::WrongCurve
    );
    assert_eq!(
        error(2, put(N8R, &48u32.to_le_bytes())),
        ZkeyError::WrongCurve
    );
    assert_eq!(
        error(2, put(Q, &Fr::MODULUS.to_bytes_le())),
        ZkeyError::WrongCurve
    );
    assert_eq!(
        error(2, put(R, &Fq::MODULUS.to_bytes_le())),
        ZkeyError::WrongCurve
    );
}

/// Were memory taken by a count before it is held against the file, the claims
/// here would ask for up to 2^60 entries and end the process.
#[test]
fn claims_beyond_the_file_are_refused_before_memory_is_taken() {
    for claim in [0u32, 1, 20, 22, 1 << 28, u32::MAX] {
        let found = error(2, put(SIGNALS, &claim.to_le_bytes()));
        assert_eq!(found, ZkeyError::SizeClaim, "{claim} signals");
    }
    for claim in [0u32, 1, 3, 20, 21, u32::MAX] {
        let found = error(2, put(PUBLIC, &claim.to_le_bytes()));
        assert_eq!(found, ZkeyError::SizeClaim, "{claim} public");
    }
    for (claim, expected) in [
        (0u32, ZkeyError::Domain),
        (15, ZkeyError::Domain),
        (1 << 29, ZkeyError::Domain),
        (u32::MAX, ZkeyError::Domain),
        (8, ZkeyError::SizeClaim),
        (1 << 28, ZkeyError::SizeClaim),
    ] {
        let found = error(2, put(DOMAIN, &claim.to_le_bytes()));
        assert_eq!(found, expected, "domain {claim}");
    }
    for claim in [0u32, 1, u32::MAX] {
        let found = error(4, put(0, &claim.to_le_bytes()));
        assert_eq!(found, ZkeyError::SizeClaim, "{claim} coefficients");
    }
    // Section lengths, which have 64 bits.
    let mut at = 12;
    for (_, body) in sections() {
        for claim in [1u64 << 60, u64::MAX, u64::MAX - at as u64] {
            let mut bytes = ZKEY.to_vec();
            bytes[at + 4..at + 12].copy_from_slice(&claim.to_le_bytes());
            assert_eq!(
                ProvingKey::from_zkey(&bytes).unwrap_err(),
                ZkeyError::Truncated
            );
        }
        at += 12 + body.len();
    }
}

#[test]
fn key_elements_at_infinity_are_refused() {
    for (at, len) in [
        (ALPHA_1, 64),
        (BETA_1, 64),
        (BETA_2, 128),
        (GAMMA_2, 128),
        (DELTA_1, 64),
        (DELTA_2, 128),
    ] {
        let found = error(2, |body| body[at..at + len].fill(0));
        assert_eq!(found, ZkeyError::KeyElementInfinity, "{at}");
    }
}

/// A point outside the curve or subgroup lets whoever made the key read a
/// witness modulo small numbers out of the proof. Each point of each section is
/// spoilt in turn: one that is not checked would be accepted here.
#[test]
fn every_point_is_checked() {
    let one = raw(Fq::from(1u64));
    let stray = raw_g2(&outside_subgroup());
    let g1 = [ALPHA_1, BETA_1, DELTA_1].map(|at| (2, at));
    let g2 = [BETA_2, GAMMA_2, DELTA_2].map(|at| (2, at));
    let every = |id: u32, size: usize| {
        let len = sections().iter().find(|(i, _)| *i == id).unwrap().1.len();
        (0..len / size)
            .map(move |i| (id, i * size))
            .collect::<Vec<_>>()
    };
    let g1: Vec<_> = [3, 5, 6, 8, 9]
        .into_iter()
        .flat_map(|id| every(id, 64))
        .chain(g1)
        .collect();
    let g2: Vec<_> = every(7, 128).into_iter().chain(g2).collect();
    for (id, at) in g1.iter().chain(&g2) {
        assert_eq!(
            error(*id, put(*at, &one)),
            ZkeyError::PointOffCurve,
            "{id} {at}"
        );
        assert_eq!(
            error(*id, put(*at, &Fq::MODULUS.to_bytes_le())),
            ZkeyError::PointNotInField
        );
    }
    for (id, at) in g2 {
        assert_eq!(
            error(id, put(at, &stray)),
            ZkeyError::PointOutOfSubgroup,
            "{id} {at}"
        );
    }
}

#[test]
fn coefficients_stay_inside_the_matrices() {
    for (at, value) in [
        (4, 2u32),
        (4, u32::MAX),
        (8, 16),
        (8, u32::MAX),
        (12, 21),
        (12, u32::MAX),
    ] {
        let found = error(4, put(at, &value.to_le_bytes()));
        assert_eq!(found, ZkeyError::CoefficientIndex, "{at} {value}");
    }
    for value in [Fr::MODULUS.to_bytes_le(), vec![0xff; 32]] {
        assert_eq!(error(4, put(16, &value)), ZkeyError::CoefficientOutOfField);
    }
}

proptest! {
    #[test]
    fn spoilt_files_never_panic(at in 0..ZKEY.len(), bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut file = ZKEY.to_vec();
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = ProvingKey::from_zkey(&file);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ProvingKey::from_zkey(&bytes);
        let mut tagged = b"zkey\x01\0\0\0".to_vec();
        tagged.extend(bytes);
        let _ = ProvingKey::from_zkey(&tagged);
    }
}
