//! Folders of its own, in memory, and a process namespace that ends with it:
//! for a prover that must write files, run them and map them in several
//! processes.
//!
//! [`enter`] leaves the process as the first of a new process namespace and
//! with a root folder in which there is nothing of the machine but the C
//! library: one fresh tmpfs of a fixed size, with `/tmp` (programs may be run
//! there) and `/dev/shm` (not there), the library folders and one of public
//! files read-only, and a `/proc` that shows the namespace's own processes and
//! nothing else. When the first process ends, the kernel ends all others of the
//! namespace before anybody can collect it, and frees the folders.
//!
//! As root this needs nothing more; any other user needs a user namespace,
//! which some systems refuse. There is no third way: shared folders are not an
//! alternative.
//!
//! `unsafe` for `unshare(2)`, as in [`super::privileges`], and for `clone(2)` in
//! a process that has one thread.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

/// Where programs may be written and run.
pub(super) const TEMPORARY: &str = "/tmp";
/// Where POSIX shared memory has its names.
pub(super) const SHARED: &str = "/dev/shm";
/// The namespace's own processes.
pub(super) const PROCESSES: &str = "/proc";
/// Folders that may hold the C library and its loader, as far as there are such.
pub(super) const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Public files of the machine's that some prover needs, to read, such as SP1's
/// circuit files. Whoever reads them there must check what it has read: the host
/// may own the disk. Absent where the machine has no such folder.
pub(super) const PUBLIC: &str = "/usr/local/share/soundproof";

/// Devices; only with a GPU any other than shared memory.
pub(super) const DEVICES: &str = "/dev";
/// The machine's hardware, as the kernel lists it; only with a GPU.
pub(super) const SYSTEM: &str = "/sys";
/// Devices that hold nothing, which a GPU's library may open.
const HARMLESS: [&str; 3] = ["null", "zero", "urandom"];
/// What the names of NVIDIA's devices begin with.
const GPU: &str = "nvidia";

/// An existing folder, to put the new root over until it is the root.
const BUILDING: &str = "/proc";
/// Names in the new folders, all together.
const INODES: u32 = 4096;
/// `f_type` of a tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// What is to be built.
pub(super) struct Folders {
    /// Bytes of all of them together.
    pub(super) bytes: u64,
    /// Whether with the machine's GPUs, and what their library reads: `/sys`,
    /// and the whole of `/proc`.
    pub(super) gpu: bool,
}

/// Enters the namespaces and builds the folders,
/// owned by `owner`. The process that returns is another one than the caller's:
/// `moved` is called with its id in the caller, which then ends. It has the same
/// parent.
pub(super) fn enter(
    folders: &Folders,
    owner: Option<u32>,
    moved: impl FnOnce(u32),
) -> Result<(), (&'static str, io::Error)> {
    let at = |step| move |e: io::Error| (step, e);
    let own = rustix::process::geteuid().as_raw();
    let owner = owner.filter(|_| own == 0).unwrap_or(own);
    namespaces(own == 0).map_err(at("namespaces"))?;
    become_init(moved).map_err(at("a process namespace"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    build(folders, owner).map_err(at("private folders"))?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    for folder in [TEMPORARY, SHARED] {
        verify(Path::new(folder), folders.bytes, owner).map_err(at("checking private folders"))?;
    }
    Ok(())
}

/// New namespaces for all that a process can reach by a name.
fn namespaces(root: bool) -> io::Result<()> {
    let flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    // SAFETY: the flags do not touch descriptors or memory.
    match unsafe { rustix::thread::unshare_unsafe(flags) } {
        Err(Errno::PERM) if !root => {}
        other => return Ok(other?),
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: as above.
    unsafe { rustix::thread::unshare_unsafe(flags | UnshareFlags::NEWUSER)? };
    // Itself and nobody else. The capabilities that come with the namespace are
    // dropped with all others, and no program that it runs gets them back.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write(
        "/proc/self/uid_map",
        format!("{uid} {uid} 1", uid = uid.as_raw()),
    )?;
    fs::write(
        "/proc/self/gid_map",
        format!("{gid} {gid} 1", gid = gid.as_raw()),
    )
}

/// The first process that is made after a process namespace is the one that
/// carries it, so it must be made. It becomes the child of the caller's parent,
/// who can wait for it, and so for the end of all processes in there.
fn become_init(moved: impl FnOnce(u32)) -> io::Result<()> {
    let (ended, holds) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match clone_sibling()? {
        0 => {
            drop(holds);
            // Until the caller has said its word and is gone.
            match rustix::io::read(&ended, &mut [0u8; 1])? {
                0 => Ok(()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        }
        child => {
            moved(child.unsigned_abs());
            // SAFETY: nothing of this process is to be used or cleaned up: that
            // is the other's.
            unsafe { libc::_exit(0) }
        }
    }
}

/// A copy of this process with the same parent: 0 in the copy.
fn clone_sibling() -> io::Result<libc::pid_t> {
    // The C library keeps the thread's id at this address, and expects that
    // whoever clones has the kernel write the new one there, as its fork() does.
    const PR_GET_TID_ADDRESS: libc::c_int = 40;
    let mut id_at: *mut libc::c_int = std::ptr::null_mut();
    // SAFETY: the kernel writes one pointer to `id_at`.
    let known = unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut id_at) } == 0;
    let mut flags = libc::CLONE_PARENT | libc::SIGCHLD;
    if known && !id_at.is_null() {
        flags |= libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    }
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: without CLONE_VM the copy has its own memory, stack included, and
    // with one thread in this process nothing in it is in an unfinished state.
    let pid = unsafe {
        #[cfg(target_arch = "x86_64")]
        let pid = libc::syscall(libc::SYS_clone, flags, none, none, id_at, none);
        #[cfg(not(target_arch = "x86_64"))]
        let pid = libc::syscall(libc::SYS_clone, flags, none, none, none, id_at);
        pid
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::pid_t::try_from(pid).map_err(io::Error::other)
}

fn build(folders: &Folders, owner: u32) -> io::Result<()> {
    let bytes = folders.bytes;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let options = CString::new(format!("size={bytes},nr_inodes={INODES},mode=0755"))?;
    rustix::mount::mount("tmpfs", BUILDING, "tmpfs", quiet, options.as_c_str())?;
    rustix::process::chdir(BUILDING)?;

    for library in LIBRARIES {
        bind_library(library)?;
    }
    if Path::new(PUBLIC).is_dir() {
        bind_read_only(PUBLIC, MountFlags::NOEXEC)?;
    }
    DirBuilder::new().mode(0o755).create("proc")?;
    rustix::mount::mount(
        "proc",
        "proc",
        "proc",
        quiet | MountFlags::NOEXEC,
        if folders.gpu { c"" } else { c"subset=pid" },
    )?;
    DirBuilder::new().mode(0o755).create("dev")?;
    if folders.gpu {
        bind_devices()?;
        bind_read_only(SYSTEM, MountFlags::NOEXEC)?;
    }
    own_folder("tmp", owner, quiet)?;
    own_folder("dev/shm", owner, quiet | MountFlags::NOEXEC)?;

    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    let sealed = quiet | MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOEXEC;
    Ok(rustix::mount::mount_remount("/", sealed, c"")?)
}

/// Shows a folder of the machine, read-only, or the link that stands in its place.
fn bind_library(folder: &str) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(folder) else {
        return Ok(());
    };
    if found.is_symlink() {
        return symlink(fs::read_link(folder)?, beneath(folder));
    }
    bind_read_only(folder, MountFlags::empty())
}

/// Shows a folder of the machine, read-only.
fn bind_read_only(folder: &str, more: MountFlags) -> io::Result<()> {
    let here = beneath(folder);
    DirBuilder::new().recursive(true).mode(0o755).create(here)?;
    // With what is mounted beneath it, which a user namespace may not lay bare.
    rustix::mount::mount_bind_recursive(folder, here)?;
    let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount_remount(here, read_only | more, c"")?)
}

/// Where a folder of the machine's has its place beneath the new root.
fn beneath(folder: &str) -> &str {
    folder.trim_start_matches('/')
}

/// Shows the GPUs and what goes with them. A machine without has none to show.
fn bind_devices() -> io::Result<()> {
    for entry in fs::read_dir(DEVICES)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let there = Path::new(DEVICES).join(name);
        let wanted = name.starts_with(GPU) || HARMLESS.contains(&name);
        if !wanted || !fs::metadata(&there)?.file_type().is_char_device() {
            continue;
        }
        let here = Path::new(beneath(DEVICES)).join(name);
        File::create_new(&here)?;
        rustix::mount::mount_bind(&there, &here)?;
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NOEXEC;
        rustix::mount::mount_remount(&here, flags, c"")?;
    }
    Ok(())
}

