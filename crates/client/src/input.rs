//! What is to be sealed: in memory, or a file that is read piece by piece.

use crate::Error;
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use zeroize::Zeroizing;

/// A secret input: for a circuit with a witness generator the JSON object of
/// its signals, else a ready-made `.wtns`.
#[derive(Clone)]
pub struct Input(Kind);

#[derive(Clone)]
enum Kind {
    Memory(Arc<Zeroizing<Vec<u8>>>),
    File(PathBuf),
}

impl Input {
    /// Bytes in memory, wiped when the last clone is dropped.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self(Kind::Memory(Arc::new(Zeroizing::new(bytes))))
    }

    /// A JSON value, as text. The value itself is the caller's to wipe.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::bytes(value.to_string().into_bytes())
    }

    /// A regular file. It is read while it is sent, a few MiB at a time, and
    /// must stay as it is until then.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// Opens it and notes what it is now.
    pub(crate) fn open(&self) -> Result<Source, Error> {
        match &self.0 {
            Kind::Memory(bytes) => Ok(Source {
                len: bytes.len() as u64,
                kind: Opened::Memory(Arc::clone(bytes)),
            }),
            Kind::File(path) => {
                let named = |cause| Error::file(format!("input {}", path.display()), cause);
                let file = File::open(path).map_err(named)?;
                let mark = Mark::of(&file).map_err(named)?;
                Ok(Source {
                    len: mark.len,
                    kind: Opened::File {
                        file: Mutex::new(file),
                        mark,
                        name: path.display().to_string(),
                    },
                })
            }
        }
    }
}

impl From<&serde_json::Value> for Input {
    fn from(value: &serde_json::Value) -> Self {
        Self::json(value)
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl core::fmt::Debug for Input {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.0 {
            Kind::Memory(_) => f.write_str("Input(…)"),
            Kind::File(path) => write!(f, "Input({})", path.display()),
        }
    }
}

/// An opened input of a length that was read once.
pub(crate) struct Source {
    pub(crate) len: u64,
    kind: Opened,
}

enum Opened {
    Memory(Arc<Zeroizing<Vec<u8>>>),
    File {
        file: Mutex<File>,
        mark: Mark,
        name: String,
    },
}

/// By what a file that changed is known, short of reading it all.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    len: u64,
    modified: Option<SystemTime>,
}

impl Mark {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl Source {
    /// Whether reading it may block.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.kind, Opened::Memory(_))
    }

    /// Appends `len` bytes from `offset` on to `out`, whose capacity must
    /// suffice: growing would leave a copy behind.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] if it is shorter than it was.
    pub(crate) fn read(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        match &self.kind {
            Opened::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| Error::SourceChanged)?;
                let end = start.checked_add(len).ok_or(Error::SourceChanged)?;
                out.extend_from_slice(bytes.get(start..end).ok_or(Error::SourceChanged)?);
            }
            Opened::File { file, name, .. } => {
                let before = out.len();
                out.resize(before + len, 0);
                let piece = out.get_mut(before..).unwrap_or_default();
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(piece))
                    .map_err(|cause| match cause.kind() {
                        std::io::ErrorKind::UnexpectedEof => Error::SourceChanged,
                        _ => Error::file(format!("input {name}"), cause),
                    })?;
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`Error::SourceChanged`] if a file's length or time is not what it was.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        match &self.kind {
            Opened::Memory(_) => Ok(()),
            Opened::File { file, mark, name } => {
                let file = file.lock().unwrap_or_else(PoisonError::into_inner);
                match Mark::of(&file) {
                    Ok(now) if now == *mark => Ok(()),
                    Ok(_) => Err(Error::SourceChanged),
                    Err(cause) => Err(Error::file(format!("input {name}"), cause)),
                }
            }
        }
    }
}
