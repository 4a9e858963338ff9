//! Records of requests, one file each, sealed: they hold capabilities and
//! tickets. A name tells nothing of its key. The host may roll a record back
//! or take it away, as it may with any of its disk; it cannot read or make
//! one.

use super::{
    keys::{Keys, SALT, TAG, salt},
    stash::sync,
};
use async_trait::async_trait;
use soundproof_sp1_network::{Journal, JournalError, Record};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

const PURPOSE: &str = "record";
/// Bytes of a key and a value at most, as the trait promises.
const MAX_KEY: usize = 33;
const MAX_VALUE: usize = 128 << 10;

/// See the module.
#[derive(Clone)]
pub(super) struct SealedJournal {
    folder: PathBuf,
    keys: Arc<Keys>,
}

impl SealedJournal {
    /// In `folder`, which is made.
    pub(super) fn open(folder: PathBuf, keys: Arc<Keys>) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, keys })
    }

    /// The name of a key's file.
    fn name(&self, key: &[u8]) -> io::Result<String> {
        Ok(hex::encode(self.keys.derive("name", &[key])?.as_slice()))
    }

    fn write(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let len = u8::try_from(key.len()).ok();
        let Some(len) = len.filter(|_| key.len() <= MAX_KEY && value.len() <= MAX_VALUE) else {
            return Err(io::Error::other("a record longer than agreed"));
        };
        let name = self.name(key)?;
        let salt = salt()?;
        let cipher = self.keys.file(PURPOSE, name.as_bytes(), &salt)?;
        let mut record = Zeroizing::new(Vec::with_capacity(1 + key.len() + value.len() + TAG));
        record.push(len);
        record.extend_from_slice(key);
        record.extend_from_slice(value);
        cipher.seal(0, true, &mut record)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&salt)?;
        file.write_all(&record)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(name))
            .map_err(|error| error.error)?;
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Record> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is no record");
        let mut sealed = Zeroizing::new(Vec::new());
        let most = SALT + 1 + MAX_KEY + MAX_VALUE + TAG;
        File::open(path)?
            .take(most as u64 + 1)
            .read_to_end(&mut sealed)?;
        let (salt, body) = sealed.split_first_chunk::<SALT>().ok_or_else(invalid)?;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(invalid)?;
        let mut record = Zeroizing::new(body.to_vec());
        self.keys
            .file(PURPOSE, name.as_bytes(), salt)?
            .open(0, true, &mut record)?;
        let (len, rest) = record.split_first().ok_or_else(invalid)?;
        let (key, value) = rest
            .split_at_checked(usize::from(*len))
            .ok_or_else(invalid)?;
        Ok((key.to_vec(), Zeroizing::new(value.to_vec())))
    }

    /// Every record that opens; whatever else is there goes.
    fn read_all(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut dropped = 0_u32;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            match self.read(&path) {
                Ok(record) => records.push(record),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    std::fs::remove_file(&path)?;
                    dropped += 1;
                }
                Err(error) => return Err(error),
            }
        }
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "requests of an earlier keeper's life are gone: nobody can read them"
            );
        }
        Ok(records)
    }
}

#[async_trait]
impl Journal for SealedJournal {
    async fn load(&self) -> Result<Vec<Record>, JournalError> {
        let this = self.clone();
        blocking(move || this.read_all()).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        let (this, key) = (self.clone(), key.to_vec());
        let value = Zeroizing::new(value.to_vec());
        blocking(move || this.write(&key, &value)).await?;
        sync(&self.folder).await.map_err(|error| failed(&error))
    }

    async fn delete(&self, key: &[u8]) -> Result<(), JournalError> {
        let path = self
            .folder
            .join(self.name(key).map_err(|error| failed(&error))?);
        match tokio::fs::remove_file(path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            _ => sync(&self.folder).await.map_err(|error| failed(&error)),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| JournalError(error.to_string()))?
        .map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> JournalError {
    JournalError(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_protocol::link::DirectSecret;

    fn journal(folder: &Path, byte: u8) -> SealedJournal {
        let keys = Keys::new(DirectSecret(Zeroizing::new([byte; 32])));
        SealedJournal::open(folder.to_owned(), Arc::new(keys)).unwrap()
    }

    async fn sorted(journal: &SealedJournal) -> Vec<(Vec<u8>, Vec<u8>)> {
        let records = journal.load().await.unwrap().into_iter();
        let mut records: Vec<_> = records.map(|(key, value)| (key, value.to_vec())).collect();
        records.sort();
        records
    }

    #[tokio::test]
    async fn records_stay_over_a_restart_and_lie_there_sealed() {
        let home = tempfile::tempdir().unwrap();
        let first = journal(home.path(), 1);
        let (secret, key) = ([0x5a; 4000], [0xc3; 33]);
        first.put(&key, &secret).await.unwrap();
        first.put(b"b", b"old").await.unwrap();
        first.put(b"b", b"new").await.unwrap();
        first.put(b"c", b"").await.unwrap();
        first.put(b"", &[9; MAX_VALUE]).await.unwrap();
        first.delete(b"c").await.unwrap();
        first.delete(b"c").await.unwrap();
        first.put(&[0; MAX_KEY + 1], b"").await.unwrap_err();
        first.put(b"d", &[0; MAX_VALUE + 1]).await.unwrap_err();
        let expected = [
            (vec![], vec![9; MAX_VALUE]),
            (b"b".to_vec(), b"new".to_vec()),
            (key.to_vec(), secret.to_vec()),
        ];
        assert_eq!(sorted(&journal(home.path(), 1)).await, expected);
        for entry in std::fs::read_dir(home.path()).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.to_str().unwrap().contains("c3c3c3"));
            let bytes = std::fs::read(path).unwrap();
            for needle in [[0x5a; 16], [0xc3; 16]] {
                assert!(!bytes.windows(16).any(|window| window == needle));
            }
        }
    }

    /// Broken if a host could make, change or exchange records; or if those of
    /// another keeper's life stopped a start.
    #[tokio::test]
    async fn what_does_not_open_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let mine = journal(home.path(), 1);
        for key in [b"a", b"b", b"c"] {
            mine.put(key, key).await.unwrap();
        }
        let path = |key: &[u8]| home.path().join(mine.name(key).unwrap());
        // Another's content under this name, a changed one, one cut short.
        std::fs::copy(path(b"b"), path(b"a")).unwrap();
        let mut changed = std::fs::read(path(b"c")).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(path(b"c"), changed).unwrap();
        std::fs::write(home.path().join("00"), [0; 10]).unwrap();
        std::fs::write(home.path().join(".tmpleft"), [0; 200]).unwrap();
        assert_eq!(sorted(&mine).await, [(b"b".to_vec(), b"b".to_vec())]);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        assert_eq!(sorted(&journal(home.path(), 2)).await, []);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