/// A folder of the owner's, and a mount, so that it has flags of its own.
fn own_folder(here: &str, owner: u32, flags: MountFlags) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(here)?;
    fs::set_permissions(here, Permissions::from_mode(0o700))?;
    chown(here, Some(owner), None)?;
    rustix::mount::mount_bind(here, here)?;
    Ok(rustix::mount::mount_remount(
        here,
        flags | MountFlags::BIND,
        c"",
    )?)
}

/// Whether a folder is in memory, no larger than it may be, the owner's alone,
/// and empty.
fn verify(folder: &Path, bytes: u64, owner: u32) -> io::Result<()> {
    let rule = |holds, text: &'static str| {
        if holds {
            Ok(())
        } else {
            Err(io::Error::other(text))
        }
    };
    let system = rustix::fs::statfs(folder)?;
    let number = |n: libc::c_long| u64::try_from(n).unwrap_or(u64::MAX);
    rule(number(system.f_type) == TMPFS, "a folder is not in memory")?;
    let page = number(system.f_bsize);
    rule(
        system.f_blocks > 0 && system.f_blocks.saturating_mul(page) <= bytes.saturating_add(page),
        "a folder has another size",
    )?;
    let found = fs::symlink_metadata(folder)?;
    rule(
        found.is_dir() && found.uid() == owner && found.mode() & 0o7777 == 0o700,
        "a folder is not its owner's alone",
    )?;
    rule(
        fs::read_dir(folder)?.next().is_none(),
        "a folder is not empty",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(folder: &Path, bytes: u64, owner: u32) -> String {
        verify(folder, bytes, owner).unwrap_err().to_string()
    }

    /// A folder in the machine's own shared memory is as private as one without
    /// a mount can be; what it lacks is said.
    #[test]
    fn a_folder_that_is_not_private_is_refused() {
        let own = rustix::process::geteuid().as_raw();
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(
            refused(disk.path(), u64::MAX, own),
            "a folder is not in memory"
        );
        let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
            return; // a machine without
        };
        let path = memory.path();
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        verify(path, u64::MAX, own).unwrap();
        assert_eq!(refused(path, 1, own), "a folder has another size");
        assert_eq!(
            refused(path, u64::MAX, own + 1),
            "a folder is not its owner's alone"
        );
        fs::write(path.join("planted"), "x").unwrap();
        assert_eq!(refused(path, u64::MAX, own), "a folder is not empty");
        fs::remove_file(path.join("planted")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            refused(path, u64::MAX, own),
            "a folder is not its owner's alone"
        );
    }
}
