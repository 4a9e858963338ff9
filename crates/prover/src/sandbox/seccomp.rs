//! The system calls that a confined prover may make. Everything else is
//! refused with `EPERM`.
//!
//! The list is what the C library, Rust's standard library, rayon and wasmtime
//! need to compute and to talk over descriptors that are open already. Opening,
//! making, receiving or mapping anything else is not on it: no `open`, `socket`,
//! `recvmsg` (descriptors travel in it), `memfd_create`, `execve`, `fork`,
//! `ptrace`, `process_vm_readv`, `pidfd_*`, `io_uring_*`, `bpf`, `userfaultfd`,
//! `keyctl`, `mount`, `perf_event_open`, `prctl` but for thread names.
//!
//! A process with folders of its own may in addition open, make, map and run
//! files, start processes, wait for and signal those in its namespace, and do
//! what tokio needs. What it can reach by a name is another layer's business;
//! what has no name is not on its list either: no `socket` (but pairs of stream
//! sockets), `recvmsg`, `memfd_create`, shared memory without a file.
//!
//! With a GPU there are more: any `ioctl`, and Unix sockets.

use std::collections::BTreeMap;
use std::io;

use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// By system call, the rules of which one must match; none: always allowed.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts up the filter for this thread, and for those that it starts later.
pub(super) fn apply(executable_memory: bool, own_folders: bool, gpu: bool) -> io::Result<()> {
    // Two filters; the kernel takes the stricter answer. The C library asks for
    // threads by clone3 first, whose flags are in memory where no filter sees
    // them, and falls back to clone only if it hears that there is no clone3.
    let no_clone3 = filter(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Errno(errno(libc::ENOSYS)),
        SeccompAction::Allow,
    )?;
    let allowed = filter(
        allowed(executable_memory, own_folders, gpu)?,
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::EPERM)),
    )?;
    seccompiler::apply_filter(&no_clone3).map_err(io::Error::other)?;
    seccompiler::apply_filter(&allowed).map_err(io::Error::other)
}

fn filter(
    rules: Rules,
    on_match: SeccompAction,
    otherwise: SeccompAction,
) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    SeccompFilter::new(rules, otherwise, on_match, arch)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

fn allowed(executable_memory: bool, own_folders: bool, gpu: bool) -> io::Result<Rules> {
    let mut rules: Rules = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();

    // Private memory only: the limit on memory does not count the shared kind,
    // nor stacks that grow down. Mapping a file would need a descriptor of one;
    // where there can be one, the size of the folders bounds what is shared.
    let sharing = libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_GROWSDOWN;
    let mut mappings = vec![masked(3, sharing, libc::MAP_PRIVATE)?];
    if own_folders {
        // A GPU's driver shares memory without a file, too.
        let no_file = if gpu { 0 } else { libc::MAP_ANONYMOUS };
        let file = sharing | no_file;
        mappings.push(masked(3, file, libc::MAP_SHARED)?);
    }
    // Never executable; or, for a compiler, never writable at the same time.
    let (write, exec) = (libc::PROT_WRITE, libc::PROT_EXEC);
    let protections = if executable_memory {
        vec![masked(2, exec, 0)?, masked(2, write, 0)?]
    } else {
        vec![masked(2, exec, 0)?]
    };
    rules.insert(
        libc::SYS_mmap,
        mappings
            .iter()
            .flat_map(|m| protections.iter().map(|p| vec![m.clone(), p.clone()]))
            .map(rule)
            .collect::<io::Result<_>>()?,
    );
    rules.insert(
        libc::SYS_mprotect,
        protections
            .iter()
            .map(|p| rule(vec![p.clone()]))
            .collect::<io::Result<_>>()?,
    );

    // Threads, and nothing else that clone can make; or processes too, but not
    // such as are traced, or have another parent or other namespaces.
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let thread = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    let other = namespaces | libc::CLONE_PTRACE | libc::CLONE_UNTRACED | libc::CLONE_PARENT;
    rules.insert(
        libc::SYS_clone,
        vec![rule(vec![if own_folders {
            masked(0, other, 0)?
        } else {
            masked(0, thread | other, thread)?
        }])?],
    );
    rules.insert(libc::SYS_clone3, Vec::new()); // the other filter answers

    if own_folders {
        files_and_processes(&mut rules)?;
        if gpu {
            devices_and_sockets(&mut rules)?;
        }
    } else {
        // A signal to itself, as abort() sends.
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_tgkill, vec![rule(vec![equals(0, own)?])?]);
    }
    // Reading one's own limits, as the C library does for stack sizes.
    rules.insert(
        libc::SYS_prlimit64,
        vec![rule(vec![equals(0, 0)?, pointer_is_null(2)?])?],
    );
    // Naming a thread.
    let set_name = u64::try_from(libc::PR_SET_NAME).map_err(io::Error::other)?;
    rules.insert(libc::SYS_prctl, vec![rule(vec![equals(0, set_name)?])?]);
    Ok(rules)
}

