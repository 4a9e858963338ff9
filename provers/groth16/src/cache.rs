//! Prepared proving keys, by the SHA-256 of the file they came from, bounded in
//! bytes; the one used longest ago goes first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::zkey::ProvingKey;

/// A cache of keys. Holds public data only.
#[derive(Debug)]
pub struct KeyCache {
    limit: usize,
    used: usize,
    tick: u64,
    keys: HashMap<[u8; 32], (u64, usize, Arc<ProvingKey>)>,
}

impl KeyCache {
    /// A cache of at most `limit` bytes of keys.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            tick: 0,
            keys: HashMap::new(),
        }
    }

    /// The key of this digest.
    pub fn get(&mut self, digest: &[u8; 32]) -> Option<Arc<ProvingKey>> {
        self.tick += 1;
        let (tick, _, key) = self.keys.get_mut(digest)?;
        *tick = self.tick;
        Some(Arc::clone(key))
    }

    /// Keeps a key; a key larger than the whole cache is not kept.
    pub fn insert(&mut self, digest: [u8; 32], key: Arc<ProvingKey>) {
        let size = key.memory();
        if let Some((_, old, _)) = self.keys.remove(&digest) {
            self.used -= old;
        }
        if size > self.limit {
            return;
        }
        while self.used > self.limit - size {
            let oldest = self.keys.iter().min_by_key(|(_, (tick, _, _))| *tick);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                break;
            };
            if let Some((_, freed, _)) = self.keys.remove(&oldest) {
                self.used -= freed;
            }
        }
        self.tick += 1;
        self.used += size;
        self.keys.insert(digest, (self.tick, size, key));
    }

    /// Bytes of the keys held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::KeyCache;
    use crate::zkey::ProvingKey;

    fn key() -> Arc<ProvingKey> {
        let zkey = include_bytes!("../tests/data/small.zkey");
        Arc::new(ProvingKey::from_zkey(zkey).unwrap())
    }

    #[test]
    fn it_holds_no_more_than_its_bytes_and_drops_what_was_used_longest_ago() {
        let key = key();
        let size = key.memory();
        let mut cache = KeyCache::new(2 * size + 1);
        for n in 0..2 {
            cache.insert([n; 32], Arc::clone(&key));
        }
        assert!(cache.get(&[0; 32]).is_some());
        cache.insert([2; 32], Arc::clone(&key));
        assert_eq!(cache.bytes(), 2 * size);
        assert!(cache.get(&[1; 32]).is_none());
        assert!(cache.get(&[0; 32]).is_some() && cache.get(&[2; 32]).is_some());
        cache.insert([2; 32], Arc::clone(&key));
        assert_eq!(cache.bytes(), 2 * size);
    }

    #[test]
    fn a_key_larger_than_the_cache_is_not_kept() {
        let mut cache = KeyCache::new(10);
        cache.insert([0; 32], key());
        assert_eq!(cache.bytes(), 0);
        assert!(cache.get(&[0; 32]).is_none());
    }
}
