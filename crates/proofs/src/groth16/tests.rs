//! A proof that snarkjs made with Semaphore's production key (depth 20), and
//! every way in which the three documents can be unfit.

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{AdditiveGroup, Field, One, PrimeField, UniformRand, Zero};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Document, Error, Proof, PublicSignals, VerifyingKey, verify};

const KEY: &[u8] = include_bytes!("../../testdata/verification_key.json");
const PROOF: &[u8] = include_bytes!("../../testdata/proof.json");
const PUBLIC: &[u8] = include_bytes!("../../testdata/public.json");

/// BN254's q and r, in decimal.
const Q: &str = "21888242871839275222246405745257275088696311157297823662689037894645226208583";
const R: &str = "21888242871839275222246405745257275088548364400416034343698204186575808495617";

fn key() -> VerifyingKey {
    VerifyingKey::from_json(KEY).unwrap()
}

/// The document with the value at `pointer` (RFC 6901) replaced.
fn with(document: &[u8], pointer: &str, value: Value) -> Vec<u8> {
    let mut tree: Value = serde_json::from_slice(document).unwrap();
    *tree.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&tree).unwrap()
}

fn key_error(pointer: &str, value: Value) -> Error {
    VerifyingKey::from_json(&with(KEY, pointer, value)).unwrap_err()
}

fn proof_error(pointer: &str, value: Value) -> Error {
    Proof::from_json(&with(PROOF, pointer, value)).unwrap_err()
}