/// What a process with folders may do besides. Signals reach no further than its
/// process namespace.
fn files_and_processes(rules: &mut Rules) -> io::Result<()> {
    rules.extend(WITH_FOLDERS.iter().map(|call| (*call, Vec::new())));
    let one_of = |argument, values: &[c_int]| -> io::Result<Vec<SeccompRule>> {
        let bits = |value: c_int| u64::from(value.cast_unsigned());
        values
            .iter()
            .map(|value| rule(vec![equals(argument, bits(*value))?]))
            .collect()
    };
    let duplicates_and_flags = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    rules.insert(libc::SYS_fcntl, one_of(1, &duplicates_and_flags)?);
    // Flags of a descriptor once more, by other names.
    let mut requests = Vec::new();
    for request in [libc::FIOCLEX, libc::FIONCLEX, libc::FIONBIO] {
        requests.push(rule(vec![equals(1, request & u64::from(u32::MAX))?])?);
    }
    rules.insert(libc::SYS_ioctl, requests);
    // A pair of streams is a pipe: tokio wakes itself with one. Not datagrams,
    // which could be sent elsewhere.
    let kind = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let stream = SeccompCmpOp::MaskedEq(u64::from((!kind).cast_unsigned()));
    rules.insert(
        libc::SYS_socketpair,
        vec![rule(vec![
            equals(0, u64::from(libc::AF_UNIX.cast_unsigned()))?,
            condition(
                1,
                SeccompCmpArgLen::Dword,
                stream,
                u64::from(libc::SOCK_STREAM.cast_unsigned()),
            )?,
        ])?],
    );
    rules.insert(libc::SYS_sendto, vec![rule(vec![pointer_is_null(4)?])?]);
    Ok(())
}

/// What a process with a GPU may do besides: ask its driver for anything, say
/// where memory is to lie, and talk to programs that it started over sockets
/// that have names in its folders.
fn devices_and_sockets(rules: &mut Rules) -> io::Result<()> {
    rules.insert(libc::SYS_ioctl, Vec::new());
    let kind = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let unix = rule(vec![
        equals(0, u64::from(libc::AF_UNIX.cast_unsigned()))?,
        masked(1, !kind, libc::SOCK_STREAM)?,
    ])?;
    rules.insert(libc::SYS_socket, vec![unix]);
    rules.extend(WITH_GPU.iter().map(|call| (*call, Vec::new())));
    Ok(())
}

/// Allowed with any arguments to a process with a GPU.
const WITH_GPU: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sched_setaffinity,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_mbind,
    libc::SYS_mincore,
    libc::SYS_mlock2,
];

/// Allowed with any arguments to a process with folders.
const WITH_FOLDERS: &[c_long] = &[
    // Files, by names that mean something in its folders only.
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_msync,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_umask,
    // Descriptors that lead to itself and its children.
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_close_range,
    libc::SYS_recvfrom,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_pselect6,
    // Programs and processes.
    libc::SYS_execve,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_set_tid_address,
    libc::SYS_getppid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_membarrier,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    // The same by older names.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Allowed with any arguments.
const ALWAYS: &[c_long] = &[
    // Descriptors that are open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_munlock,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals to itself: wasmtime's traps, stack overflow.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time, chance, and who one is.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getrusage,
    libc::SYS_getcpu,
];

fn masked(argument: u8, mask: c_int, value: c_int) -> io::Result<SeccompCondition> {
    let bits = |flags: c_int| u64::from(flags.cast_unsigned());
    condition(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(bits(mask)),
        bits(value),
    )
}

fn equals(argument: u8, value: u64) -> io::Result<SeccompCondition> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn pointer_is_null(argument: u8) -> io::Result<SeccompCondition> {
    condition(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

fn condition(
    argument: u8,
    len: SeccompCmpArgLen,
    op: SeccompCmpOp,
    value: u64,
) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, len, op, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn errno(number: c_int) -> u32 {
    number.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::PermissionDenied;

    /// A filter binds a thread, so this layer can be tried alone.
    #[test]
    fn alone_it_refuses_files_sockets_and_programs() {
        for executable_memory in [false, true] {
            std::thread::spawn(move || {
                let denied = |e: io::Error| e.kind() == PermissionDenied;
                apply(executable_memory, false, false).unwrap();
                assert!(std::fs::File::open("/etc/passwd").is_err_and(denied));
                assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err_and(denied));
                assert!(std::os::unix::net::UnixStream::pair().is_err_and(denied));
                // A thread can be started and inherits the filter.
                let inner = std::thread::spawn(move || std::fs::File::open("/etc/passwd"));
                assert!(inner.join().unwrap().is_err_and(denied));
            })
            .join()
            .unwrap();
        }
    }
}
