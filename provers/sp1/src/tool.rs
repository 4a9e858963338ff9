//! What the executable does by hand, on public things only: no sandbox, no
//! keeper.
#![allow(clippy::print_stdout)] // a command line: results are its output

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use soundproof_prover_sp1::modes::Mode;
use soundproof_prover_sp1::{program, verify};
use soundproof_sp1_node::{Depth, Loaded, Node, Slot};
use sp1_core_executor::SP1CoreOpts;
use sp1_prover::worker::{ProofFromNetwork, SP1LightNode};

/// The proof is invalid; any other failure ends with 1.
const INVALID: u8 = 3;

/// Something to do by hand.
pub(crate) enum Task {
    /// `key --elf FILE`
    Key { elf: PathBuf },
    /// `verify --elf FILE --proof FILE`
    Verify { elf: PathBuf, proof: PathBuf },
    /// `start MODE`
    Start { mode: Mode },
    /// Anything else that the keeper would not say.
    Usage,
}

impl Task {
    /// None when the keeper started this process: it begins with `--`.
    pub(crate) fn from_arguments() -> Option<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match arguments.as_slice() {
            [first, ..] if first.starts_with("--stage=") => None,
            ["key", "--elf", elf] => Some(Self::Key { elf: elf.into() }),
            ["verify", "--elf", elf, "--proof", proof]
            | ["verify", "--proof", proof, "--elf", elf] => Some(Self::Verify {
                elf: elf.into(),
                proof: proof.into(),
            }),
            ["start", mode] => {
                Some(Mode::from_name(mode).map_or(Self::Usage, |mode| Self::Start { mode }))
            }
            _ => Some(Self::Usage),
        }
    }

    pub(crate) fn run(self) -> ExitCode {
        let done = match &self {
            Self::Usage => {
                eprintln!(
                    "usage: soundproof-prover-sp1 key --elf FILE\n       \
                     soundproof-prover-sp1 verify --elf FILE --proof FILE\n       \
                     soundproof-prover-sp1 start core|compressed\n\
                     Jobs are given to it by soundproofd: soundproofd --prover sp1=THIS-FILE"
                );
                return ExitCode::from(2);
            }
            Self::Start { mode } => start(*mode),
            Self::Key { elf } => key(elf),
            Self::Verify { elf, proof } => check(elf, proof),
        };
        match done {
            Ok(code) => code,
            Err(error) => {
                eprintln!("soundproof-prover-sp1: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn load(elf: &Path) -> Result<Loaded, String> {
    let bytes = read(elf)?;
    runtime()?
        .block_on(program::load(&bytes, None))
        .map_err(|failure| format!("{}: {}", elf.display(), failure.detail))
}

/// How long a process of the keeper's takes until it can prove.
fn start(mode: Mode) -> Result<ExitCode, String> {
    let begun = std::time::Instant::now();
    let depth = match mode {
        Mode::Core => Depth::Core,
        _ => Depth::Recursive,
    };
    let node = runtime()?.block_on(Node::build(depth, Slot::default(), SP1CoreOpts::default()));
    let ready = begun.elapsed();
    node.map_err(|error| error.to_string())?;
    println!(
        "{{\"mode\":\"{}\",\"ready_ms\":{}}}",
        mode.name(),
        ready.as_millis()
    );
    Ok(ExitCode::SUCCESS)
}

fn key(elf: &Path) -> Result<ExitCode, String> {
    let loaded = load(elf)?;
    println!("{}", hex::encode(program::digest(&loaded.verifying_key)));
    Ok(ExitCode::SUCCESS)
}

fn check(elf: &Path, proof: &Path) -> Result<ExitCode, String> {
    let loaded = load(elf)?;
    let bytes = read(proof)?;
    let proof: ProofFromNetwork = bincode::deserialize(&bytes)
        .map_err(|_| format!("{}: not a proof of SP1 6", proof.display()))?;
    let node = runtime()?.block_on(SP1LightNode::new());
    match verify::verify(node.inner(), &proof, &loaded.verifying_key) {
        Ok(()) => {
            println!("valid");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("invalid: {error}");
            Ok(ExitCode::from(INVALID))
        }
    }
}
