//! A stash and a journal in this process's memory. What they keep is wiped
//! when it is deleted and gone when the process ends.

use crate::backend::{
    Incoming, Journal, JournalError, Kind, Record, Secret, Stash, StashError, StashId,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

/// Keeps bytes in memory, up to a bound in total.
pub struct MemoryStash {
    max: u64,
    state: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    items: HashMap<StashId, Secret>,
    /// Of what is kept and of what is on its way in.
    bytes: u64,
}

impl MemoryStash {
    /// For `max` bytes in total.
    pub fn new(max: u64) -> Self {
        Self {
            max,
            state: Mutex::default(),
        }
    }

    /// Bytes that are kept at present.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room taken; given back when dropped, unless the bytes stay.
struct Room<'a> {
    stash: &'a MemoryStash,
    bytes: u64,
}

impl Room<'_> {
    fn take(&mut self, bytes: u64) -> Result<(), StashError> {
        let mut kept = self.stash.lock();
        if bytes > self.stash.max.saturating_sub(kept.bytes) {
            return Err(StashError::Full);
        }
        kept.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut kept = self.stash.lock();
        kept.bytes = kept.bytes.saturating_sub(self.bytes);
    }
}

#[async_trait]
impl Stash for MemoryStash {
    async fn put(
        &self,
        id: StashId,
        _kind: Kind,
        mut source: Incoming<'_>,
        max: u64,
    ) -> Result<u64, StashError> {
        let mut room = Room {
            stash: self,
            bytes: 0,
        };
        // Pieces of their own, so that no copy is left behind where a vector
        // grew out of its place.
        let mut pieces: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        while let Some(chunk) = source.next().await {
            let chunk = chunk?;
            let len = chunk.len() as u64;
            if room.bytes.saturating_add(len) > max {
                return Err(StashError::TooLong);
            }
            room.take(len)?;
            append(&mut pieces, &chunk);
        }
        let len = usize::try_from(room.bytes).map_err(|_| StashError::TooLong)?;
        let mut whole = Zeroizing::new(Vec::with_capacity(len));
        for piece in pieces.drain(..) {
            whole.extend_from_slice(&piece);
        }
        let bytes = core::mem::take(&mut room.bytes);
        let replaced = self.lock().items.insert(id, Secret::new(whole));
        if let Some(old) = replaced {
            room.bytes = old.len() as u64;
        }
        Ok(bytes)
    }

    async fn get(&self, id: StashId) -> Result<Secret, StashError> {
        let kept = self.lock();
        kept.items.get(&id).cloned().ok_or(StashError::Missing)
    }

    async fn delete(&self, id: StashId) -> Result<(), StashError> {
        let mut kept = self.lock();
        if let Some(item) = kept.items.remove(&id) {
            kept.bytes = kept.bytes.saturating_sub(item.len() as u64);
        }
        Ok(())
    }

    async fn keep_only(&self, ids: &HashSet<StashId>) -> Result<(), StashError> {
        let mut kept = self.lock();
        kept.items.retain(|id, _| ids.contains(id));
        kept.bytes = kept.items.values().map(|item| item.len() as u64).sum();
        Ok(())
    }
}

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

fn append(pieces: &mut Vec<Zeroizing<Vec<u8>>>, mut chunk: &[u8]) {
    while !chunk.is_empty() {
        let room = pieces.last().map_or(0, |piece| PIECE - piece.len());
        if room == 0 {
            pieces.push(Zeroizing::new(Vec::with_capacity(PIECE)));
            continue;
        }
        let (now, rest) = chunk.split_at(room.min(chunk.len()));
        if let Some(piece) = pieces.last_mut() {
            piece.extend_from_slice(now);
        }
        chunk = rest;
    }
}

/// Keeps records in memory, up to a bound in total.
pub struct MemoryJournal {
    max: usize,
    records: Mutex<HashMap<Vec<u8>, Zeroizing<Vec<u8>>>>,
}

impl MemoryJournal {
    /// For `max` records.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            records: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Zeroizing<Vec<u8>>>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn load(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self
            .lock()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        let mut records = self.lock();
        if !records.contains_key(key) && records.len() >= self.max {
            return Err(JournalError("the journal in memory is full".to_owned()));
        }
        records.insert(key.to_vec(), Zeroizing::new(value.to_vec()));
        Ok(())
    }

    async fn delete(&self, key: &[u8]) -> Result<(), JournalError> {
        self.lock().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::{IncomingError, incoming_of};
    use bytes::Bytes;
    use futures_util::stream;

    const A: StashId = StashId([1; 32]);
    const B: StashId = StashId([2; 32]);

    fn pieces(pieces: Vec<Result<Bytes, IncomingError>>) -> Incoming<'static> {
        stream::iter(pieces).boxed()
    }

    #[tokio::test]
    async fn keeps_what_came_whole_and_nothing_else() {
        let stash = MemoryStash::new(4 << 20);
        let big = vec![7; PIECE + 5];
        let source = pieces(vec![Ok(Bytes::from(big.clone())), Ok(Bytes::from("end"))]);
        let len = stash.put(A, Kind::Stdin, source, 2 << 20).await.unwrap();
        assert_eq!(len, big.len() as u64 + 3);
        assert_eq!(stash.get(A).await.unwrap()[..], [&big[..], b"end"].concat());
        assert_eq!(stash.bytes(), len);

        let broken = pieces(vec![Ok(Bytes::from("x")), Err(IncomingError::Broken)]);
        let error = stash.put(B, Kind::Stdin, broken, 10).await.unwrap_err();
        assert_eq!(error, StashError::Source(IncomingError::Broken));
        assert_eq!(stash.get(B).await.unwrap_err(), StashError::Missing);
        assert_eq!(stash.bytes(), len);

        stash.delete(A).await.unwrap();
        stash.delete(A).await.unwrap();
        assert_eq!(stash.bytes(), 0);
    }

    #[tokio::test]
    async fn bounds_hold_for_one_and_for_all() {
        let stash = MemoryStash::new(10);
        let put =
            |id, len: usize, max| stash.put(id, Kind::Stdin, incoming_of(vec![0; len].into()), max);
        assert_eq!(put(A, 6, 5).await, Err(StashError::TooLong));
        assert_eq!(put(A, 6, 6).await, Ok(6));
        assert_eq!(put(B, 5, 6).await, Err(StashError::Full));
        assert_eq!(put(B, 4, 6).await, Ok(4));
        // In the place of another.
        stash.delete(B).await.unwrap();
        assert_eq!(put(A, 3, 6).await, Ok(3));
        assert_eq!(stash.bytes(), 3);
    }

    #[tokio::test]
    async fn a_journal_gives_back_what_it_was_given() {
        let journal = MemoryJournal::new(2);
        journal.put(b"a", b"1").await.unwrap();
        journal.put(b"b", b"2").await.unwrap();
        journal.put(b"a", b"3").await.unwrap();
        assert!(journal.put(b"c", b"4").await.is_err());
        journal.delete(b"b").await.unwrap();
        let records = journal.load().await.unwrap();
        assert_eq!(records, [(b"a".to_vec(), Zeroizing::new(b"3".to_vec()))]);
    }
}
