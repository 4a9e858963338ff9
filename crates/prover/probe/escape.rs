//! Every way out that hostile code would try, by direct system calls. Each
//! attempt says what came of it: an error's name, or that it was ALLOWED.

use std::fmt::Write as _;
use std::io;

use libc::{c_long, c_void};

/// Tries everything; one line an attempt.
pub(crate) fn all(parent: u32, may_fork: bool) -> String {
    let mut report = String::new();
    let parent = c_long::from(i32::try_from(parent).unwrap_or(1));
    let mut say = |name: &str, result: c_long| {
        let outcome = if result < 0 {
            format!("{:?}", io::Error::last_os_error().kind())
        } else {
            "ALLOWED".into()
        };
        let _ = writeln!(report, "{name}: {outcome}");
    };

    // Network, of every kind.
    for (name, domain, kind) in [
        ("socket tcp", libc::AF_INET, libc::SOCK_STREAM),
        ("socket udp", libc::AF_INET, libc::SOCK_DGRAM),
        ("socket tcp6", libc::AF_INET6, libc::SOCK_STREAM),
        ("socket unix", libc::AF_UNIX, libc::SOCK_STREAM),
        ("socket netlink", libc::AF_NETLINK, libc::SOCK_RAW),
        ("socket packet", libc::AF_PACKET, libc::SOCK_RAW),
        ("socket vsock", libc::AF_VSOCK, libc::SOCK_STREAM),
    ] {
        say(
            name,
            call(libc::SYS_socket, &[domain.into(), kind.into(), 0]),
        );
    }
    let mut pair = [0i32; 2];
    say(
        "socketpair",
        call(libc::SYS_socketpair, &[1, 1, 0, address(&mut pair)]),
    );
    // The keeper's socket is descriptor 3: no other peer, no descriptors through it.
    let mut address_in = [0u8; 16];
    say(
        "connect",
        call(libc::SYS_connect, &[3, address(&mut address_in), 16]),
    );
    say(
        "bind",
        call(libc::SYS_bind, &[3, address(&mut address_in), 16]),
    );
    say("listen", call(libc::SYS_listen, &[3, 1]));
    say("accept", call(libc::SYS_accept4, &[3, 0, 0, 0]));
    // SAFETY: zeros are a valid, empty msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    say(
        "recvmsg",
        call(
            libc::SYS_recvmsg,
            &[3, address(&mut header), libc::MSG_DONTWAIT.into()],
        ),
    );
    say(
        "sendmsg",
        call(libc::SYS_sendmsg, &[3, address(&mut header), 0]),
    );
    let to = address(&mut address_in);
    say("sendto", call(libc::SYS_sendto, &[3, to, 0, 0, to, 16]));

    // Files: to read, to write, to make, by every call that opens.
    for path in [
        "/etc/passwd",
        "/proc/1/mem",
        "/proc/self/mem",
        "/proc/self/maps",
        "../etc/shadow",
        "/dev/tdx_guest",
        "/dev/sev-guest",
        "/dev/tpm0",
        "/sys/kernel/config/tsm/report",
        "/var/run/dstack.sock",
        "/dev/null",
        "/dev/shm",
        ".",
    ] {
        let c_path = std::ffi::CString::new(path).unwrap_or_default();
        let pointer = c_path.as_ptr() as c_long;
        let cwd = c_long::from(libc::AT_FDCWD);
        say(
            &format!("openat {path}"),
            call(libc::SYS_openat, &[cwd, pointer, 0, 0]),
        );
        say(
            &format!("open path {path}"),
            call(libc::SYS_openat, &[cwd, pointer, libc::O_PATH.into(), 0]),
        );
    }
    let file = c"/tmp/soundproof-probe".as_ptr() as c_long;
    let cwd = c_long::from(libc::AT_FDCWD);
    let create = c_long::from(libc::O_CREAT | libc::O_WRONLY);
    say(
        "create",
        call(libc::SYS_openat, &[cwd, file, create, 0o600]),
    );
    let mut how = [0u64; 3];
    say(
        "openat2",
        call(libc::SYS_openat2, &[cwd, file, address(&mut how), 24]),
    );
    say("mkdirat", call(libc::SYS_mkdirat, &[cwd, file, 0o700]));
    say("unlinkat", call(libc::SYS_unlinkat, &[cwd, file, 0]));
    say("symlinkat", call(libc::SYS_symlinkat, &[file, cwd, file]));
    say(
        "mknodat",
        call(libc::SYS_mknodat, &[cwd, file, libc::S_IFIFO.into(), 0]),
    );
    say(
        "newfstatat",
        call(
            libc::SYS_newfstatat,
            &[cwd, file, address(&mut [0u64; 32]), 0],
        ),
    );
    say("truncate", call(libc::SYS_truncate, &[file, 0]));
    say("memfd_create", call(libc::SYS_memfd_create, &[file, 0]));
    say("pipe", call(libc::SYS_pipe2, &[address(&mut pair), 0]));
    say("dup", call(libc::SYS_dup, &[0]));
    say("inotify", call(libc::SYS_inotify_init1, &[0]));
    say("chroot", call(libc::SYS_chroot, &[c"/".as_ptr() as c_long]));
    say(
        "chdir",
        call(libc::SYS_chdir, &[c"/tmp".as_ptr() as c_long]),
    );
    say("mount", call(libc::SYS_mount, &[file, file, file, 0, 0]));
    say(
        "fsopen",
        call(libc::SYS_fsopen, &[c"tmpfs".as_ptr() as c_long, 0]),
    );

    // Other processes.
    let attach = c_long::from(libc::PTRACE_ATTACH.cast_signed());
    let seize = c_long::from(libc::PTRACE_SEIZE.cast_signed());
    say(
        "ptrace attach",
        call(libc::SYS_ptrace, &[attach, parent, 0, 0]),
    );
    say(
        "ptrace seize",
        call(libc::SYS_ptrace, &[seize, parent, 0, 0]),
    );
    let mut byte = [0u8; 8];
    let mut local = [address(&mut byte), 8];
    let iovec = address(&mut local);
    say(
        "process_vm_readv",
        call(libc::SYS_process_vm_readv, &[parent, iovec, 1, iovec, 1, 0]),
    );
    say(
        "process_vm_writev",
        call(
            libc::SYS_process_vm_writev,
            &[parent, iovec, 1, iovec, 1, 0],
        ),
    );
    say("kill parent", call(libc::SYS_kill, &[parent, 0]));
    say("kill all", call(libc::SYS_kill, &[-1, 0]));
    say(
        "tgkill parent",
        call(libc::SYS_tgkill, &[parent, parent, 0]),
    );
    say(
        "rt_sigqueueinfo",
        call(libc::SYS_rt_sigqueueinfo, &[parent, 0, 0]),
    );
    say("pidfd_open", call(libc::SYS_pidfd_open, &[parent, 0]));
    say("pidfd_getfd", call(libc::SYS_pidfd_getfd, &[0, 0, 0]));
    say("kcmp", call(libc::SYS_kcmp, &[parent, parent, 0, 0, 0]));
    say(
        "prlimit parent",
        call(
            libc::SYS_prlimit64,
            &[parent, 0, 0, address(&mut [0u64; 2])],
        ),
    );
    say(
        "raise own limit",
        call(
            libc::SYS_prlimit64,
            &[0, 7, address(&mut [1u64 << 10; 2]), 0],
        ),
    );
    say("setpriority", call(libc::SYS_setpriority, &[0, parent, 19]));

    // More processes, other programs.
    let shares = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    for (name, flags) in [
        ("fork", libc::SIGCHLD),
        ("vfork-like", shares),
        ("clone parent", libc::CLONE_PARENT | libc::SIGCHLD),
        ("clone namespaces", libc::CLONE_NEWUSER | libc::SIGCHLD),
        ("clone untraced", libc::CLONE_UNTRACED | libc::SIGCHLD),
    ] {
        if may_fork && flags == shares {
            continue; // would work, and tear down this stack
        }
        let process = call(libc::SYS_clone, &[flags.into(), 0, 0, 0, 0]);
        if process == 0 {
            std::process::exit(0); // the copy
        }
        say(name, process);
    }
    let mut arguments = [u64::try_from(libc::SIGCHLD).unwrap_or(17); 11];
    arguments.fill(0);
    say(
        "clone3",
        call(libc::SYS_clone3, &[address(&mut arguments), 88]),
    );
    let nothing = [0usize; 1];
    let list = nothing.as_ptr() as c_long;
    say(
        "execve",
        call(
            libc::SYS_execve,
            &[c"/bin/true".as_ptr() as c_long, list, list],
        ),
    );
    say(
        "execveat",
        call(
            libc::SYS_execveat,
            &[
                0,
                c"".as_ptr() as c_long,
                list,
                list,
                libc::AT_EMPTY_PATH.into(),
            ],
        ),
    );
    say(
        "unshare",
        call(libc::SYS_unshare, &[libc::CLONE_NEWUSER.into()]),
    );
    say("setns", call(libc::SYS_setns, &[0, 0]));
    say("setuid", call(libc::SYS_setuid, &[0]));
    say("setgid", call(libc::SYS_setgid, &[0]));
    say("setgroups", call(libc::SYS_setgroups, &[0, 0]));
    say(
        "capset",
        call(
            libc::SYS_capset,
            &[address(&mut [0u32; 2]), address(&mut [0u32; 6])],
        ),
    );

    // The kernel's other doors.
    say(
        "io_uring_setup",
        call(libc::SYS_io_uring_setup, &[1, address(&mut [0u8; 120])]),
    );
    say(
        "bpf",
        call(libc::SYS_bpf, &[0, address(&mut [0u8; 128]), 128]),
    );
    say("userfaultfd", call(libc::SYS_userfaultfd, &[1]));
    say(
        "perf_event_open",
        call(
            libc::SYS_perf_event_open,
            &[address(&mut [0u8; 128]), 0, -1, -1, 0],
        ),
    );
    say("keyctl", call(libc::SYS_keyctl, &[0, -3, 0]));
    say("add_key", call(libc::SYS_add_key, &[file, file, 0, 0, -3]));
    say("seccomp", call(libc::SYS_seccomp, &[0, 0, 0]));
    say("shmget", call(libc::SYS_shmget, &[0, 4096, 0o1600]));
    say(
        "mq_open",
        call(
            libc::SYS_mq_open,
            &[c"probe".as_ptr() as c_long, create, 0o600, 0],
        ),
    );
    say("init_module", call(libc::SYS_init_module, &[0, 0, file]));
    say("reboot", call(libc::SYS_reboot, &[0, 0, 0, 0]));
    say(
        "syslog",
        call(libc::SYS_syslog, &[3, address(&mut byte), 8]),
    );
    say(
        "dumpable",
        call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0]),
    );
    say(
        "keep parent death",
        call(
            libc::SYS_prctl,
            &[libc::PR_SET_PDEATHSIG.into(), 0, 0, 0, 0],
        ),
    );
    say(
        "any ptracer",
        call(libc::SYS_prctl, &[libc::PR_SET_PTRACER.into(), -1, 0, 0, 0]),
    );

    // Memory that no limit counts, or that is written and run.
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map = |protection: i32, flags: i32| {
        call(
            libc::SYS_mmap,
            &[0, 4096, protection.into(), flags.into(), -1, 0],
        )
    };
    say(
        "mmap shared",
        map(libc::PROT_READ, libc::MAP_SHARED | libc::MAP_ANONYMOUS),
    );
    say(
        "mmap grows down",
        map(libc::PROT_READ, private | libc::MAP_GROWSDOWN),
    );
    say(
        "mmap write+exec",
        map(libc::PROT_WRITE | libc::PROT_EXEC, private),
    );
    let page = map(libc::PROT_READ | libc::PROT_WRITE, private); // allowed, and no escape
    say(
        "mprotect write+exec",
        call(
            libc::SYS_mprotect,
            &[page, 4096, (libc::PROT_WRITE | libc::PROT_EXEC).into()],
        ),
    );
    #[cfg(target_arch = "x86_64")]
    say(
        "x32 open",
        call(0x4000_0000 + libc::SYS_open, &[file, 0, 0]),
    );

    // Descriptors: whatever the keeper has open, none is here.
    let open = (4..1024)
        .filter(|fd| call(libc::SYS_read, &[*fd, address(&mut byte), 0]) >= 0)
        .count();
    let _ = writeln!(report, "descriptors beyond 3: {open}");
    report
}

