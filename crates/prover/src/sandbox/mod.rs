//! The cage that a prover puts itself into before it reads its first byte.
//!
//! Every layer stands by itself, so that one that a kernel lacks or that fails
//! to hold leaves the others:
//!
//! | layer | takes away |
//! |---|---|
//! | user, capabilities, no-new-privileges | what root or the keeper's user may do, and every way back |
//! | namespaces | network interfaces, System V IPC |
//! | Landlock | opening, making and running files; TCP; signals and abstract sockets across the border |
//! | seccomp | every system call but those for memory, threads, clocks and the three descriptors |
//! | folders | every folder of the machine, where some folder is needed; processes that outlive it |
//! | limits, descriptors, dump, parent-death | exhaustion, inherited sockets, core files, outliving the keeper |
//!
//! Nothing here can be undone by the process. What could not be put up is
//! reported, not skipped silently: the level reached is attested, and the
//! supervisor refuses a process that lacks a layer that its configuration
//! requires.
//!
//! Most provers may open no file at all. One that must (SP1's executor is a
//! program that it writes, starts, and shares memory with by name) has a
//! [`Profile::folder_bytes`]: it gets folders of its own in memory and may start
//! programs, confined as it is and dead when it is; or it does not start. With
//! [`Profile::gpu`] it also reaches the GPUs, whose driver is part of the
//! machine's kernel: a cage with a door, for operators who know that.

mod folders;
mod landlock;
mod level;
mod limits;
mod privileges;
mod seccomp;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

pub use level::{Layer, SandboxLevel};

/// What differs from prover to prover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Process id of the keeper. When it is not the parent any more, the keeper
    /// died before the process could ask to die with it.
    pub parent: u32,
    /// User and group to become, unlike any other process's. Needs root;
    /// without it the process keeps the keeper's user.
    pub user: Option<u32>,
    /// Bytes of private writable memory, all of it: heap, stacks, data. With
    /// folders, they are among these bytes, and somebody must watch how much the
    /// processes have together: this bounds only each.
    pub memory_bytes: u64,
    /// Threads, the first included. Enforced only with a user of its own: the
    /// kernel counts by user.
    pub threads: u64,
    /// Seconds of processor time, over all threads, for the process's life.
    pub cpu_seconds: Option<u64>,
    /// Whether memory may be made executable (a just-in-time compiler); never
    /// writable and executable at once.
    pub executable_memory: bool,
    /// Bytes of folders of its own; 0: no folders, no files, no programs.
    pub folder_bytes: u64,
    /// Whether NVIDIA's devices can be reached, with all that their library
    /// needs; only with folders. Far more of the machine is to be seen then.
    pub gpu: bool,
}

