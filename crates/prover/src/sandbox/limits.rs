//! Descriptors, folder, file mode and resource limits.
//!
//! `unsafe` for one call, `close_range(2)`, which no safe wrapper offers: it
//! could close a descriptor that some value of this process still owns. It is
//! made first thing in a process that owns none but 0, 1 and 2.
#![allow(unsafe_code)]

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};

use super::Profile;

/// Descriptors that any process has: 0 and 1, which lead nowhere, 2, and the
/// wire to the keeper.
const DESCRIPTORS: u32 = 4;
/// Descriptors of a process that may open files and pipes.
const MANY_DESCRIPTORS: u64 = 4096;
/// More threads than a stage computes with, for one that starts programs: what
/// an asynchronous runtime's pool for blocking calls may grow to, and some.
const SERVICE_THREADS: u64 = 576;
/// Address space that a process with folders may map privately beside its
/// memory: SP1's executor maps its guest's memory, a sparse file of 2^41 bytes,
/// a second time, copied where it is written.
const SPARSE_BYTES: u64 = 1 << 42;

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: no memory is involved; see the module for the descriptors.
    match unsafe { libc::close_range(first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes whatever was inherited beside the four, and leaves the folder.
pub(super) fn descriptors() -> io::Result<()> {
    close_from(DESCRIPTORS)?;
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o777));
    Ok(())
}

/// Sets limits, hard as soft.
pub(super) fn apply(profile: &Profile, own_user: bool) -> io::Result<()> {
    // Private writable memory, which is all there is: seccomp refuses the
    // shared kind. Address space itself is not bounded, since a WebAssembly
    // runtime reserves far more of it than it uses. Where there are folders,
    // their size bounds the shared kind, and a thread watches the private one.
    let folders = profile.folder_bytes > 0;
    let sparse = if folders { SPARSE_BYTES } else { 0 };
    set(Resource::Data, profile.memory_bytes.saturating_add(sparse))?;
    set(Resource::Core, 0)?;
    set(Resource::Msgqueue, 0)?;
    if folders {
        // Files are as large as the folders, and sparse ones look larger.
        set(Resource::Nofile, MANY_DESCRIPTORS)?;
    } else {
        set(Resource::Fsize, 0)?;
        set(Resource::Nofile, DESCRIPTORS.into())?;
    }
    if let Some(seconds) = profile.cpu_seconds {
        set(Resource::Cpu, seconds)?;
    }
    if own_user {
        let service = if folders { SERVICE_THREADS } else { 0 };
        set(Resource::Nproc, profile.threads.saturating_add(service))?;
    }
    Ok(())
}

fn set(resource: Resource, value: u64) -> io::Result<()> {
    // An unprivileged process cannot raise a limit that stands already.
    let value = rustix::process::getrlimit(resource)
        .maximum
        .map_or(value, |max| max.min(value));
    rustix::process::setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )?;
    Ok(())
}
