//! What a stage with folders of its own can do, and what it cannot: as SP1's
//! executor does it, with a copy of this very program for the runner.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Output, Stdio};

use super::escape;

const PROGRAM: &str = "/tmp/program";
/// As large as SP1's: sparse, and mapped whole.
const SPARSE: usize = 1 << 41;

/// What the copy does, by its second argument; the third is the keeper's id, or
/// a word for the test.
pub(crate) fn child(what: &str, word: &str) {
    match what {
        "escape" => answer(&escape::all(word.parse().unwrap_or(1), true)),
        "share" => answer(&format!("{:?}", share(false))),
        "gobble" => gobble(),
        "spin" => {
            // So does another whose parent is gone.
            let _ = start("spin-more", "");
            spin();
        }
        _ => spin(),
    }
}

fn answer(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn gobble() {
    let mut all = Vec::new();
    loop {
        let mut block = vec![0u8; 1 << 20];
        block.fill(7);
        all.push(std::hint::black_box(block));
    }
}

/// Does what the job's input says, if it is something here, and reports.
pub(crate) fn run(what: &str, keeper: u32) -> Option<String> {
    let report = match what {
        "work" => work(),
        "list" => list(),
        "fill" => fill("/tmp/fill"),
        "fill-shared" => fill("/dev/shm/fill"),
        "escape-below" => output("escape", &keeper.to_string()).map(|output| text(&output.stdout)),
        "gobble-below" => output("gobble", "").map(|output| format!("{:?}", output.status)),
        _ => match what.strip_prefix("spin-below ") {
            // The word is an argument of the programs, where the test finds it.
            Some(word) => start("spin", word)
                .and_then(|mut child| child.wait())
                .map(|status| format!("{status:?}")),
            None => return None,
        },
    };
    Some(report.unwrap_or_else(|e| format!("failed: {e}")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes the program, unless it is there.
fn program() -> io::Result<()> {
    if fs::exists(PROGRAM)? {
        return Ok(());
    }
    fs::write("/tmp/program.new", fs::read("/proc/self/exe")?)?;
    fs::set_permissions("/tmp/program.new", PermissionsExt::from_mode(0o755))?;
    fs::rename("/tmp/program.new", PROGRAM)
}

fn start(what: &str, word: &str) -> io::Result<Child> {
    program()?;
    Command::new(PROGRAM)
        .args(["child", what, word])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn output(what: &str, word: &str) -> io::Result<Output> {
    start(what, word)?.wait_with_output()
}

/// All that SP1's executor does.
fn work() -> io::Result<String> {
    let mut report = String::new();
    let mut say = |name: &str, holds: bool| {
        let _ = writeln!(report, "{name}: {}", if holds { "ok" } else { "MISSING" });
    };
    share(true)?;
    let below = output("share", "")?;
    say("a program that was written runs", below.status.success());
    say("it sees shared memory", text(&below.stdout) == "Ok(true)");
    say("and this sees what it wrote", share(false)?);
    fs::copy(PROGRAM, "/dev/shm/program")?;
    let run = Command::new("/dev/shm/program").arg("child").status();
    say("nothing runs from shared memory", run.is_err());
    let mut child = start("spin", "")?;
    let killed = child.kill().and_then(|()| child.wait());
    say("a child can be killed", killed.is_ok_and(|s| !s.success()));
    let watched = fs::read_to_string(format!("/proc/{}/statm", std::process::id()));
    say("memory can be watched", watched.is_ok());
    let threads: Vec<_> = (0..64).map(|_| std::thread::spawn(|| 1)).collect();
    let joined = threads.into_iter().filter_map(|t| t.join().ok()).count();
    say("threads", joined == 64);
    // What tokio needs.
    // SAFETY: plain calls, the results of which are descriptors.
    let (epoll, event) = unsafe { (libc::epoll_create1(0), libc::eventfd(0, 0)) };
    say("epoll", epoll > 2 && event > 2);
    let streams = std::os::unix::net::UnixStream::pair();
    let passed = streams.and_then(|(mut a, b)| {
        b.set_nonblocking(true)?;
        a.write_all(b"x")?;
        io::Read::read(&mut &b, &mut [0u8; 2])
    });
    say("a pair of streams", passed.is_ok_and(|n| n == 1));
    Ok(report)
}

/// Maps shared memory and a semaphore by name. Whoever `creates` finds nothing
/// yet; later ones find what came before, and write one more. Also maps all of
/// it again for itself alone.
fn share(creates: bool) -> io::Result<bool> {
    let failed = io::Error::last_os_error;
    let make = if creates {
        libc::O_CREAT | libc::O_EXCL
    } else {
        0
    };
    // SAFETY: names end in nought; the mappings are of a file of that size, made
    // here; only their first pages are touched.
    unsafe {
        let file = libc::shm_open(c"/probe_m".as_ptr(), libc::O_RDWR | make, 0o600);
        if file < 0 || (creates && libc::ftruncate(file, SPARSE.cast_signed() as i64) != 0) {
            return Err(failed());
        }
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let map = |flags| libc::mmap(std::ptr::null_mut(), SPARSE, both, flags, file, 0);
        let shared = map(libc::MAP_SHARED);
        let private = map(libc::MAP_PRIVATE | libc::MAP_NORESERVE);
        let semaphore = libc::sem_open(c"/probe_s".as_ptr(), libc::O_CREAT, 0o600, 1);
        if shared == libc::MAP_FAILED
            || private == libc::MAP_FAILED
            || semaphore == libc::SEM_FAILED
        {
            return Err(failed());
        }
        libc::sem_wait(semaphore);
        libc::madvise(shared, 1 << 21, libc::MADV_HUGEPAGE);
        let (shared, private) = (shared.cast::<u8>(), private.cast::<u8>());
        let found = private.read_volatile();
        shared.write_volatile(found + 1);
        private.write_volatile(99);
        libc::sem_post(semaphore);
        libc::munmap(shared.cast(), SPARSE);
        libc::munmap(private.cast(), SPARSE);
        libc::close(file);
        Ok(found > 0)
    }
}

/// What is to be seen.
fn list() -> io::Result<String> {
    let mut report = String::new();
    for folder in ["/", "/tmp", "/dev/shm", "/proc"] {
        let mut names = Vec::new();
        let mut refused = String::new();
        match fs::read_dir(folder) {
            Ok(entries) => names.extend(
                entries
                    .flatten()
                    .map(|entry| entry.file_name().to_string_lossy().into_owned()),
            ),
            Err(e) => refused = format!("{:?}", e.kind()),
        }
        names.sort();
        let found = fs::metadata(folder)?;
        let mode = found.mode() & 0o7777;
        let _ = writeln!(report, "{folder} {mode:o} {} {refused}", names.join(" "));
    }
    Ok(report)
}

/// Writes until there is no more room, and says how much there was.
fn fill(path: &str) -> io::Result<String> {
    let mut file = fs::File::create(path)?;
    let block = vec![7u8; 1 << 16];
    let mut written = 0;
    loop {
        match file.write(&block) {
            Ok(n) => written += n,
            Err(e) => return Ok(format!("written={written} errno={:?}", e.raw_os_error())),
        }
    }
}
