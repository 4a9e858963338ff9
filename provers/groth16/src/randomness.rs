//! The two random scalars of a Groth16 proof, which make it hide the witness.
//!
//! Whoever can guess them reads linear relations of the witness off the proof.
//! So they come from the operating system and from the client, mixed by HKDF
//! (RFC 5869) and bound to the job: neither source decides alone, and no two
//! jobs share them even if both sources repeat.

use ark_bn254::Fr;
use ark_ff::PrimeField;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const SALT: &[u8] = b"soundproof/groth16/randomness/v1";

/// Where a proof's randomness comes from. Wiped when dropped.
pub struct Randomness {
    /// The operating system's 32 bytes, then the client's.
    seed: Zeroizing<[u8; 64]>,
    /// What binds it to the job, such as the digest of its description.
    job: [u8; 32],
}

impl core::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Randomness(…)")
    }
}

impl Randomness {
    /// From given bytes of the operating system's randomness, the client's
    /// entropy and the job's digest.
    #[must_use]
    pub fn new(system: &[u8; 32], client: &[u8; 32], job: &[u8; 32]) -> Self {
        let mut seed = Zeroizing::new([0u8; 64]);
        for (to, from) in seed.iter_mut().zip(system.iter().chain(client)) {
            *to = *from;
        }
        Self { seed, job: *job }
    }

    /// As [`Self::new`], asking the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn from_system(client: &[u8; 32], job: &[u8; 32]) -> Result<Self, getrandom::Error> {
        let mut system = Zeroizing::new([0u8; 32]);
        getrandom::fill(system.as_mut_slice())?;
        Ok(Self::new(&system, client, job))
    }

    /// The scalars r and s. Used up by it: one proof, one pair.
    #[must_use]
    pub(crate) fn scalars(self) -> Zeroizing<[Fr; 2]> {
        let hkdf = Hkdf::<Sha256>::new(Some(SALT), self.seed.as_slice());
        let mut okm = Zeroizing::new([0u8; 128]);
        let bound = hkdf.expand(&self.job, okm.as_mut_slice());
        debug_assert!(bound.is_ok(), "128 bytes are within HKDF's bound of 8,160");
        // 512 bits each: reduced modulo r, the bias is below 2^-256.
        let (r, s) = okm.split_at(64);
        Zeroizing::new([
            Fr::from_le_bytes_mod_order(r),
            Fr::from_le_bytes_mod_order(s),
        ])
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::Zero;

    use super::Randomness;

    #[test]
    fn every_source_matters_and_the_scalars_differ() {
        let scalars = |system: u8, client: u8, job: u8| {
            *Randomness::new(&[system; 32], &[client; 32], &[job; 32]).scalars()
        };
        let base = scalars(1, 2, 3);
        assert_eq!(base, scalars(1, 2, 3));
        assert_ne!(base[0], base[1]);
        assert!(!base[0].is_zero() && !base[1].is_zero());
        // Were a source left out, one of these would give the same pair, and
        // whoever controls the others would know the proof's randomness.
        for other in [scalars(9, 2, 3), scalars(1, 9, 3), scalars(1, 2, 9)] {
            assert_ne!(base[0], other[0]);
            assert_ne!(base[1], other[1]);
        }
    }

    #[test]
    fn the_system_is_asked_each_time() {
        let one = Randomness::from_system(&[0; 32], &[0; 32]).unwrap();
        let two = Randomness::from_system(&[0; 32], &[0; 32]).unwrap();
        assert_eq!(format!("{one:?}"), "Randomness(…)");
        assert_ne!(*one.scalars(), *two.scalars());
    }
}
