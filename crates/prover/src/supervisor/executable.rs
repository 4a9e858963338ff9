//! The executable, hashed while it is copied, and run from the copy.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use soundproof_protocol::digest::{Digest, Hasher};

use super::SupervisorError;

/// Larger files are no prover's executable.
const MAX_EXECUTABLE: u64 = 1 << 30;

/// An executable in memory that nobody can change any more.
#[derive(Debug)]
pub(super) struct Executable {
    copy: OwnedFd,
    digest: Digest,
    name: String,
}

impl Executable {
    /// Copies, hashes and seals the file at `path`.
    pub(super) async fn load(
        path: &Path,
        expected: Option<Digest>,
    ) -> Result<Self, SupervisorError> {
        let path = path.to_owned();
        let executable = tokio::task::spawn_blocking(move || copy(&path))
            .await
            .map_err(|e| SupervisorError::Executable(io::Error::other(e)))?
            .map_err(SupervisorError::Executable)?;
        match expected {
            Some(expected) if expected != executable.digest => Err(SupervisorError::Digest {
                expected,
                found: executable.digest,
            }),
            _ => Ok(executable),
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The path to execute, valid in this process and in one that it just
    /// forked, while `self` lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.copy.as_raw_fd()).into()
    }

    /// The file's name, as processes are called in lists.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn copy(path: &Path) -> io::Result<Executable> {
    let mut source = File::open(path)?.take(MAX_EXECUTABLE + 1);
    let name = path.file_name().map_or_else(
        || "prover".into(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mut target = File::from(memory_file()?);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0u8; 256 * 1024];
    let mut copied = 0u64;
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let piece = buffer.get(..n).unwrap_or_default();
        hasher.update(piece);
        target.write_all(piece)?;
        copied += n as u64;
    }
    if copied == 0 || copied > MAX_EXECUTABLE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "empty or too large",
        ));
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&target, seals)?;
    Ok(Executable {
        copy: target.into(),
        digest: hasher.finish(),
        name,
    })
}

fn memory_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create("prover", flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 do not know the flag; memory files are executable there.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create("prover", flags)?),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_sealed_and_its_digest_is_the_files() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"#! not really").unwrap();
        let executable = copy(file.path()).unwrap();
        assert_eq!(executable.digest(), Digest::of(b"#! not really"));
        // Fails if the seals went away: the copy could be changed after the hash.
        let mut copy = File::from(executable.copy);
        assert!(copy.write_all(b"x").is_err());
        assert!(copy.set_len(0).is_err() && copy.set_len(100).is_err());
    }

    #[test]
    fn an_empty_file_is_none() {
        assert!(copy(tempfile::NamedTempFile::new().unwrap().path()).is_err());
    }
}
