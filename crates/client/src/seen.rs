//! Keeps the highest TCB evaluation that was ever accepted: in memory always,
//! and in a file where the caller names one, so that a server cannot show
//! older collateral, still valid, to hide a TCB recovery.

use crate::Error;
use soundproof_evidence::{seen::Seen, verdict::Accepted};
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes of the file at most.
const MAX_FILE: u64 = 64 * 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct SeenStore {
    file: Option<PathBuf>,
    memory: Mutex<Seen>,
}

impl SeenStore {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            memory: Mutex::default(),
        }
    }

    /// What was seen so far, here and by whoever shares the file.
    ///
    /// # Errors
    /// [`Error::File`], if the file is there but cannot be read: nothing is
    /// accepted by less than what is known.
    pub(crate) fn load(&self) -> Result<Seen, Error> {
        let mut memory = self.memory();
        if let Some(path) = &self.file {
            memory.merge(&read(path).map_err(|cause| failed(path, cause))?);
        }
        Ok(memory.clone())
    }

    /// Notes what was accepted.
    ///
    /// # Errors
    /// [`Error::File`], if the file cannot be written.
    pub(crate) fn note(&self, accepted: &Accepted) -> Result<(), Error> {
        let mut memory = self.memory();
        if !memory.note(accepted) {
            return Ok(());
        }
        let Some(path) = &self.file else {
            return Ok(());
        };
        write(path, &mut memory).map_err(|cause| failed(path, cause))
    }

    fn memory(&self) -> MutexGuard<'_, Seen> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::File {
        what: format!(
            "{} (the highest TCB evaluation seen; delete it to begin anew)",
            path.display()
        ),
        cause,
    }
}

fn read(path: &Path) -> io::Result<Seen> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too long"));
    }
    serde_json::from_slice(&bytes).map_err(io::Error::from)
}

/// Writes the file whole or not at all; processes that share it wait for each
/// other.
fn write(path: &Path, seen: &mut Seen) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    seen.merge(&read(path)?);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(seen)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u32) -> Seen {
        let mut seen = Seen::default();
        seen.tcb_evaluation.insert("tdx".into(), number);
        seen
    }

    #[test]
    fn what_is_written_is_read_and_never_falls() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/seen.json");
        assert_eq!(
            SeenStore::new(Some(path.clone())).load().unwrap(),
            Seen::default()
        );
        write(&path, &mut seen(18)).unwrap();
        let mut lower = seen(17);
        write(&path, &mut lower).unwrap();
        assert_eq!(lower, seen(18));
        assert_eq!(SeenStore::new(Some(path)).load().unwrap(), seen(18));
    }

    /// Broken if damage to the file made a client forget.
    #[test]
    fn a_damaged_file_stops_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen.json");
        for text in ["", "{", "{\"tcb\":1}", "{\"tcb_evaluation\":{\"tdx\":-1}}"] {
            fs::write(&path, text).unwrap();
            assert!(
                matches!(
                    SeenStore::new(Some(path.clone())).load(),
                    Err(Error::File { .. })
                ),
                "{text}"
            );
        }
        fs::write(&path, vec![b' '; 70_000]).unwrap();
        assert!(SeenStore::new(Some(path)).load().is_err());
    }
}
