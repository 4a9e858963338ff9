//! Session keys made ahead, while nobody asks: an X-Wing key takes longer to
//! make than all else about a session, and sessions come in bursts. Bounded;
//! wiped with the keeper, as every key is.

use crate::random;
use soundproof_protocol::suite::Suite;
use soundproof_seal::Recipient;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Keys that are made between two looks at whether somebody asks.
const AT_ONCE: usize = 32;
/// Nobody asked for this long: the machine has time.
const QUIET: Duration = Duration::from_millis(250);

struct Pool {
    keys: Vec<Recipient>,
    taken: Instant,
}

/// See the module.
pub(crate) struct KeyPool {
    size: usize,
    pool: Mutex<Pool>,
}

impl KeyPool {
    pub(crate) fn new(size: usize) -> Self {
        let pool = Pool {
            keys: Vec::new(),
            taken: Instant::now(),
        };
        Self {
            size,
            pool: Mutex::new(pool),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that nobody else ever gets.
    pub(crate) fn take(&self, suite: Suite) -> Option<Recipient> {
        if suite == Suite::XWing {
            let mut pool = self.lock();
            pool.taken = Instant::now();
            if let Some(key) = pool.keys.pop() {
                return Some(key);
            }
        }
        Recipient::generate(suite, &mut random::rng())
    }

    /// Makes a few keys, if nobody asked lately and there is room; says
    /// whether there is room for more.
    pub(crate) fn refill(&self) -> bool {
        for _ in 0..AT_ONCE {
            let pool = self.lock();
            if pool.keys.len() >= self.size || pool.taken.elapsed() < QUIET {
                break;
            }
            drop(pool);
            let Some(key) = Recipient::generate(Suite::XWing, &mut random::rng()) else {
                return false;
            };
            self.lock().keys.push(key);
        }
        self.lock().keys.len() < self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Broken if a key were given twice: two sessions would share it.
    #[test]
    fn every_key_is_given_once_and_the_pool_is_bounded() {
        let pool = KeyPool::new(3);
        pool.lock().taken = Instant::now() - QUIET;
        while pool.refill() {}
        assert_eq!(pool.lock().keys.len(), 3);
        let mut seen = HashSet::new();
        for _ in 0..8 {
            let key = pool.take(Suite::XWing).unwrap();
            assert!(seen.insert(key.public_key().to_vec()));
        }
        assert!(
            pool.refill() && pool.lock().keys.is_empty(),
            "somebody has just asked"
        );
        assert_eq!(pool.take(Suite::X25519).unwrap().suite(), Suite::X25519);
    }
}
