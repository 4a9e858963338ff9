//! `libnvidia-ml.so.1`, compiled from C by the machine's compiler into a
//! folder, with the functions, structures and codes of `nvml.h` that attesting
//! takes. For each report it asks a thread of ours over a Unix socket, so that
//! whoever signs GPU evidence in tests can sign it there.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

const SOURCE: &str = include_str!("nvml.c");

/// Evidence of one GPU: SPDM request and response, and chain in PEM.
pub type GpuMaker = Arc<dyn Fn(u32, &[u8; 32]) -> (Vec<u8>, Vec<u8>) + Send + Sync>;

/// What it says, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// GPUs.
    pub gpus: u32,
    /// Confidential computing is on.
    pub confidential: bool,
    /// Developer tools are on.
    pub developer_tools: bool,
    /// Code of `nvmlInit_v2`.
    pub start: i32,
    /// Code of reports.
    pub report: i32,
    /// Reports that are answered with `NVML_ERROR_IN_USE` first.
    pub busy: u32,
    /// A size that reports claim, in the place of their own.
    pub claimed: Option<u32>,
    /// The library of a driver from before confidential computing.
    pub old: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            gpus: 1,
            confidential: true,
            developer_tools: false,
            start: 0,
            report: 0,
            busy: 0,
            claimed: None,
            old: false,
        }
    }
}

/// What it does in the process that loaded it, when it is asked for a report,
/// as a library could that is broken or was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Deed {
    /// It answers.
    #[default]
    Answer = 0,
    /// The process dies.
    Crash = 1,
    /// It never comes back.
    Hang = 2,
    /// It prints a line on standard output, and answers.
    Noise = 3,
    /// It writes what looks like an answer, and is none, into every pipe that
    /// the process has.
    Junk = 4,
    /// Likewise, one byte more than an answer of the collector may have.
    Flood = 5,
}

/// A library that does what it is told while it is loaded.
pub struct FakeNvml {
    library: PathBuf,
    deed: Arc<AtomicU32>,
}

impl FakeNvml {
    /// Where it is: `libnvidia-ml.so.1` in its folder.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What it does from now on.
    pub fn does(&self, deed: Deed) {
        self.deed.store(deed as u32, Ordering::SeqCst);
    }
}

/// Compiles one into `folder`, and serves it until the process ends; gives its
/// path.
///
/// # Errors
/// If there is no C compiler (`cc`), or the socket cannot be made.
pub fn build(folder: &Path, make: GpuMaker, behaviour: &Behaviour) -> io::Result<PathBuf> {
    Ok(obedient(folder, make, behaviour)?.library)
}

/// The same, which can be told what to do.
///
/// # Errors
/// As [`build`].
pub fn obedient(folder: &Path, make: GpuMaker, behaviour: &Behaviour) -> io::Result<FakeNvml> {
    let (source, library) = (folder.join("nvml.c"), folder.join("libnvidia-ml.so.1"));
    let socket = folder.join("nvml.sock");
    std::fs::write(&source, SOURCE)?;
    let define = |name: &str, value: &dyn std::fmt::Display| format!("-D{name}={value}");
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(define("GPUS", &behaviour.gpus))
        .arg(define("FEATURE", &u32::from(behaviour.confidential)))
        .arg(define("DEVTOOLS", &u32::from(behaviour.developer_tools)))
        .arg(define("START", &behaviour.start))
        .arg(define("REPORT", &behaviour.report))
        .arg(define("BUSY", &behaviour.busy))
        .arg(define("SOCKET", &format!("\"{}\"", socket.display())));
    if let Some(claimed) = behaviour.claimed {
        command.arg(define("CLAIMED", &claimed));
    }
    if behaviour.old {
        command.arg("-DOLD");
    }
    let compiled = command.arg(&source).output()?;
    if !compiled.status.success() {
        let why = String::from_utf8_lossy(&compiled.stderr).into_owned();
        return Err(io::Error::other(why));
    }
    let listener = UnixListener::bind(&socket)?;
    let deed = Arc::new(AtomicU32::default());
    let told = deed.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = serve(stream, &make, told.load(Ordering::SeqCst));
        }
    });
    Ok(FakeNvml { library, deed })
}

/// Asked: index and nonce. Answered: what to do, and two pieces, each with its
/// length.
fn serve(mut stream: UnixStream, make: &GpuMaker, deed: u32) -> io::Result<()> {
    let (mut index, mut nonce) = ([0; 4], [0; 32]);
    stream.read_exact(&mut index)?;
    stream.read_exact(&mut nonce)?;
    let (report, chain) = make(u32::from_ne_bytes(index), &nonce);
    stream.write_all(&deed.to_ne_bytes())?;
    for piece in [report, chain] {
        stream.write_all(&(piece.len() as u32).to_ne_bytes())?;
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// A report of the right shape that carries `nonce`, and a chain; nobody
/// signed either.
pub fn unsigned(index: u32, nonce: &[u8; 32]) -> (Vec<u8>, Vec<u8>) {
    // SPDM 1.1 GET_MEASUREMENTS, signed, all; then a response.
    let mut report = vec![0x11, 0xe0, 0x01, 0xff];
    report.extend(nonce);
    report.push(0);
    report.extend([0x11, 0x60, 0, 0]);
    report.extend([index as u8; 200]);
    (report, format!("chain of GPU {index}").into_bytes())
}
