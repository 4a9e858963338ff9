//! The store's folder. Nothing in it has its final name before all its bytes
//! are on disk.

use super::Result;
use crate::{error::StoreError, store::Source};
use bytes::Bytes;
use futures_util::StreamExt as _;
use soundproof_protocol::{
    digest::{Digest, Hasher},
    id::JobId,
};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes gathered before they are written; all the memory that an upload
/// takes here.
const WRITE: usize = 256 * 1024;
/// Bytes of one file after which the disk's free room is looked at again.
const CHECK: u64 = 16 * 1024 * 1024;

pub(super) struct Files {
    root: PathBuf,
    next: AtomicU64,
    /// Held for as long as this value lives.
    _lock: File,
}

impl Files {
    /// Makes the folders, takes the lock, empties `tmp`.
    pub(super) async fn open(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        blocking(move || {
            for folder in ["", "blobs", "parts", "outcomes", "tmp"] {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(root.join(folder))?;
            }
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(root.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            for entry in fs::read_dir(root.join("tmp"))? {
                fs::remove_file(entry?.path())?;
            }
            sync_folder(&root)?;
            Ok(Self {
                root,
                next: AtomicU64::new(0),
                _lock: lock,
            })
        })
        .await
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.to_string())
    }

    pub(super) fn part(&self, job: &JobId, part: u32, digest: &Digest) -> PathBuf {
        self.root
            .join("parts")
            .join(format!("{job}.{part}.{digest}"))
    }

    pub(super) fn outcome(&self, job: &JobId, attempt: u32, digest: &Digest) -> PathBuf {
        self.root
            .join("outcomes")
            .join(format!("{job}.{attempt}.{digest}"))
    }

    /// The files in one of the folders.
    pub(super) async fn list(&self, folder: &'static str) -> Result<Vec<PathBuf>> {
        let path = self.root.join(folder);
        blocking(move || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()).await
    }

    /// Whether the disk has this many bytes free.
    pub(super) async fn check_free(&self, bytes: u64) -> Result<()> {
        let root = self.root.clone();
        blocking(move || {
            let stat = rustix::fs::statvfs(&root).map_err(std::io::Error::from)?;
            has_free(&stat, bytes)
        })
        .await
    }

    /// A new file under `tmp`, that leaves `floor` bytes of the disk free.
    pub(super) async fn stage(&self, floor: u64) -> Result<Staged> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("tmp").join(number.to_string());
        let mut staged = Staged {
            path: Some(path.clone()),
            inner: None,
        };
        let file = blocking(move || {
            Ok(OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path)?)
        })
        .await?;
        staged.inner = Some(Inner {
            file,
            hasher: Hasher::new(),
            gathered: Vec::new(),
            len: 0,
            floor,
        });
        Ok(staged)
    }
}

/// A file that is being written. Dropped before it is placed, it is gone.
pub(super) struct Staged {
    path: Option<PathBuf>,
    inner: Option<Inner>,
}

struct Inner {
    file: File,
    hasher: Hasher,
    gathered: Vec<u8>,
    len: u64,
    floor: u64,
}

impl Staged {
    /// Takes all of a source, at most `max` bytes; how many there were.
    pub(super) async fn fill(&mut self, mut source: Source<'_>, max: u64) -> Result<u64> {
        let mut len = 0u64;
        while let Some(piece) = source.next().await {
            let piece = piece?;
            len = len.saturating_add(piece.len() as u64);
            if len > max {
                return Err(StoreError::TooLarge { max });
            }
            self.write(&piece).await?;
        }
        Ok(len)
    }

    /// Adds bytes.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let inner = self.inner.as_mut().ok_or_else(broken)?;
            let room = WRITE - inner.gathered.len().min(WRITE);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            inner.gathered.extend_from_slice(now);
            bytes = later;
            if inner.gathered.len() >= WRITE {
                self.flush(false).await?;
            }
        }
        Ok(())
    }

    /// Writes what is gathered, and waits for the disk with `sync`.
    async fn flush(&mut self, sync: bool) -> Result<()> {
        let mut inner = self.inner.take().ok_or_else(broken)?;
        let inner = blocking(move || {
            let before = inner.len / CHECK;
            inner.file.write_all(&inner.gathered)?;
            inner.hasher.update(&inner.gathered);
            inner.len += inner.gathered.len() as u64;
            inner.gathered.clear();
            if inner.floor > 0 && inner.len / CHECK != before {
                let stat = rustix::fs::fstatvfs(&inner.file).map_err(std::io::Error::from)?;
                has_free(&stat, inner.floor)?;
            }
            if sync {
                inner.file.sync_all()?;
            }
            Ok(inner)
        })
        .await?;
        self.inner = Some(inner);
        Ok(())
    }

    /// All bytes are on disk; their digest.
    pub(super) async fn finish(&mut self) -> Result<Digest> {
        self.flush(true).await?;
        let inner = self.inner.as_ref().ok_or_else(broken)?;
        Ok(inner.hasher.clone().finish())
    }

    /// Gives it its name, durably.
    pub(super) async fn place(mut self, to: PathBuf) -> Result<()> {
        let from = self.path.clone().ok_or_else(broken)?;
        blocking(move || {
            fs::rename(&from, &to)?;
            sync_folder(to.parent().unwrap_or(&to))
        })
        .await?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = fs::remove_file(path);
        }
    }
}

fn has_free(stat: &rustix::fs::StatVfs, bytes: u64) -> Result<()> {
    if stat.f_bavail.saturating_mul(stat.f_frsize) < bytes {
        Err(StoreError::Full)
    } else {
        Ok(())
    }
}

fn broken() -> StoreError {
    StoreError::Failed("an earlier write to this file failed".into())
}

fn sync_folder(path: &Path) -> Result<()> {
    Ok(File::open(path)?.sync_all()?)
}

/// At most `max` bytes of a file from `offset` on; `None` if there is none.
pub(super) async fn read_at(path: PathBuf, offset: u64, max: u64) -> Result<Option<Bytes>> {
    blocking(move || {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let len = file.metadata()?.len().saturating_sub(offset).min(max);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(filled);
        Ok(Some(bytes.into()))
    })
    .await
}

/// Removes files that no row names any more. What cannot be removed now is
/// litter and goes at the next start.
pub(super) async fn remove(paths: Vec<PathBuf>) {
    if paths.is_empty() {
        return;
    }
    let _ = blocking(move || {
        for path in paths {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(%error, "cannot remove a file of the store");
            }
        }
        Ok(())
    })
    .await;
}

async fn blocking<T: Send + 'static>(
    body: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(body)
        .await
        .map_err(|error| StoreError::failed("blocking task", error))?
}
