//! Inputs, programs and proofs in files, sealed chunk by chunk as they stream
//! in: no file ever holds a byte of them in clear. A salt, then the chunks.

use super::keys::{Cipher, Keys, SALT, TAG, salt};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use soundproof_sp1_network::{Incoming, Kind, Secret, Stash, StashError, StashId};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::AsyncWriteExt as _;
use zeroize::Zeroizing;

const PURPOSE: &str = "stash";
/// Plaintext bytes of a chunk.
const CHUNK: usize = 1 << 20;
/// Chunks between two looks at the disk's room.
const LOOK: u32 = 64;

/// See the module.
pub(super) struct SealedStash {
    folder: PathBuf,
    keys: Arc<Keys>,
    /// Bytes of the disk that are left free.
    min_free: u64,
}

impl SealedStash {
    /// In `folder`, which is made.
    pub(super) fn open(folder: PathBuf, keys: Arc<Keys>, min_free: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            keys,
            min_free,
        })
    }

    fn path(&self, id: &StashId) -> PathBuf {
        self.folder.join(hex::encode(id.0))
    }

    async fn write(
        &self,
        id: StashId,
        mut source: Incoming<'_>,
        max: u64,
    ) -> Result<u64, StashError> {
        let salt = salt().map_err(failed)?;
        let cipher = self.keys.file(PURPOSE, &id.0, &salt).map_err(failed)?;
        // Removed when this future is dropped before the end.
        let (file, path) = tempfile::NamedTempFile::new_in(&self.folder)
            .map_err(failed)?
            .into_parts();
        let mut file = tokio::fs::File::from_std(file);
        file.write_all(&salt).await.map_err(failed)?;
        // Never grows: no copy of a plaintext is left behind.
        let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        let (mut index, mut total) = (0_u32, 0_u64);
        while let Some(piece) = source.next().await {
            let piece = piece?;
            total = total.saturating_add(piece.len() as u64);
            if total > max {
                return Err(StashError::TooLong);
            }
            let mut rest = &piece[..];
            while !rest.is_empty() {
                if chunk.len() == CHUNK {
                    self.put_chunk(&cipher, &mut file, index, false, &mut chunk)
                        .await?;
                    index = index.checked_add(1).ok_or(StashError::TooLong)?;
                }
                let (now, later) = rest.split_at(rest.len().min(CHUNK - chunk.len()));
                chunk.extend_from_slice(now);
                rest = later;
            }
        }
        self.put_chunk(&cipher, &mut file, index, true, &mut chunk)
            .await?;
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        path.persist(self.path(&id))
            .map_err(|error| failed(error.error))?;
        sync(&self.folder).await.map_err(failed)?;
        Ok(total)
    }

    async fn put_chunk(
        &self,
        cipher: &Cipher,
        file: &mut tokio::fs::File,
        index: u32,
        last: bool,
        chunk: &mut Vec<u8>,
    ) -> Result<(), StashError> {
        if index.is_multiple_of(LOOK) {
            let disk = rustix::fs::statvfs(&self.folder).map_err(|error| failed(error.into()))?;
            if disk.f_bavail.saturating_mul(disk.f_frsize) < self.min_free {
                return Err(StashError::Full);
            }
        }
        cipher.seal(index, last, chunk).map_err(failed)?;
        file.write_all(chunk).await.map_err(failed)?;
        chunk.clear();
        Ok(())
    }
}

#[async_trait]
impl Stash for SealedStash {
    async fn put(
        &self,
        id: StashId,
        _: Kind,
        source: Incoming<'_>,
        max: u64,
    ) -> Result<u64, StashError> {
        self.write(id, source, max).await
    }

    async fn get(&self, id: StashId) -> Result<Secret, StashError> {
        let (path, keys) = (self.path(&id), self.keys.clone());
        let read = tokio::task::spawn_blocking(move || read(&path, &keys, &id));
        read.await
            .map_err(|error| StashError::Failed(error.to_string()))?
            .map(Secret::new)
            .map_err(failed)
    }

