//! The four things that are done to the kernel's interface. A trait, since
//! the files in a folder there come with the folder and do things when they
//! are read, which no ordinary folder can be made to do.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Where reports are made.
pub trait Configfs: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Makes the folder `name`, which its attributes come with.
    ///
    /// # Errors
    /// What the system says; `ENXIO` with no provider.
    fn make(&self, name: &str) -> io::Result<()>;

    /// Writes all of an attribute at once.
    ///
    /// # Errors
    /// What the system says.
    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()>;

    /// Reads all of an attribute, and at most one byte more than `limit`.
    ///
    /// # Errors
    /// What the system says; `NotFound` for one that the provider lacks.
    fn read(&self, name: &str, attribute: &str, limit: usize) -> io::Result<Vec<u8>>;

    /// Removes the folder.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The kernel's own.
#[derive(Debug)]
pub struct Kernel(PathBuf);

impl Kernel {
    /// The interface whose reports are made in `folder`:
    /// `/sys/kernel/config/tsm/report`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn attribute(&self, name: &str, attribute: &str) -> PathBuf {
        self.0.join(name).join(attribute)
    }
}

impl Configfs for Kernel {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn make(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.0.join(name))
    }

    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .open(self.attribute(name, attribute))?;
        // One write: the kernel takes an attribute whole.
        let written = file.write(bytes)?;
        if written != bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    fn read(&self, name: &str, attribute: &str, limit: usize) -> io::Result<Vec<u8>> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        read_at_most(&self.attribute(name, attribute), limit)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.0.join(name))
    }
}

fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_written_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel::at(dir.path());
        kernel.make("one").unwrap();
        let exists = kernel.make("one").unwrap_err();
        assert_eq!(exists.kind(), io::ErrorKind::AlreadyExists);
        let absent = kernel.write("one", "inblob", &[1]).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        let file = dir.path().join("one/inblob");
        fs::write(&file, []).unwrap();
        kernel.write("one", "inblob", &[7; 64]).unwrap();
        assert_eq!(kernel.read("one", "inblob", 64).unwrap(), [7; 64]);
        assert_eq!(kernel.read("one", "inblob", 9).unwrap().len(), 10);
        fs::remove_file(file).unwrap();
        kernel.remove("one").unwrap();
        let gone = kernel.remove("one").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