/// What must still work: threads, memory that becomes executable; and what the
/// limits are.
pub(crate) fn threads() -> String {
    let sum: u64 = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..3u64).map(|n| scope.spawn(move || n * n)).collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .sum()
    });
    let mut alive = Vec::new();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = std::sync::Arc::new(std::sync::Mutex::new(hold));
    for _ in 0..64 {
        let hold = hold.clone();
        let held = move || drop(hold.lock().map(|hold| hold.recv()));
        match std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(held)
        {
            Ok(handle) => alive.push(handle),
            Err(_) => break,
        }
    }
    let most = alive.len() + 1;
    drop(release);
    for handle in alive {
        let _ = handle.join();
    }
    let private = c_long::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let page = call(
        libc::SYS_mmap,
        &[0, 4096, libc::PROT_WRITE.into(), private, -1, 0],
    );
    let compiled = call(
        libc::SYS_mprotect,
        &[page, 4096, (libc::PROT_READ | libc::PROT_EXEC).into()],
    ) == 0;
    let limit = |resource| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` is a valid rlimit.
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        limit.rlim_max
    };
    // SAFETY: plain reads of this process's ids.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getuid()) };
    format!(
        "sum={sum} threads={most} compiled={compiled} uid={uid}/{gid} core={} fsize={} nofile={} env={}",
        limit(libc::RLIMIT_CORE),
        limit(libc::RLIMIT_FSIZE),
        limit(libc::RLIMIT_NOFILE),
        std::env::vars_os().count(),
    )
}

fn address<T: ?Sized>(value: &mut T) -> c_long {
    std::ptr::from_mut(value).cast::<c_void>() as c_long
}

/// A system call with up to six arguments.
fn call(number: c_long, arguments: &[c_long]) -> c_long {
    let mut a = [0; 6];
    for (slot, argument) in a.iter_mut().zip(arguments) {
        *slot = *argument;
    }
    // SAFETY: each call above passes pointers to memory that is valid for it,
    // and is expected to be refused before it does anything.
    unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) }
}
