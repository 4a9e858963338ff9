//! Verifies a finished proof, as SP1's SDK does for its callers: version, exit
//! code, public values and the proof itself.

use std::borrow::Borrow as _;
use std::str::FromStr as _;

use num_bigint::BigUint;
use slop_algebra::PrimeField32 as _;
use sp1_hypercube::air::PublicValues;
use sp1_hypercube::{PROOF_MAX_NUM_PVS, SP1VerifyingKey};
use sp1_primitives::SP1Field;
use sp1_primitives::io::{SP1PublicValues, blake3_hash};
use sp1_prover::worker::{ProofFromNetwork, SP1NodeCore, SP1Proof};
use sp1_recursion_executor::RecursionPublicValues;

/// Version of the circuits that proofs here are made by.
pub const CIRCUIT_VERSION: &str = sp1_prover::SP1_CIRCUIT_VERSION;

/// Why a proof is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Made by another version's circuits.
    #[error("made by another version of SP1")]
    Version,
    /// It has the wrong shape.
    #[error("not a proof of SP1 6")]
    Shape,
    /// The guest did not end well.
    #[error("the guest ended with an error")]
    ExitCode,
    /// It is about other public values.
    #[error("the proof is about other public values")]
    PublicValues,
    /// It does not verify.
    #[error("the proof does not verify")]
    Proof,
}

/// Verifies `proof` under `key`.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    node: &SP1NodeCore,
    proof: &ProofFromNetwork,
    key: &SP1VerifyingKey,
) -> Result<(), VerifyError> {
    if proof.sp1_version != CIRCUIT_VERSION {
        return Err(VerifyError::Version);
    }
    let (exit_code, committed) = match &proof.proof {
        SP1Proof::Core(shards) => {
            let last = shards.last().ok_or(VerifyError::Shape)?;
            if last.public_values.len() != PROOF_MAX_NUM_PVS {
                return Err(VerifyError::Shape);
            }
            let values: &PublicValues<[SP1Field; 4], [SP1Field; 3], [SP1Field; 4], SP1Field> =
                last.public_values.as_slice().borrow();
            (
                values.exit_code.as_canonical_u32(),
                Committed::Bytes(bytes(&values.committed_value_digest)),
            )
        }
        SP1Proof::Compressed(proof) => {
            if proof.proof.public_values.len() != PROOF_MAX_NUM_PVS {
                return Err(VerifyError::Shape);
            }
            let values: &RecursionPublicValues<SP1Field> =
                proof.proof.public_values.as_slice().borrow();
            (
                values.exit_code.as_canonical_u32(),
                Committed::Bytes(bytes(&values.committed_value_digest)),
            )
        }
        SP1Proof::Plonk(proof) => wrapped(&proof.public_inputs)?,
        SP1Proof::Groth16(proof) => wrapped(&proof.public_inputs)?,
    };
    if exit_code != 0 {
        return Err(VerifyError::ExitCode);
    }
    if !committed.is_of(&proof.public_values) {
        return Err(VerifyError::PublicValues);
    }
    node.verify(key, &proof.proof)
        .map_err(|_| VerifyError::Proof)
}

/// The digest of the public values, as a proof names it.
enum Committed {
    Bytes(Vec<u8>),
    Number(BigUint),
}

impl Committed {
    /// A guest hashes its public values with SHA-256 or BLAKE3.
    fn is_of(&self, values: &SP1PublicValues) -> bool {
        match self {
            Self::Bytes(digest) => *digest == values.hash() || *digest == values.blake3_hash(),
            Self::Number(number) => {
                *number == values.hash_bn254() || *number == values.hash_bn254_with_fn(blake3_hash)
            }
        }
    }
}

fn bytes(words: &[[SP1Field; 4]]) -> Vec<u8> {
    let limbs = words.iter().flatten();
    // Limbs are bytes: the machine constrains them so.
    limbs.map(|limb| limb.as_canonical_u32() as u8).collect()
}

fn wrapped(inputs: &[String; 5]) -> Result<(u32, Committed), VerifyError> {
    let number = |text: &String| BigUint::from_str(text).map_err(|_| VerifyError::Shape);
    let [_, values, exit_code, ..] = inputs;
    let exit_code = u32::try_from(number(exit_code)?).map_err(|_| VerifyError::Shape)?;
    Ok((exit_code, Committed::Number(number(values)?)))
}
