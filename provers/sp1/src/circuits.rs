//! SP1's circuit files, without which gnark cannot wrap a proof: gigabytes that
//! an operator puts into a public folder of the machine.
//!
//! The digests they must have are compiled into the executable, and so measured
//! with it. Whoever can write that folder could change a file between two looks:
//! so each is read once, hashed while it is copied into the process's private
//! folder, and used from there. SP1 is told that folder and finds its marker of
//! a complete installation in it, so it never downloads.
//!
//! May touch: the public folder, to read; its own folder beneath `/tmp`.

pub mod list;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use list::Listed;
use sha2::{Digest as _, Sha256};

use crate::verify::CIRCUIT_VERSION;

/// Where an operator puts them: `VERSION/groth16` and `VERSION/plonk` in here.
pub const FOLDER: &str = "/usr/local/share/soundproof/sp1-circuits";
/// Where they are copied to.
const PRIVATE: &str = "/tmp/sp1-circuits";
/// By its presence SP1 knows a complete folder: `sp1-prover`'s `build.rs`.
const MARKER: &str = ".complete";
/// Bytes that are hashed and written at once.
const PIECE: usize = 1 << 20;

/// The list that was given when this was built; empty without the feature.
const LIST: &str = include_str!(concat!(env!("OUT_DIR"), "/circuits.sums"));

/// Variables by which SP1 learns where the files of each system are. To be set
/// before there is a second thread; none without circuit files.
pub fn variables() -> Vec<(&'static str, String)> {
    if LIST.is_empty() {
        return Vec::new();
    }
    vec![
        ("SP1_GROTH16_CIRCUIT_PATH", format!("{PRIVATE}/groth16")),
        ("SP1_PLONK_CIRCUIT_PATH", format!("{PRIVATE}/plonk")),
    ]
}

/// Why there are none. Names files, nothing of a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CircuitsError {
    /// A file is not there, or not to be read.
    #[error("no circuit file {0}")]
    Missing(String),
    /// A file is another one.
    #[error("the circuit file {0} is not the one that this prover was built for")]
    Digest(String),
    /// The private folders are full.
    #[error("the private folders have no room for the circuit file {0}")]
    Room(String),
    /// The private folder refuses something.
    #[error("the private folder for circuit files cannot be written")]
    Folder(#[source] io::Error),
}

/// The files of one proof system.
#[derive(Debug, Clone)]
pub struct Circuits {
    files: Vec<Listed>,
    from: PathBuf,
    to: PathBuf,
}

impl Circuits {
    /// Those of `system` that this executable was built with; none: it was
    /// built without.
    pub fn compiled_in(system: &str) -> Option<Self> {
        // The build script has read the list already.
        let files = list::parse(LIST).ok()?;
        let from = Path::new(FOLDER).join(CIRCUIT_VERSION).join(system);
        let to = Path::new(PRIVATE).join(system).join(CIRCUIT_VERSION);
        Self::new(files, system, from, to)
    }

    fn new(mut files: Vec<Listed>, system: &str, from: PathBuf, to: PathBuf) -> Option<Self> {
        files.retain(|file| file.system == system);
        (!files.is_empty()).then_some(Self { files, from, to })
    }

    /// How many bytes they are together. They are looked for, not looked into.
    ///
    /// # Errors
    /// [`CircuitsError::Missing`].
    pub fn bytes(&self) -> Result<u64, CircuitsError> {
        let sizes = self.files.iter().map(|file| {
            let path = self.from.join(&file.name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => Ok(found.len()),
                _ => Err(CircuitsError::Missing(path.display().to_string())),
            }
        });
        sizes.sum()
    }

    /// Copies them into the private folder, which must not be there yet. After
    /// an error nothing is left of it. Other files that lie beside them are not
    /// looked at.
    ///
    /// # Errors
    /// [`CircuitsError`].
    pub fn copy(&self) -> Result<(), CircuitsError> {
        let parent = self.to.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(CircuitsError::Folder)?;
        fs::create_dir(&self.to).map_err(CircuitsError::Folder)?;
        let copied = self
            .files
            .iter()
            .try_for_each(|file| self.copy_one(file))
            .and_then(|()| {
                File::create_new(self.to.join(MARKER))
                    .map(drop)
                    .map_err(CircuitsError::Folder)
            });
        if copied.is_err() {
            // What cannot be removed has no marker.
            let _ = fs::remove_dir_all(&self.to);
        }
        copied
    }

    fn copy_one(&self, file: &Listed) -> Result<(), CircuitsError> {
        let path = self.from.join(&file.name);
        let missing = || CircuitsError::Missing(path.display().to_string());
        // Opening a pipe would wait for its other end.
        if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            return Err(missing());
        }
        let mut source = File::open(&path).map_err(|_| missing())?;
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.to.join(&file.name))
            .map_err(CircuitsError::Folder)?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        loop {
            let read = match source.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => piece.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(missing()),
            };
            hash.update(read);
            // A file that never ends meets the bound of the private folders.
            target.write_all(read).map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => CircuitsError::Room(file.name.clone()),
                _ => CircuitsError::Folder(error),
            })?;
        }
        if <[u8; 32]>::from(hash.finalize()) != file.digest {
            return Err(CircuitsError::Digest(path.display().to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
