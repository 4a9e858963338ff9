//! What is encrypted: prologue, witness, padding.

use crate::SealError;
use soundproof_protocol::sealed::PROLOGUE;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How the plaintext is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Padding {
    /// Padmé (Nikitin et al., PETS 2019, 4.2): at most 12 % more, and the
    /// length tells O(log log n) bits.
    #[default]
    Padme,
    /// To a multiple of this many bytes; 0 counts as 1.
    Multiple(u64),
}

impl Padding {
    /// Length of the padded plaintext for a witness of `witness_len` bytes.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn padded_len(self, witness_len: u64) -> Result<u64, SealError> {
        let len = witness_len
            .checked_add(PROLOGUE as u64)
            .ok_or(SealError::TooLong)?;
        match self {
            Self::Padme => padme(len),
            Self::Multiple(unit) => len.checked_next_multiple_of(unit.max(1)),
        }
        .ok_or(SealError::TooLong)
    }
}

/// Padmé of `len`: its low bits rounded up, as many as leave log2(log2) bits.
pub(crate) fn padme(len: u64) -> Option<u64> {
    if len < 2 {
        return Some(len);
    }
    let exponent = len.ilog2();
    let kept = u64::from(exponent)
        .checked_ilog2()
        .map_or(0, |bits| bits + 1);
    let zeroed = exponent.saturating_sub(kept);
    let mask = (1u64 << zeroed) - 1;
    Some(len.checked_add(mask)? & !mask)
}

/// The first 48 bytes of every sealed plaintext.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Prologue {
    /// Bytes of the witness.
    pub witness_len: u64,
    /// The client's clock, milliseconds since 1970: what is judged on its
    /// behalf uses no earlier time.
    pub client_ms: u64,
    /// Mixed into the prover's randomness.
    pub entropy: [u8; 32],
}

impl Prologue {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; PROLOGUE] {
        let mut bytes = [0; PROLOGUE];
        bytes[..8].copy_from_slice(&self.witness_len.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.client_ms.to_be_bytes());
        bytes[16..].copy_from_slice(&self.entropy);
        bytes
    }

    /// From the start of a plaintext of `padded_len` bytes.
    ///
    /// # Errors
    /// [`SealError::Prologue`] if it is too short, or names a witness longer
    /// than the plaintext.
    pub fn read(start: &[u8], padded_len: u64) -> Result<Self, SealError> {
        let (len, rest) = start.split_first_chunk().ok_or(SealError::Prologue)?;
        let (client_ms, rest) = rest.split_first_chunk().ok_or(SealError::Prologue)?;
        let entropy = rest.first_chunk().ok_or(SealError::Prologue)?;
        let witness_len = u64::from_be_bytes(*len);
        if witness_len > padded_len.saturating_sub(PROLOGUE as u64) {
            return Err(SealError::Prologue);
        }
        Ok(Self {
            witness_len,
            client_ms: u64::from_be_bytes(*client_ms),
            entropy: *entropy,
        })
    }
}

impl core::fmt::Debug for Prologue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Prologue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padme_as_in_the_paper() {
        // Worked from the paper's algorithm 1.
        for (len, padded) in [
            (1, 1),
            (8, 8),
            (9, 10),
            (48, 48),
            (49, 52),
            (1000, 1024),
            (10_000, 10_240),
        ] {
            assert_eq!(padme(len), Some(padded), "{len}");
        }
        assert_eq!(padme(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn padme_is_never_shorter_and_at_most_12_percent_longer(len in 48u64..1 << 50) {
            let padded = padme(len).unwrap();
            prop_assert!(padded >= len);
            prop_assert!((padded - len) * 100 <= len * 12);
            prop_assert_eq!(padme(padded), Some(padded));
        }

        #[test]
        fn prologues_round_trip(len in 0u64..1 << 40, client_ms: u64, entropy: [u8; 32]) {
            let prologue = Prologue { witness_len: len, client_ms, entropy };
            let bytes = prologue.to_bytes();
            let read = Prologue::read(&bytes, len + 48).unwrap();
            prop_assert_eq!((read.witness_len, read.client_ms, read.entropy), (len, client_ms, entropy));
            prop_assert!(Prologue::read(&bytes, len + 47).is_err() || len == 0);
            prop_assert!(Prologue::read(&bytes[..47], len + 48).is_err());
        }
    }
}
