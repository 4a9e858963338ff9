//! What the solvency guest proves: that secret balances add up to at least a
//! public threshold. Pure; reads and commits nothing.
//!
//! That *some* numbers reach a threshold says nothing about anybody, so the
//! proof names a commitment to the balances that it is about. Its salt keeps
//! them secret, and their number too; who is shown balances and salt (an
//! auditor) can recompute it.

use sha2::{Digest, Sha256};

/// What separates this commitment from every other use of SHA-256.
const DOMAIN: &[u8] = b"soundproof/solvency/v1";

/// Whether `balances` add up to at least `threshold`, both in the same smallest
/// unit. `None` when the sum does not fit 64 bits: a wrapped sum would prove
/// nothing.
#[must_use]
pub fn solvent(balances: &[u64], threshold: u64) -> Option<bool> {
    let sum = balances
        .iter()
        .try_fold(0u64, |sum, balance| sum.checked_add(*balance))?;
    Some(sum >= threshold)
}

/// SHA-256 of the domain, the salt (32 random bytes, new for each proof), the
/// number of balances and each of them, as little-endian 64-bit integers. Every
/// field but the balances has a fixed length, and they come last.
#[must_use]
pub fn commitment(salt: &[u8; 32], balances: &[u64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(salt);
    hash.update((balances.len() as u64).to_le_bytes());
    for balance in balances {
        hash.update(balance.to_le_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::{commitment, solvent};

    #[test]
    fn threshold_is_inclusive() {
        assert_eq!(solvent(&[40, 2], 42), Some(true));
        assert_eq!(solvent(&[40, 2], 43), Some(false));
        assert_eq!(solvent(&[], 0), Some(true));
        assert_eq!(solvent(&[], 1), Some(false));
        assert_eq!(solvent(&[u64::MAX, 0], u64::MAX), Some(true));
    }

    #[test]
    fn a_sum_that_wraps_proves_nothing() {
        assert_eq!(solvent(&[u64::MAX, 1], 0), None);
        assert_eq!(solvent(&[u64::MAX, u64::MAX, 5], 3), None);
    }

    /// The layout, from its description: 22 + 32 + 8 + 3 * 8 bytes.
    #[test]
    fn commitment_is_as_documented() {
        use sha2::{Digest, Sha256};
        let mut bytes = b"soundproof/solvency/v1".to_vec();
        bytes.extend([7; 32]);
        bytes.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend([255; 8]);
        assert_eq!(bytes.len(), 86);
        let expected: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(commitment(&[7; 32], &[1, 256, u64::MAX]), expected);
    }

    #[test]
    fn commitment_binds_every_part() {
        let base = commitment(&[7; 32], &[1, 2]);
        for other in [
            commitment(&[8; 32], &[1, 2]),
            commitment(&[7; 32], &[2, 1]),
            commitment(&[7; 32], &[1, 2, 0]),
            commitment(&[7; 32], &[1]),
            commitment(&[7; 32], &[]),
        ] {
            assert_ne!(base, other);
        }
    }
}
