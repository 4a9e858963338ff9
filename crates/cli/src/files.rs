//! Files that the command reads and writes.

use crate::failure::Failure;
use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Reads at most `max` bytes.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file(path, &error))?;
    if bytes.len() > max {
        return Err(Failure::usage(
            format!("{} is larger than {max} bytes", path.display()),
            "Name the right file.",
        ));
    }
    Ok(bytes)
}

/// Reads all of stdin; wiped when dropped. The buffer is grown by hand, since
/// growing one in place leaves copies behind.
pub(crate) fn stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut input = std::io::stdin().lock();
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    loop {
        if bytes.len() == bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 2));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let (before, room) = (bytes.len(), bytes.capacity());
        bytes.resize(room, 0);
        let read = input
            .read(bytes.get_mut(before..).unwrap_or_default())
            .map_err(|error| Failure::file(Path::new("-"), &error))?;
        bytes.truncate(before + read);
        if read == 0 {
            return Ok(bytes);
        }
    }
}

/// Writes a file whole or not at all. `secret`: for its owner only.
pub(crate) fn write(path: &Path, bytes: &[u8], secret: bool) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(path, error);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A temporary file of this crate's is its owner's only.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| failed(&error))?;
    #[cfg(unix)]
    if !secret {
        use std::os::unix::fs::PermissionsExt as _;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(readable)
            .map_err(|error| failed(&error))?;
    }
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// Makes a folder and those above it.
pub(crate) fn folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| Failure::file(path, &error))
}

/// The user's folder for this command's settings (XDG Base Directory
/// Specification).
pub(crate) fn config_folder() -> Option<PathBuf> {
    user_folder("XDG_CONFIG_HOME", ".config")
}

/// The user's folder for what this command keeps (the same).
pub(crate) fn state_folder() -> Option<PathBuf> {
    user_folder("XDG_STATE_HOME", ".local/state")
}

fn user_folder(variable: &str, under_home: &str) -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    set(variable)
        .or_else(|| Some(set("HOME")?.join(under_home)))
        .map(|path| path.join("soundproof"))
}
