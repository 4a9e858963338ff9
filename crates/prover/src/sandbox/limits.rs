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

/// Closes whatever was inherited beside 0, 1 and 2, and leaves the folder.
pub(super) fn descriptors() -> io::Result<()> {
    // SAFETY: no memory is involved; see the module for the descriptors.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o777));
    Ok(())
}

/// Sets limits, hard as soft.
pub(super) fn apply(profile: &Profile, own_user: bool) -> io::Result<()> {
    // Private writable memory, which is all there is: seccomp refuses the
    // shared kind. Address space itself is not bounded, since a WebAssembly
    // runtime reserves far more of it than it uses.
    set(Resource::Data, profile.memory_bytes)?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Nofile, 3)?;
    if let Some(seconds) = profile.cpu_seconds {
        set(Resource::Cpu, seconds)?;
    }
    if own_user {
        set(Resource::Nproc, profile.threads)?;
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
