//! Namespaces, user and capabilities.
//!
//! `unsafe` for one call, `unshare(2)`: with other flags than those used here
//! it could give threads different tables of descriptors.
#![allow(unsafe_code)]

use std::io;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

/// Enters fresh, empty namespaces. False where that is not permitted.
pub(super) fn namespaces() -> io::Result<bool> {
    let flags = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: the flags do not touch descriptors or memory.
    match unsafe { rustix::thread::unshare_unsafe(flags) } {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::NOSPC) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Becomes a user and group that nobody else is, with no other group. False
/// where that is not permitted.
pub(super) fn become_user(id: u32) -> io::Result<bool> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    // These are per thread; the caller has made sure that there is one.
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(true)
}

/// Gives up every capability.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}