    async fn delete(&self, id: StashId) -> Result<(), StashError> {
        match tokio::fs::remove_file(self.path(&id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn keep_only(&self, ids: &HashSet<StashId>) -> Result<(), StashError> {
        let keep: HashSet<PathBuf> = ids.iter().map(|id| self.path(id)).collect();
        let folder = self.folder.clone();
        let swept = tokio::task::spawn_blocking(move || {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if !keep.contains(&path) {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(())
        });
        swept
            .await
            .map_err(|error| StashError::Failed(error.to_string()))?
            .map_err(failed)
    }
}

/// What the medium says; nothing of it is secret.
fn failed(error: io::Error) -> StashError {
    match error.kind() {
        io::ErrorKind::NotFound => StashError::Missing,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StashError::Full,
        _ => StashError::Failed(error.to_string()),
    }
}

fn read(path: &Path, keys: &Keys, id: &StashId) -> io::Result<Zeroizing<Vec<u8>>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "it was cut");
    let mut file = File::open(path)?;
    let sealed = file
        .metadata()?
        .len()
        .checked_sub(SALT as u64)
        .ok_or_else(short)?;
    let mut salt = [0; SALT];
    file.read_exact(&mut salt)?;
    let cipher = keys.file(PURPOSE, &id.0, &salt)?;
    let chunks = sealed.div_ceil((CHUNK + TAG) as u64).max(1);
    let len = sealed
        .checked_sub(chunks * TAG as u64)
        .and_then(|len| usize::try_from(len).ok())
        .ok_or_else(short)?;
    // Kept here by us, and no longer than was accepted when it came.
    let mut whole = Zeroizing::new(Vec::with_capacity(len));
    let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
    for index in 0..chunks {
        chunk.clear();
        let most = (CHUNK + TAG) as u64;
        file.by_ref().take(most).read_to_end(&mut chunk)?;
        let index32 = u32::try_from(index).map_err(|_| short())?;
        cipher.open(index32, index + 1 == chunks, &mut chunk)?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// Makes a folder's names durable.
pub(super) async fn sync(folder: &Path) -> io::Result<()> {
    tokio::fs::File::open(folder).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;
    use soundproof_protocol::link::DirectSecret;
    use soundproof_sp1_network::{IncomingError, incoming_of};

    const ID: StashId = StashId([7; 32]);

    fn keys(byte: u8) -> Arc<Keys> {
        Arc::new(Keys::new(DirectSecret(Zeroizing::new([byte; 32]))))
    }

    fn stash(folder: &Path, byte: u8) -> SealedStash {
        SealedStash::open(folder.to_owned(), keys(byte), 0).unwrap()
    }

    fn random(len: usize) -> Bytes {
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).unwrap();
        bytes.into()
    }

    async fn put(stash: &SealedStash, bytes: &Bytes) -> Result<u64, StashError> {
        stash
            .put(ID, Kind::Stdin, incoming_of(bytes.clone()), u64::MAX)
            .await
    }

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn what_is_put_comes_back_and_lies_there_sealed() {
        let home = tempfile::tempdir().unwrap();
        let stash = stash(home.path(), 1);
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
            let bytes = random(len);
            assert_eq!(put(&stash, &bytes).await, Ok(len as u64));
            assert_eq!(&*stash.get(ID).await.unwrap(), &bytes[..], "{len}");
            let sealed = std::fs::read(stash.path(&ID)).unwrap();
            if let Some(needle) = bytes.get(..16) {
                assert!(!sealed.windows(16).any(|window| window == needle));
            }
        }
        // The same bytes, in pieces of any size, under another salt.
        let bytes = random(2 * CHUNK + 7);
        let pieces: Vec<_> = bytes
            .chunks(300_001)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let source = stream::iter(pieces).boxed();
        let len = bytes.len() as u64;
        assert_eq!(stash.put(ID, Kind::Proof, source, len).await, Ok(len));
        assert_eq!(&*stash.get(ID).await.unwrap(), &bytes[..]);
        stash.delete(ID).await.unwrap();
        stash.delete(ID).await.unwrap();
        assert_eq!(stash.get(ID).await.unwrap_err(), StashError::Missing);
    }

    /// Broken if half an upload stayed, or one grew beyond its bound.
    #[tokio::test]
    async fn what_breaks_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let stash = stash(home.path(), 1);
        let broken = || stream::iter([Ok(random(2 * CHUNK)), Err(IncomingError::Broken)]).boxed();
        let error = stash.put(ID, Kind::Stdin, broken(), u64::MAX).await;
        assert_eq!(error, Err(StashError::Source(IncomingError::Broken)));
        let long = incoming_of(random(CHUNK));
        let error = stash.put(ID, Kind::Stdin, long, CHUNK as u64 - 1).await;
        assert_eq!(error, Err(StashError::TooLong));
        let never = stream::iter([Ok(random(5))])
            .chain(stream::pending())
            .boxed();
        let waiting = stash.put(ID, Kind::Stdin, never, u64::MAX);
        let gave_up = tokio::time::timeout(std::time::Duration::from_millis(50), waiting);
        gave_up.await.unwrap_err();
        assert_eq!(files(home.path()), 0);
        let full = SealedStash::open(home.path().into(), keys(1), u64::MAX).unwrap();
        assert_eq!(put(&full, &random(5)).await, Err(StashError::Full));
        assert_eq!(files(home.path()), 0);
    }

    /// Broken if a host could change, cut or exchange what lies on its disk,
    /// or open it after the keeper's life.
    #[tokio::test]
    async fn only_what_was_sealed_opens_and_only_with_this_keepers_secret() {
        let home = tempfile::tempdir().unwrap();
        let mine = stash(home.path(), 1);
        put(&mine, &random(2 * CHUNK + 9)).await.unwrap();
        let good = std::fs::read(mine.path(&ID)).unwrap();
        let full = CHUNK + TAG;
        let mut swapped = good.clone();
        swapped[SALT..SALT + 2 * full].rotate_left(full);
        let mut flipped = good.clone();
        flipped[SALT + full + 3] ^= 1;
        let mut salted = good.clone();
        salted[0] ^= 1;
        for bad in [
            &good[..good.len() - 1],
            &good[..SALT + 2 * full],
            &good[..SALT + full],
            &good[..SALT + 3],
            &good[..SALT],
            &good[..3],
            &[],
            &swapped,
            &flipped,
            &salted,
        ] {
            std::fs::write(mine.path(&ID), bad).unwrap();
            let error = mine.get(ID).await.unwrap_err();
            assert!(matches!(error, StashError::Failed(_)), "{error:?}");
        }
        std::fs::write(mine.path(&ID), &good).unwrap();
        mine.get(ID).await.unwrap();
        std::fs::write(mine.path(&StashId([8; 32])), &good).unwrap();
        mine.get(StashId([8; 32])).await.unwrap_err();
        stash(home.path(), 2).get(ID).await.unwrap_err();
        // What is not named goes, whatever it is.
        std::fs::write(home.path().join(".tmpleft"), "x").unwrap();
        mine.keep_only(&HashSet::from([ID])).await.unwrap();
        assert_eq!(files(home.path()), 1);
        mine.get(ID).await.unwrap();
    }
}
