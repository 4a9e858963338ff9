//! The arithmetic of a proof (J. Groth, eprint 2016/260), as snarkjs does it:
//! the quotient's values on a coset stand in for its coefficients.
//!
//! Everything that depends on the witness is wiped when it is dropped, here by
//! type; what the multi-scalar multiplication allocates inside, by the
//! executable's zeroing allocator.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::CurveGroup;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::{BigInt, PrimeField};
use rayon::prelude::*;
use soundproof_proofs::groth16::{Proof, PublicSignals, VerifyingKey};
use taceo_ark_algebra::msm::msm_bigint;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::randomness::Randomness;
use crate::wtns::Witness;
use crate::zkey::{ProvingKey, Query};

/// Why no proof was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The zkey carries another verifying key than the job names.
    #[error("the proving key carries another verifying key than the one that the job names")]
    VerifyingKeyMismatch,
    /// The witness has not as many elements as the circuit has signals.
    #[error("the witness has not as many elements as the circuit has signals")]
    WitnessLength,
    /// The proof does not verify: the witness does not satisfy the constraints
    /// (or the key is inconsistent).
    #[error("the witness does not satisfy the circuit's constraints")]
    WitnessUnsatisfied,
}

impl ProveError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::VerifyingKeyMismatch => "zkey_verifying_key_mismatch",
            Self::WitnessLength => "witness_length",
            Self::WitnessUnsatisfied => "witness_unsatisfied",
        }
    }
}

/// A proof that was verified, and what it proves.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The proof.
    pub proof: Proof,
    /// The public signals.
    pub public: PublicSignals,
}

/// Proves, with all threads of the current rayon pool, and verifies the result
/// under `expected`, which must be the zkey's own verifying key.
///
/// # Errors
/// See [`ProveError`]. No proof is returned that does not verify.
pub fn prove(
    key: &ProvingKey,
    expected: &VerifyingKey,
    witness: &Witness,
    randomness: Randomness,
) -> Result<Proven, ProveError> {
    // Equality, and not only a proof that verifies: a zkey with another key
    // must not be used on a witness at all.
    if *expected != key.verifying_key || !key.prepared.is_of(expected) {
        return Err(ProveError::VerifyingKeyMismatch);
    }
    let witness = witness.as_slice();
    let public = witness.get(1..=key.public_count);
    let (Some(public), true) = (public, witness.len() == key.signal_count) else {
        return Err(ProveError::WitnessLength);
    };
    let public = PublicSignals::from(public.to_vec());
    let proof = prove_unchecked(key, witness, &randomness.scalars());
    // Makes sure of points that are not at infinity; on the curve they are.
    let proof = Proof::from_elements(proof).map_err(|_| ProveError::WitnessUnsatisfied)?;
    key.prepared
        .verify(&public, &proof)
        .map_err(|_| ProveError::WitnessUnsatisfied)?;
    Ok(Proven { proof, public })
}

fn prove_unchecked(key: &ProvingKey, witness: &[Fr], rs: &[Fr; 2]) -> ark_groth16::Proof<Bn254> {
    let [r, s] = *rs;
    let scalars = integers(witness);
    let ((b2, (b1, a)), (c, h)) = rayon::join(
        || {
            rayon::join(
                || sum(&key.b2, &scalars),
                || rayon::join(|| sum(&key.b1, &scalars), || sum(&key.a, &scalars)),
            )
        },
        || {
            rayon::join(
                || sum(&key.c, &scalars),
                || sum(&key.h, &integers(&quotient(key, witness))),
            )
        },
    );
    let vk = key.verifying_key.elements();
    let a: G1Projective = a + vk.alpha_g1 + key.delta_g1 * r;
    let b1: G1Projective = b1 + key.beta_g1 + key.delta_g1 * s;
    let b2: G2Projective = b2 + vk.beta_g2 + vk.delta_g2 * s;
    let c: G1Projective = c + h + a * s + b1 * r - key.delta_g1 * (r * s);
    ark_groth16::Proof {
        a: a.into_affine(),
        b: b2.into_affine(),
        c: c.into_affine(),
    }
}

/// Out of Montgomery form.
fn integers(elements: &[Fr]) -> Zeroizing<Vec<BigInt<4>>> {
    let integers = elements.par_iter().with_min_len(512);
    Zeroizing::new(integers.map(|element| element.into_bigint()).collect())
}

/// The query's points, each times its signal's scalar, summed. The key's parser
/// checked that every signal of a query has a scalar.
fn sum<P>(query: &Query<Affine<P>>, scalars: &[BigInt<4>]) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    let signals = query.signals.iter();
    let chosen: Zeroizing<Vec<BigInt<4>>> = Zeroizing::new(
        signals
            .map(|signal| scalars.get(*signal as usize).copied().unwrap_or_default())
            .collect(),
    );
    msm_bigint(&query.points, &chosen)
}

/// (A·B − C) on the coset, where C is A·B on the domain: up to a constant, which
/// the key's points carry, the quotient's values there.
fn quotient(key: &ProvingKey, witness: &[Fr]) -> Zeroizing<Vec<Fr>> {
    let (a, b) = rayon::join(|| key.matrix_a.mul(witness), || key.matrix_b.mul(witness));
    let (mut a, mut b) = (Zeroizing::new(a), Zeroizing::new(b));
    let products = a.par_iter().zip(b.par_iter()).with_min_len(512);
    let mut c: Zeroizing<Vec<Fr>> = Zeroizing::new(products.map(|(a, b)| *a * b).collect());
    let to_coset = |values: &mut [Fr]| {
        key.domain.ifft_in_to_out(values);
        let pairs = values.par_iter_mut().zip(key.coset.par_iter());
        pairs
            .with_min_len(512)
            .for_each(|(value, power)| *value *= power);
        key.domain.fft_out_to_in(values);
    };
    rayon::join(
        || to_coset(&mut a),
        || rayon::join(|| to_coset(&mut b), || to_coset(&mut c)),
    );
    a.par_iter_mut()
        .zip(b.par_iter())
        .zip(c.par_iter())
        .with_min_len(512)
        .for_each(|((a, b), c)| *a = *a * b - c);
    a
}
