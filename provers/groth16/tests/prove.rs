//! From a program and an input to a proof that snarkjs's key accepts, through
//! the public interface; and what must not become a proof.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use ark_bn254::Fr;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField};
use soundproof_proofs::groth16::{Proof, PublicSignals, VerifyingKey, verify};
use soundproof_prover_groth16::witgen::{Limits, Program};
use soundproof_prover_groth16::{ProveError, ProvingKey, Randomness, Witness, prove};

const ZKEY: &[u8] = include_bytes!("data/small.zkey");
const VKEY: &[u8] = include_bytes!("data/small.vkey.json");
const WASM: &[u8] = include_bytes!("data/small.wasm");
const INPUT: &[u8] = include_bytes!("data/small.input.json");
const WTNS: &[u8] = include_bytes!("data/small.wtns");
const PUBLIC: &[u8] = include_bytes!("data/small.public.json");

fn key() -> (ProvingKey, VerifyingKey) {
    let key = ProvingKey::from_zkey(ZKEY).unwrap();
    (key, VerifyingKey::from_json(VKEY).unwrap())
}

fn randomness(n: u8) -> Randomness {
    Randomness::new(&[n; 32], &[2; 32], &[3; 32])
}

/// The fixture's witness with element `index` two larger (a bit no more, if it was one).
fn altered(index: usize) -> Witness {
    let mut file = WTNS.to_vec();
    let at = 76 + 32 * index;
    let old = Fr::from_le_bytes_mod_order(&file[at..at + 32]);
    let new = (old + Fr::from(2u64)).into_bigint().to_bytes_le();
    file[at..at + 32].copy_from_slice(&new);
    Witness::from_wtns(&file).unwrap()
}

#[test]
fn from_input_to_proof() {
    let limits = Limits {
        memory: 256 << 20,
        time: Duration::from_secs(120),
    };
    let program = Program::compile(WASM).unwrap();
    let file = program
        .instantiate(limits)
        .unwrap()
        .run(INPUT, limits)
        .unwrap();
    let witness = Witness::from_wtns(&file).unwrap();
    let (key, vk) = key();
    let proven = prove(&key, &vk, &witness, randomness(1)).unwrap();
    assert_eq!(proven.public.to_json().as_bytes(), PUBLIC);
    // As the client does: from the documents alone.
    let proof = Proof::from_json(proven.proof.to_json().as_bytes()).unwrap();
    let public = PublicSignals::from_json(PUBLIC).unwrap();
    verify(&VerifyingKey::from_json(VKEY).unwrap(), &public, &proof).unwrap();
}

#[test]
fn a_proof_is_fixed_by_its_randomness_and_differs_without() {
    let (key, vk) = key();
    let witness = Witness::from_wtns(WTNS).unwrap();
    let json = |n| {
        prove(&key, &vk, &witness, randomness(n))
            .unwrap()
            .proof
            .to_json()
    };
    assert_eq!(json(1), json(1));
    // Were r or s fixed, two proofs of one witness would share a point.
    let (one, two) = (json(1), json(2));
    for element in ["pi_a", "pi_b", "pi_c"] {
        let of =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()[element].clone();
        assert_ne!(of(&one), of(&two), "{element}");
    }
}

/// Invariant 6: no proof leaves that does not verify. Without the check before
/// release, each of these would come back as a proof.
#[test]
fn a_witness_that_does_not_satisfy_the_circuit_gives_no_proof() {
    let (key, vk) = key();
    for index in 1..21 {
        // Twelve constraints bind every signal of this circuit.
        let error = prove(&key, &vk, &altered(index), randomness(1)).unwrap_err();
        assert_eq!(error, ProveError::WitnessUnsatisfied, "element {index}");
    }
}

#[test]
fn a_witness_of_another_length_is_refused() {
    let (key, vk) = key();
    for count in [1u32, 20] {
        let mut file = WTNS[..76 + 32 * count as usize].to_vec();
        file[60..64].copy_from_slice(&count.to_le_bytes());
        file[68..76].copy_from_slice(&(32 * u64::from(count)).to_le_bytes());
        let witness = Witness::from_wtns(&file).unwrap();
        let error = prove(&key, &vk, &witness, randomness(1)).unwrap_err();
        assert_eq!(error, ProveError::WitnessLength);
    }
}

/// Invariant 2: the verifying key is the description's. A zkey with another one
/// is not used, even though its own proofs would verify under its own key.
#[test]
fn a_proving_key_with_another_verifying_key_is_refused() {
    let (key, vk) = key();
    let mut other = vk.elements().clone();
    other.delta_g2 = (-other.delta_g2.into_group()).into_affine();
    let other = VerifyingKey::from_elements(other).unwrap();
    let witness = Witness::from_wtns(WTNS).unwrap();
    let error = prove(&key, &other, &witness, randomness(1)).unwrap_err();
    assert_eq!(error, ProveError::VerifyingKeyMismatch);
}
