//! Proves on a GPU, by SP1's own GPU server.
//!
//! The server is an executable that the operator supplies when this is built.
//! It is compiled in, so it is measured with this one, and nothing is downloaded
//! when it runs. It is written to the private folder and started, confined as
//! this process is and gone with it, and talks over a socket in that folder:
//! requests and answers in bincode, each after its length (u32, little-endian),
//! as in the crates `sp1-cuda` and `sp1-gpu-server` 6.10.
//!
//! The types are written down here and not taken from `sp1-cuda`, which brings
//! what downloads the server. What it says is not believed: lengths have bounds,
//! the verifying key must be the one computed here, before it is given an input,
//! and the proof is verified on the CPU as any other.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use soundproof_protocol::error::{Code, Failure};
use sp1_core_machine::io::SP1Stdin;
use sp1_hypercube::SP1VerifyingKey;
use sp1_prover::worker::ProofFromNetwork;
use sp1_prover_types::SerializableRiscvMachine;
use sp1_prover_types::network_base_types::ProofMode;
use zeroize::Zeroizing;

use crate::program;

/// The server's executable.
pub const SERVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sp1-gpu-server"));
/// The only folder in which it makes its socket.
pub const FOLDER: &str = "/tmp";

/// Its name there.
const NAME: &str = "sp1-gpu-server";
/// Its socket's: `socket_path` of `sp1-cuda`, for the first GPU.
const SOCKET: &str = "sp1-cuda-0.sock";
/// Bytes of an answer at most.
const MAX_ANSWER: u32 = 256 << 20;
/// How long the server may take until it can be talked to.
const START: Duration = Duration::from_secs(60);
/// How often that is tried.
const TRY: Duration = Duration::from_millis(50);

/// `sp1_cuda::api::Request`, but for `Destroy`, which a process for one job has
/// no use for.
#[derive(Serialize)]
enum Request<'a> {
    Setup {
        elf: &'a [u8],
        machine: SerializableRiscvMachine,
    },
    ProveWithMode {
        mode: ProofMode,
        key: [u8; 32],
        stdin: &'a SP1Stdin,
        proof_nonce: [u32; 4],
    },
}

/// `sp1_cuda::api::Response`.
#[derive(Deserialize)]
enum Response {
    Ok,
    Setup { id: [u8; 32], vk: SP1VerifyingKey },
    Proof { proof: ProofFromNetwork },
    ProverError(#[allow(dead_code)] String),
    InternalError(#[allow(dead_code)] String),
    ConnectionClosed,
}

/// Why there is no proof. What the server says of a failure may be about the
/// input, and is not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// It cannot be started.
    #[error("the GPU server cannot be started")]
    Start(#[source] io::Error),
    /// It is alive and does not listen.
    #[error("the GPU server does not answer")]
    Silent,
    /// It ended, or hung up.
    #[error("the GPU server ended")]
    Ended,
    /// It answered that it failed.
    #[error("the GPU server failed")]
    Failed,
    /// It does not keep to the protocol.
    #[error("the GPU server answered with what makes no sense")]
    Protocol,
    /// It means another program.
    #[error("the GPU server computed another verifying key")]
    Key,
    /// The request has more bytes than a length can say.
    #[error("the input is too large for the GPU server")]
    TooLarge,
}

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        use CudaError as E;
        let code = match error {
            E::Start(_) | E::Silent => Code::ProverUnavailable,
            E::Ended => Code::ProverDied,
            E::Failed => Code::ProverPanic,
            E::Protocol | E::Key => Code::ProverProtocol,
            E::TooLarge => Code::InputTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

/// What a proof is to be made of.
pub struct Task<'a> {
    /// The program.
    pub elf: &'a [u8],
    /// Its verifying key, computed here.
    pub key: &'a SP1VerifyingKey,
    /// The input.
    pub stdin: &'a SP1Stdin,
    /// The proof's nonce.
    pub nonce: [u32; 4],
    /// The kind of proof.
    pub mode: ProofMode,
}

/// A server that was started. It ends when this is dropped.
pub struct Server {
    child: Child,
    socket: PathBuf,
    wait: Duration,
}

impl Server {
    /// Writes `executable` into `folder`, which nobody else may write to, and
    /// starts it with nothing in its environment but that folder and the GPU.
    /// What it prints goes nowhere.
    ///
    /// # Errors
    /// [`CudaError::Start`].
    pub fn start(executable: &[u8], folder: &Path) -> Result<Self, CudaError> {
        let path = folder.join(NAME);
        let start = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o700)
                .open(&path)?
                .write_all(executable)?;
            Command::new(&path)
                .current_dir(folder)
                .env_clear()
                .env("CUDA_VISIBLE_DEVICES", "0")
                .env("HOME", folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        Ok(Self {
            child: start().map_err(CudaError::Start)?,
            socket: folder.join(SOCKET),
            wait: START,
        })
    }

    /// Has a proof made. It waits as long as that takes, or until the server
    /// ends; whoever sets a job's time limit ends this process.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn prove(&mut self, task: &Task<'_>) -> Result<ProofFromNetwork, CudaError> {
        let mut stream = self.connect()?;
        let setup = Request::Setup {
            elf: task.elf,
            machine: SerializableRiscvMachine,
        };
        let Response::Setup { id, vk } = exchange(&mut stream, &setup)? else {
            return Err(CudaError::Protocol);
        };
        if program::digest(&vk) != program::digest(task.key) {
            return Err(CudaError::Key);
        }
        let prove = Request::ProveWithMode {
            mode: task.mode,
            key: id,
            stdin: task.stdin,
            proof_nonce: task.nonce,
        };
        match exchange(&mut stream, &prove)? {
            Response::Proof { proof } => Ok(proof),
            _ => Err(CudaError::Protocol),
        }
    }

    fn connect(&mut self) -> Result<UnixStream, CudaError> {
        let until = Instant::now() + self.wait;
        loop {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                return Ok(stream);
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(CudaError::Ended);
            }
            if Instant::now() >= until {
                return Err(CudaError::Silent);
            }
            thread::sleep(TRY);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request and its answer, which is not a failure.
fn exchange<S: Read + Write>(stream: &mut S, request: &Request<'_>) -> Result<Response, CudaError> {
    let body = bincode::serialize(request).map(Zeroizing::new);
    let body = body.map_err(|_| CudaError::Protocol)?;
    let len = u32::try_from(body.len()).map_err(|_| CudaError::TooLarge)?;
    stream.write_all(&len.to_le_bytes()).map_err(ended)?;
    stream.write_all(&body).map_err(ended)?;

    let mut len = [0; 4];
    stream.read_exact(&mut len).map_err(ended)?;
    let len = u32::from_le_bytes(len);
    if len > MAX_ANSWER {
        return Err(CudaError::Protocol);
    }
    // Memory is taken as bytes arrive.
    let mut answer = Zeroizing::new(Vec::new());
    let read = stream.take(len.into()).read_to_end(&mut answer);
    if read.map_err(ended)? as u64 != u64::from(len) {
        return Err(CudaError::Ended);
    }
    match bincode::deserialize(&answer).map_err(|_| CudaError::Protocol)? {
        Response::ProverError(_) | Response::InternalError(_) => Err(CudaError::Failed),
        Response::ConnectionClosed => Err(CudaError::Ended),
        other => Ok(other),
    }
}

/// Whatever is wrong with a socket to a process of one's own, that process hung
/// up.
fn ended(_: io::Error) -> CudaError {
    CudaError::Ended
}

#[cfg(test)]
mod tests;
