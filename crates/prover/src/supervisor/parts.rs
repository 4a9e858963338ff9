//! Program parts: where they come from, and the cache of those that every new
//! process needs. All of it is public; what counts is that it is authentic.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::Failure;

use crate::wire::Form;

/// Where program parts come from: the untrusted store.
pub trait PartProvider: Send + Sync {
    /// Opens the part with this SHA-256. What it yields is hashed on the way
    /// and not believed.
    fn open(&self, digest: Digest) -> BoxFuture<'_, Result<PartStream, Failure>>;
}

/// A part's bytes.
pub struct PartStream {
    /// How many there are.
    pub len: u64,
    /// The bytes, in pieces of any size.
    pub pieces: BoxStream<'static, Result<Bytes, Failure>>,
}

/// Bytes that were checked, or derived, by stage, digest and form; the least
/// recently used go first.
pub(super) struct Cache {
    max: u64,
    entries: Mutex<Vec<(Key, Arc<Vec<u8>>)>>,
}

type Key = (String, Digest, Form);

impl Cache {
    /// One that holds at most `max` bytes.
    pub(super) fn new(max: u64) -> Self {
        Self {
            max,
            entries: Mutex::default(),
        }
    }

    /// Whether something of `len` bytes is worth keeping.
    pub(super) fn fits(&self, len: u64) -> bool {
        len <= self.max / 2
    }

    /// Looks something up and marks it used.
    pub(super) fn get(&self, stage: &str, digest: &Digest, form: Form) -> Option<Arc<Vec<u8>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries
            .iter()
            .position(|((s, d, f), _)| s == stage && d == digest && *f == form)?;
        let entry = entries.remove(at);
        let bytes = entry.1.clone();
        entries.push(entry);
        Some(bytes)
    }

    /// Keeps something, unless it is too large. What is there already stays: of
    /// two processes that derive the same, none can replace the other's.
    pub(super) fn put(&self, stage: &str, digest: Digest, form: Form, bytes: Vec<u8>) {
        if !self.fits(bytes.len() as u64) || self.get(stage, &digest, form).is_some() {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(((stage.to_owned(), digest, form), Arc::new(bytes)));
        let mut total: u64 = entries.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        while total > self.max && !entries.is_empty() {
            total -= entries.remove(0).1.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = Cache::new(10);
        cache.put("s", digest(1), Form::Source, vec![1; 5]);
        cache.put("s", digest(2), Form::Source, vec![2; 5]);
        assert!(cache.get("s", &digest(1), Form::Source).is_some());
        cache.put("s", digest(3), Form::Source, vec![3; 1]);
        assert!(cache.get("s", &digest(2), Form::Source).is_none());
        assert!(cache.get("s", &digest(1), Form::Source).is_some());
        assert!(cache.get("s", &digest(3), Form::Source).is_some());
    }

    #[test]
    fn stages_and_forms_are_apart_and_nothing_is_replaced() {
        let cache = Cache::new(100);
        cache.put("s", digest(1), Form::Derived, vec![1]);
        cache.put("s", digest(1), Form::Derived, vec![2]);
        assert_eq!(*cache.get("s", &digest(1), Form::Derived).unwrap(), [1]);
        assert!(cache.get("t", &digest(1), Form::Derived).is_none());
        assert!(cache.get("s", &digest(1), Form::Source).is_none());
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let cache = Cache::new(10);
        cache.put("s", digest(1), Form::Source, vec![1; 6]);
        assert!(cache.get("s", &digest(1), Form::Source).is_none());
    }
}