/// A point of the twist that is outside the subgroup of prime order: almost
/// any point with a small x is.
fn outside_subgroup() -> G2Affine {
    (1u64..)
        .find_map(|x| {
            let x = Fq2::new(Fq::from(x), Fq::zero());
            let point = G2Affine::get_point_from_x_unchecked(x, false)?;
            (!point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
        })
        .unwrap()
}

fn g2_json(point: &G2Affine) -> Value {
    let text = |x: Fq| x.into_bigint().to_string();
    json!([
        [text(point.x.c0), text(point.x.c1)],
        [text(point.y.c0), text(point.y.c1)],
        ["1", "0"]
    ])
}

#[test]
fn a_proof_that_snarkjs_made_verifies() {
    let (public, proof) = (
        PublicSignals::from_json(PUBLIC).unwrap(),
        Proof::from_json(PROOF).unwrap(),
    );
    assert_eq!(key().public_count(), 4);
    verify(&key(), &public, &proof).unwrap();
    let prepared = key().prepare();
    assert!(prepared.is_of(&key()));
    prepared.verify(&public, &proof).unwrap();
}

#[test]
fn what_is_written_is_what_snarkjs_writes() {
    // The fixtures are snarkjs's own output, so equality byte by byte is the
    // golden test of both forms.
    assert_eq!(Proof::from_json(PROOF).unwrap().to_json().as_bytes(), PROOF);
    let public = PublicSignals::from_json(PUBLIC).unwrap();
    assert_eq!(public.to_json().as_bytes(), PUBLIC);
    assert_eq!(
        PublicSignals::from(vec![Fr::ZERO, Fr::ONE]).to_json(),
        r#"["0","1"]"#
    );
    assert_eq!(PublicSignals::from(Vec::new()).to_json(), "[]");
}

/// Invariant 6 (checked twice) rests on this: were the equation not checked,
/// or checked under another key or other public signals, one of these passes.
#[test]
fn anything_else_does_not_verify() {
    let public = PublicSignals::from_json(PUBLIC).unwrap();
    let proof = Proof::from_json(PROOF).unwrap();
    for i in 0..public.as_slice().len() {
        let mut signals = public.as_slice().to_vec();
        signals[i] += Fr::ONE;
        assert_eq!(verify(&key(), &signals.into(), &proof), Err(Error::Invalid));
    }
    let elements = proof.elements();
    let other = |a, b, c| Proof::from_elements(ark_groth16::Proof { a, b, c }).unwrap();
    for forged in [
        other(-elements.a, elements.b, elements.c),
        other(elements.a, -elements.b, elements.c),
        other(elements.a, elements.b, -elements.c),
        other(elements.c, elements.b, elements.a),
        other(elements.a, G2Affine::generator(), elements.c),
    ] {
        assert_eq!(verify(&key(), &public, &forged), Err(Error::Invalid));
    }
    let mut rerandomised = elements.clone();
    rerandomised.a = -elements.a;
    rerandomised.b = -elements.b;
    let same = Proof::from_elements(rerandomised).unwrap();
    verify(&key(), &public, &same).unwrap();

    let mut altered = key().elements().clone();
    altered.delta_g2 = G2Affine::generator();
    let altered = VerifyingKey::from_elements(altered).unwrap();
    assert!(!key().prepare().is_of(&altered));
    assert_eq!(verify(&altered, &public, &proof), Err(Error::Invalid));
}

#[test]
fn the_number_of_public_signals_must_match() {
    let proof = Proof::from_json(PROOF).unwrap();
    let public = PublicSignals::from_json(PUBLIC).unwrap();
    for count in [0, 3, 5] {
        let mut signals = public.as_slice().to_vec();
        signals.resize(count, Fr::ZERO);
        assert_eq!(
            verify(&key(), &signals.into(), &proof),
            Err(Error::PublicCount {
                expected: 4,
                found: count
            })
        );
    }
    let ic = Error::IcLength {
        expected: 6,
        found: 5,
    };
    assert_eq!(key_error("/nPublic", json!(5)), ic);
    assert!(matches!(
        key_error("/nPublic", json!(u32::MAX)),
        Error::IcLength { found: 5, .. }
    ));
    assert!(matches!(
        key_error("/IC", json!([])),
        Error::IcLength { found: 0, .. }
    ));
}

#[test]
fn numbers_are_canonical_and_below_the_modulus() {
    let field = Error::NotInField { element: "pi_a" };
    let q_minus_one = (-Fq::one()).into_bigint().to_string();
    for bad in [
        "",
        "-1",
        "+1",
        "01",
        "0x1",
        "1 ",
        " 1",
        "1.0",
        "1e3",
        "\u{661}",
        Q,
        &"9".repeat(77),
        &"9".repeat(5000),
    ] {
        assert_eq!(proof_error("/pi_a/0", json!(bad)), field, "{bad}");
        let public = serde_json::to_vec(&json!([bad])).unwrap();
        assert!(matches!(
            PublicSignals::from_json(&public),
            Err(Error::NotInField { element: "public" })
        ));
    }
    // r is a number in the base field and none in the scalar field.
    assert!(PublicSignals::from_json(format!(r#"["{R}"]"#).as_bytes()).is_err());
    assert_eq!(
        proof_error("/pi_a/0", json!(q_minus_one)),
        Error::OffCurve { element: "pi_a" }
    );
}

#[test]
fn points_are_on_the_curve_in_the_subgroup_and_not_at_infinity() {
    for (pointer, element) in [("/vk_alpha_1", "vk_alpha_1"), ("/IC/2", "IC")] {
        assert_eq!(
            key_error(&format!("{pointer}/0"), json!("1")),
            Error::OffCurve { element }
        );
        assert_eq!(
            key_error(pointer, json!(["0", "0", "1"])),
            Error::OffCurve { element }
        );
    }
    let infinity1 = json!(["0", "1", "0"]);
    let infinity2 = json!([["0", "0"], ["1", "0"], ["0", "0"]]);
    assert_eq!(
        key_error("/vk_alpha_1", infinity1.clone()),
        Error::Infinity {
            element: "vk_alpha_1"
        }
    );
    for element in ["vk_beta_2", "vk_gamma_2", "vk_delta_2"] {
        let pointer = format!("/{element}");
        assert_eq!(
            key_error(&pointer, infinity2.clone()),
            Error::Infinity { element }
        );
        assert_eq!(
            key_error(&pointer, g2_json(&outside_subgroup())),
            Error::OutOfSubgroup { element }
        );
        assert_eq!(
            key_error(&format!("{pointer}/0/0"), json!("1")),
            Error::OffCurve { element }
        );
        assert_eq!(
            key_error(&format!("{pointer}/2/0"), json!("2")),
            Error::OffCurve { element }
        );
    }
    for element in ["pi_a", "pi_c"] {
        let pointer = format!("/{element}");
        assert_eq!(
            proof_error(&pointer, infinity1.clone()),
            Error::Infinity { element }
        );
    }
    assert_eq!(
        proof_error("/pi_b", infinity2),
        Error::Infinity { element: "pi_b" }
    );
    assert_eq!(
        proof_error("/pi_b", g2_json(&outside_subgroup())),
        Error::OutOfSubgroup { element: "pi_b" }
    );
    // A public signal that no constraint uses.
    assert!(VerifyingKey::from_json(&with(KEY, "/IC/2", infinity1)).is_ok());
    let mut none = key().elements().clone();
    none.gamma_abc_g1.clear();
    assert!(VerifyingKey::from_elements(none).is_err());
}

#[test]
fn other_systems_and_curves_are_refused() {
    let (key, proof) = (Document::VerifyingKey, Document::Proof);
    assert_eq!(
        key_error("/protocol", json!("plonk")),
        Error::WrongProtocol { document: key }
    );
    assert_eq!(
        key_error("/curve", json!("bls12381")),
        Error::WrongCurve { document: key }
    );
    assert_eq!(
        proof_error("/protocol", json!("fflonk")),
        Error::WrongProtocol { document: proof }
    );
    assert_eq!(
        proof_error("/curve", json!("bls12381")),
        Error::WrongCurve { document: proof }
    );
    let mut without_curve: Value = serde_json::from_slice(PROOF).unwrap();
    without_curve.as_object_mut().unwrap().remove("curve");
    assert!(Proof::from_json(&serde_json::to_vec(&without_curve).unwrap()).is_ok());
}

#[test]
fn the_shape_is_checked_and_sizes_are_bounded() {
    let malformed = |document| Error::Malformed { document };
    for (pointer, value) in [
        ("/pi_a", json!(["1", "2"])),
        ("/pi_a", json!(["1", "2", "1", "1"])),
        ("/pi_a/0", json!(1)),
        ("/pi_b", json!(["1", "2", "1"])),
        ("/pi_b", Value::Null),
        ("", json!([])),
    ] {
        assert_eq!(proof_error(pointer, value), malformed(Document::Proof));
    }
    let twice = br#"{"protocol":"groth16","protocol":"groth16"}"#;
    assert_eq!(Proof::from_json(twice), Err(malformed(Document::Proof)));
    assert_eq!(
        PublicSignals::from_json(b"[1]"),
        Err(malformed(Document::PublicSignals))
    );
    let deep = "[".repeat(100_000);
    assert_eq!(
        PublicSignals::from_json(deep.as_bytes()),
        Err(malformed(Document::PublicSignals))
    );
    let long = vec![b' '; super::MAX_PROOF_BYTES + 1];
    assert!(matches!(
        Proof::from_json(&long),
        Err(Error::TooLarge {
            document: Document::Proof,
            ..
        })
    ));
    for cut in 0..PROOF.len() {
        assert!(Proof::from_json(&PROOF[..cut]).is_err());
    }
}

#[test]
fn nothing_unreleased_is_printed() {
    // A proof and its public signals are secret until they are released: a
    // derived Debug would put them into the first log line that mentions them.
    let proof = Proof::from_json(PROOF).unwrap();
    let public = PublicSignals::from_json(PUBLIC).unwrap();
    assert_eq!(format!("{proof:?}"), "Proof(…)");
    assert_eq!(format!("{public:?}"), "PublicSignals(4 signals)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn documents_survive_a_round_trip(seed in any::<u64>(), count in 0usize..20) {
        use ark_ec::CurveGroup;
        use ark_groth16::Proof as Ark;
        let mut rng = rng(seed);
        let elements = Ark {
            a: (G1Affine::generator() * Fr::rand(&mut rng)).into_affine(),
            b: (G2Affine::generator() * Fr::rand(&mut rng)).into_affine(),
            c: (G1Affine::generator() * Fr::rand(&mut rng)).into_affine(),
        };
        let proof = Proof::from_elements(elements).unwrap();
        prop_assert_eq!(Proof::from_json(proof.to_json().as_bytes()).unwrap(), proof);
        let signals: Vec<Fr> = (0..count).map(|_| Fr::rand(&mut rng)).collect();
        let public = PublicSignals::from(signals);
        prop_assert_eq!(PublicSignals::from_json(public.to_json().as_bytes()).unwrap(), public);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = VerifyingKey::from_json(&bytes);
        let _ = Proof::from_json(&bytes);
        let _ = PublicSignals::from_json(&bytes);
    }

    /// A bit flip in a valid document is refused or leaves a proof that says
    /// the same (white space, an ignored field).
    #[test]
    fn flipped_bits_never_verify_as_something_else(at in 0..PROOF.len(), bit in 0u8..8) {
        let mut bytes = PROOF.to_vec();
        bytes[at] ^= 1 << bit;
        if let Ok(flipped) = Proof::from_json(&bytes) {
            let original = Proof::from_json(PROOF).unwrap();
            prop_assert!(flipped == original);
        }
    }
}

fn rng(seed: u64) -> impl ark_std::rand::Rng {
    use ark_std::rand::SeedableRng;
    ark_std::rand::rngs::StdRng::seed_from_u64(seed)
}
