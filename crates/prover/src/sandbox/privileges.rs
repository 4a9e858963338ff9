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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpStream;

    /// These bind a thread as they are called here, so each can be tried alone.
    #[test]
    fn alone_a_user_of_its_own_owns_nothing() {
        std::thread::spawn(|| {
            if !become_user(63_999).unwrap() {
                return; // not root: the layer is absent, and reported so
            }
            assert!(File::open("/etc/shadow").is_err_and(|e| e.kind() == PermissionDenied));
            assert_eq!(rustix::process::getgroups().unwrap(), []);
            assert!(rustix::thread::set_thread_uid(Uid::ROOT).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn alone_dropping_capabilities_leaves_none() {
        std::thread::spawn(|| {
            drop_capabilities().unwrap();
            let sets = rustix::thread::capabilities(None).unwrap();
            assert!(
                sets.effective.is_empty()
                    && sets.permitted.is_empty()
                    && sets.inheritable.is_empty()
            );
            assert!(!namespaces().unwrap());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn alone_a_network_namespace_has_no_way_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            if namespaces().unwrap() {
                assert!(TcpStream::connect(address).is_err());
            }
        })
        .join()
        .unwrap();
    }
}
