//! Nonces: made for one address, good for a few minutes, once.
//!
//! They are not kept when they are given out, so that nobody fills a table or
//! pushes out another's by asking. A nonce carries when it was made and a
//! counter, under a MAC with the address: 16 bits of time, 16 of counter, 32
//! of MAC. Only those that were used, under a valid signature, are remembered
//! until they expire. The key is made at the start, so a nonce of an earlier
//! process is unknown, and none can be used again after a restart. To forge
//! one gives its signer nothing: it would only be another nonce of its own.

use crate::{
    backend::{Entropy, NoEntropy},
    signature::Address,
};
use sha3::{Digest as _, Sha3_256};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};
use zeroize::Zeroizing;

/// Milliseconds of one tick of a nonce's clock.
const TICK_MS: u64 = 4_000;

/// Why a nonce is refused. The SDK gets `Aborted` for each, asks for another
/// and signs anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NonceError {
    #[error("the nonce was not given to this address by this server since it started")]
    Unknown,
    #[error("the nonce is too old")]
    Expired,
    #[error("the nonce was used before")]
    Used,
    #[error("too many requests at present")]
    Full,
}

/// See the module.
pub(crate) struct Nonces {
    key: Zeroizing<[u8; 32]>,
    counter: AtomicU16,
    life_ms: u64,
    max_used: usize,
    /// Until when each is remembered.
    used: Mutex<HashMap<(Address, u64), u64>>,
}

impl Nonces {
    pub(crate) fn new(
        entropy: &dyn Entropy,
        life_ms: u64,
        max_used: usize,
    ) -> Result<Self, NoEntropy> {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key)?;
        Ok(Self {
            key,
            counter: AtomicU16::new(0),
            // Well below the 72 hours after which the ticks repeat.
            life_ms: life_ms.min(3_600_000),
            max_used,
            used: Mutex::default(),
        })
    }

    /// One for this address.
    pub(crate) fn issue(&self, address: Address, now_ms: u64) -> u64 {
        let tick = (now_ms / TICK_MS) as u16;
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        self.seal(address, tick, count)
    }

    /// Uses one up.
    pub(crate) fn consume(
        &self,
        address: Address,
        nonce: u64,
        now_ms: u64,
    ) -> Result<(), NonceError> {
        let tick = (nonce >> 48) as u16;
        let count = (nonce >> 32) as u16;
        if self.seal(address, tick, count) != nonce {
            return Err(NonceError::Unknown);
        }
        let age_ms = u64::from(((now_ms / TICK_MS) as u16).wrapping_sub(tick)) * TICK_MS;
        if age_ms > self.life_ms {
            return Err(NonceError::Expired);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&(address, nonce)) {
            return Err(NonceError::Used);
        }
        if used.len() >= self.max_used {
            used.retain(|_, until| *until > now_ms);
            if used.len() >= self.max_used {
                return Err(NonceError::Full);
            }
        }
        used.insert((address, nonce), now_ms + self.life_ms + 2 * TICK_MS);
        Ok(())
    }

    /// Forgets those that have expired.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, until| *until > now_ms);
    }

    // SHA-3 with the key in front is a MAC; it has no length extension.
    fn seal(&self, address: Address, tick: u16, count: u16) -> u64 {
        let mac = Sha3_256::new()
            .chain_update(*self.key)
            .chain_update(address.0)
            .chain_update(tick.to_be_bytes())
            .chain_update(count.to_be_bytes())
            .finalize();
        let mac = mac
            .iter()
            .take(4)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        u64::from(tick) << 48 | u64::from(count) << 32 | mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::system::SystemEntropy;

    const HOUR: u64 = 3_600_000;
    const ANN: Address = Address([1; 20]);
    const BOB: Address = Address([2; 20]);

    fn nonces(max: usize) -> Nonces {
        Nonces::new(&SystemEntropy, 300_000, max).unwrap()
    }

    #[test]
    fn good_once_for_one_address() {
        let nonces = nonces(10);
        let nonce = nonces.issue(ANN, HOUR);
        assert_eq!(nonces.consume(BOB, nonce, HOUR), Err(NonceError::Unknown));
        assert_eq!(nonces.consume(ANN, nonce, HOUR), Ok(()));
        assert_eq!(nonces.consume(ANN, nonce, HOUR), Err(NonceError::Used));
        assert_eq!(nonces.consume(ANN, 0, HOUR), Err(NonceError::Unknown));
    }

    #[test]
    fn no_nonce_is_given_out_twice() {
        let nonces = nonces(10);
        let all: std::collections::HashSet<_> =
            (0..10_000).map(|_| nonces.issue(ANN, HOUR)).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn a_nonce_expires_and_is_remembered_until_then() {
        let nonces = nonces(10);
        let (old, late) = (nonces.issue(ANN, HOUR), nonces.issue(ANN, HOUR));
        assert_eq!(nonces.consume(ANN, late, HOUR + 296_000), Ok(()));
        assert_eq!(
            nonces.consume(ANN, old, HOUR + 310_000),
            Err(NonceError::Expired)
        );
        nonces.sweep(HOUR + 310_000);
        assert!(nonces.consume(ANN, late, HOUR + 310_000).is_err());
        // From the future: of another turn of the clock, so too old.
        let early = nonces.issue(ANN, 2 * HOUR);
        assert_eq!(nonces.consume(ANN, early, HOUR), Err(NonceError::Expired));
    }

    #[test]
    fn the_memory_of_used_ones_is_bounded() {
        let nonces = nonces(2);
        for _ in 0..2 {
            nonces.consume(ANN, nonces.issue(ANN, HOUR), HOUR).unwrap();
        }
        let third = nonces.issue(ANN, HOUR);
        assert_eq!(nonces.consume(ANN, third, HOUR), Err(NonceError::Full));
        let later = HOUR + 400_000;
        let fourth = nonces.issue(ANN, later);
        assert_eq!(nonces.consume(ANN, fourth, later), Ok(()));
    }

    #[test]
    fn another_process_knows_none_of_them() {
        let nonce = nonces(2).issue(ANN, HOUR);
        assert_eq!(
            nonces(2).consume(ANN, nonce, HOUR),
            Err(NonceError::Unknown)
        );
    }
}