/// Why a process could not be confined. It must end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// There are other threads, which some layers would not bind.
    #[error("a process must confine itself before it starts threads")]
    Threads,
    /// The parent is gone.
    #[error("the parent of this process is gone")]
    Orphan,
    /// There can be no private folders here, and the stage does not run in others.
    #[error(
        "no {what} for a stage that needs private folders: run as root, \
         or allow unprivileged user namespaces"
    )]
    Folders {
        /// What there is not.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A layer that this system offers could not be put up.
    #[error("layer {} of the sandbox failed", layer.name())]
    Layer {
        /// Which.
        layer: Layer,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    fn layer<E: Into<io::Error>>(layer: Layer) -> impl FnOnce(E) -> Self {
        move |source| Self::Layer {
            layer,
            source: source.into(),
        }
    }
}

/// Confines this process, for good, and says how far that went.
///
/// To be called first thing in `main`, while there is one thread and descriptor
/// 3, the wire to the keeper, is the last. Afterwards the process can compute,
/// start threads, and use descriptors 0 to 3.
///
/// With [`Profile::folder_bytes`] the process that returns is not the one that
/// called, but a copy with the same parent: `moved` is called in the caller with
/// its id, and then the caller ends.
///
/// # Errors
/// [`SandboxError`]. A layer that this system does not offer is no error, only
/// absent from the level; but for folders, when they are needed.
pub fn confine<K: AsFd>(
    profile: &Profile,
    keeper: &mut K,
    moved: impl FnOnce(&mut K, u32),
) -> Result<SandboxLevel, SandboxError> {
    if !single_threaded() {
        return Err(SandboxError::Threads);
    }
    let mut level = SandboxLevel::default();
    if parent() != Some(profile.parent) {
        return Err(SandboxError::Orphan);
    }

    limits::descriptors().map_err(SandboxError::layer(Layer::Descriptors))?;
    level.insert(Layer::Descriptors);

    let own_folders = profile.folder_bytes > 0;
    let gpu = own_folders && profile.gpu;
    if own_folders {
        let built = folders::Folders {
            bytes: profile.folder_bytes,
            gpu: profile.gpu,
        };
        folders::enter(&built, profile.user, |id| moved(keeper, id))
            .map_err(|(what, source)| SandboxError::Folders { what, source })?;
        level.insert(Layer::Namespaces);
    } else if privileges::namespaces().map_err(SandboxError::layer(Layer::Namespaces))? {
        level.insert(Layer::Namespaces);
    }
    level.insert(Layer::Folders);
    if let Some(id) = profile.user
        && privileges::become_user(id).map_err(SandboxError::layer(Layer::User))?
    {
        level.insert(Layer::User);
    }
    privileges::drop_capabilities().map_err(SandboxError::layer(Layer::Powerless))?;
    level.insert(Layer::Powerless);
    rustix::thread::set_no_new_privs(true).map_err(SandboxError::layer(Layer::NoNewPrivileges))?;
    level.insert(Layer::NoNewPrivileges);

    // After the change of user, which resets both.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(SandboxError::layer(Layer::Dump))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(SandboxError::layer(Layer::ParentDeath))?;
    // If it died before it could be asked for, nobody holds the other end of the
    // wire any more. (From another process namespace parents have no id.)
    if (!own_folders && parent() != Some(profile.parent)) || hung_up(keeper.as_fd()) {
        return Err(SandboxError::Orphan);
    }
    level.insert(Layer::ParentDeath);

    for layer in
        landlock::apply(own_folders, gpu).map_err(SandboxError::layer(Layer::LandlockFiles))?
    {
        level.insert(layer);
    }

    limits::apply(profile, level.contains(Layer::User))
        .map_err(SandboxError::layer(Layer::Limits))?;
    level.insert(Layer::Limits);
    level.insert(Layer::Dump);

    seccomp::apply(profile.executable_memory, own_folders, gpu)
        .map_err(SandboxError::layer(Layer::Seccomp))?;
    level.insert(Layer::Seccomp);
    Ok(level)
}

fn parent() -> Option<u32> {
    let parent = rustix::process::getppid()?.as_raw_nonzero().get();
    parent.try_into().ok()
}

fn hung_up(wire: BorrowedFd<'_>) -> bool {
    let now = Timespec::default();
    let mut polled = [PollFd::new(&wire, PollFlags::RDHUP)];
    let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::NVAL;
    let [wire] = match rustix::event::poll(&mut polled, Some(&now)) {
        Ok(_) => &polled,
        Err(_) => return true,
    };
    wire.revents().intersects(gone)
}

/// Makes sure that nothing is open beside descriptors 0, 1 and 2. What was, some
/// value may still own: to be called before there are any.
///
/// # Errors
/// What the system said.
pub(crate) fn close_inherited() -> io::Result<()> {
    limits::close_from(3)
}

/// For processes that hold secrets and are not confined (keeper, gateway): no
/// core file, and no process of the same user may read their memory.
///
/// # Errors
/// What the system said.
pub fn harden_self() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Whether this system could write memory to a swap device.
///
/// # Errors
/// When the kernel's list cannot be read; the answer is not known then, and
/// must not be taken for no.
pub fn swap_enabled() -> io::Result<bool> {
    Ok(lists_swap(&fs::read_to_string("/proc/swaps")?))
}

/// `/proc/swaps` is a headline and a line for each device.
fn lists_swap(text: &str) -> bool {
    text.lines().skip(1).any(|line| !line.trim().is_empty())
}

fn single_threaded() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!lists_swap(""));
        assert!(!lists_swap(head));
        assert!(lists_swap(&format!(
            "{head}/dev/zram0 partition 8388604 0 100\n"
        )));
    }

    #[test]
    fn a_wire_that_hung_up() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!hung_up(ours.as_fd()));
        drop(theirs);
        assert!(hung_up(ours.as_fd()));
    }

    #[test]
    fn a_process_with_threads_is_not_confined() {
        // The test harness runs this beside its own main thread. If the check
        // went away, threads that exist already would stay outside.
        let profile = Profile {
            parent: 1,
            user: None,
            memory_bytes: u64::MAX,
            threads: 1,
            cpu_seconds: None,
            executable_memory: false,
            folder_bytes: 0,
            gpu: false,
        };
        let (mut keeper, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let result = confine(&profile, &mut keeper, |_, _| {});
        assert!(matches!(result, Err(SandboxError::Threads)));
    }
}
