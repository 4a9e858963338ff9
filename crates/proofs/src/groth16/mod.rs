//! Groth16 over BN254 (snarkjs calls the curve `bn128`), in snarkjs's JSON.
//!
//! [`VerifyingKey`], [`Proof`] and [`PublicSignals`] can only be made from
//! values that passed every check: numbers canonical and below the modulus,
//! points on the curve, G2 points in the subgroup of prime order, and no point
//! at infinity where it would let a proof through without a witness.

mod error;
mod json;
#[cfg(test)]
mod tests;

use ark_bn254::{Bn254, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_groth16::{Groth16, PreparedVerifyingKey};

pub use error::{Document, Error};
pub use json::{MAX_PROOF_BYTES, MAX_PUBLIC_BYTES, MAX_VERIFYING_KEY_BYTES};

/// A checked verifying key. `gamma_abc_g1` (snarkjs's `IC`) has one point more
/// than there are public signals.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyingKey(ark_groth16::VerifyingKey<Bn254>);

impl VerifyingKey {
    /// Reads snarkjs's `verification_key.json`.
    ///
    /// # Errors
    /// Whatever makes the document unfit; see [`Error`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        json::verifying_key(json)
    }

    /// Takes a key from its elements, checking each.
    ///
    /// # Errors
    /// A point off its curve, out of its subgroup or at infinity, or no `IC`.
    pub fn from_elements(key: ark_groth16::VerifyingKey<Bn254>) -> Result<Self, Error> {
        if key.gamma_abc_g1.is_empty() {
            return Err(Error::IcLength {
                expected: 1,
                found: 0,
            });
        }
        g1(&key.alpha_g1, "vk_alpha_1")?;
        g2(&key.beta_g2, "vk_beta_2")?;
        g2(&key.gamma_g2, "vk_gamma_2")?;
        g2(&key.delta_g2, "vk_delta_2")?;
        for point in &key.gamma_abc_g1 {
            // A public signal that no constraint uses leaves infinity here.
            on_curve_g1(point, "IC")?;
        }
        Ok(Self(key))
    }

    /// The number of public signals that the key takes.
    #[must_use]
    pub fn public_count(&self) -> usize {
        self.0.gamma_abc_g1.len().saturating_sub(1)
    }

    /// The checked elements.
    #[must_use]
    pub fn elements(&self) -> &ark_groth16::VerifyingKey<Bn254> {
        &self.0
    }

    /// Does the pairings that depend on the key alone (once a key).
    #[must_use]
    pub fn prepare(&self) -> PreparedKey {
        PreparedKey(ark_groth16::prepare_verifying_key(&self.0))
    }
}

/// A verifying key with its own pairings done: for verifying many proofs.
#[derive(Clone, Debug)]
pub struct PreparedKey(PreparedVerifyingKey<Bn254>);

impl PreparedKey {
    /// Whether this was prepared from `key`.
    #[must_use]
    pub fn is_of(&self, key: &VerifyingKey) -> bool {
        self.0.vk == key.0
    }

    /// Verifies `proof` for `public`.
    ///
    /// # Errors
    /// [`Error::PublicCount`] or [`Error::Invalid`].
    pub fn verify(&self, public: &PublicSignals, proof: &Proof) -> Result<(), Error> {
        let expected = self.0.vk.gamma_abc_g1.len().saturating_sub(1);
        if public.0.len() != expected {
            return Err(Error::PublicCount {
                expected,
                found: public.0.len(),
            });
        }
        match Groth16::<Bn254>::verify_proof(&self.0, &proof.0, &public.0) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Invalid),
        }
    }
}

/// Verifies `proof` for `public` under `key`.
///
/// # Errors
/// [`Error::PublicCount`] or [`Error::Invalid`].
pub fn verify(key: &VerifyingKey, public: &PublicSignals, proof: &Proof) -> Result<(), Error> {
    key.prepare().verify(public, proof)
}

/// A proof whose points were checked. Secret until it is released.
#[derive(Clone, PartialEq)]
pub struct Proof(ark_groth16::Proof<Bn254>);

impl Proof {
    /// Reads snarkjs's `proof.json`.
    ///
    /// # Errors
    /// Whatever makes the document unfit; see [`Error`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        json::proof(json)
    }

    /// Takes a proof from its elements, checking each.
    ///
    /// # Errors
    /// A point off its curve, out of its subgroup or at infinity.
    pub fn from_elements(proof: ark_groth16::Proof<Bn254>) -> Result<Self, Error> {
        // An honest prover's randomness makes infinity as likely as guessing a
        // 254-bit number; in a proof from elsewhere it is a forger's shortcut.
        g1(&proof.a, "pi_a")?;
        g2(&proof.b, "pi_b")?;
        g1(&proof.c, "pi_c")?;
        Ok(Self(proof))
    }

    /// The checked elements.
    #[must_use]
    pub fn elements(&self) -> &ark_groth16::Proof<Bn254> {
        &self.0
    }

    /// The document that snarkjs writes, without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::proof_json(&self.0)
    }
}

impl core::fmt::Debug for Proof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Proof(…)")
    }
}

/// A proof's public signals, in the circuit's order, without the leading one.
/// Secret until they are released.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicSignals(Vec<Fr>);

impl PublicSignals {
    /// Reads snarkjs's `public.json`: an array of decimal strings.
    ///
    /// # Errors
    /// Whatever makes the document unfit; see [`Error`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        json::public_signals(json)
    }

    /// The field elements.
    #[must_use]
    pub fn as_slice(&self) -> &[Fr] {
        &self.0
    }

    /// The document that snarkjs writes, without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::public_json(&self.0)
    }
}

impl From<Vec<Fr>> for PublicSignals {
    fn from(signals: Vec<Fr>) -> Self {
        Self(signals)
    }
}

impl core::fmt::Debug for PublicSignals {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicSignals({} signals)", self.0.len())
    }
}

/// BN254's G1 has cofactor one: on the curve is in the group.
fn on_curve_g1(point: &G1Affine, element: &'static str) -> Result<(), Error> {
    if point.is_on_curve() {
        Ok(())
    } else {
        Err(Error::OffCurve { element })
    }
}

fn g1(point: &G1Affine, element: &'static str) -> Result<(), Error> {
    if point.is_zero() {
        return Err(Error::Infinity { element });
    }
    on_curve_g1(point, element)
}

fn g2(point: &G2Affine, element: &'static str) -> Result<(), Error> {
    if point.is_zero() {
        return Err(Error::Infinity { element });
    }
    if !point.is_on_curve() {
        return Err(Error::OffCurve { element });
    }
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(Error::OutOfSubgroup { element });
    }
    Ok(())
}
