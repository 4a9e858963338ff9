//! The one stage: from a guest and its input to a verified proof. The process
//! that serves it runs a guest's code, so it serves one job.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::{Abandon, Loader, Reporter, Stage, StageOutput, Start};
use soundproof_prover::wire::{Job, Program};
use soundproof_sp1_node::{Depth, Node, Slot};
use sp1_core_executor::{SP1Context, SP1CoreOpts};
use sp1_core_machine::io::SP1Stdin;
use sp1_hypercube::SP1VerifyingKey;
use sp1_prover::worker::{ProofFromNetwork, SP1Proof};
use sp1_prover_types::network_base_types::ProofMode;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::modes::Mode;
use crate::progress::Tasks;
use crate::{execute, program, stdin, verify, wrap};

/// The stage's name.
pub const PROVE: &str = "prove";
/// Role of the program part that is the guest's ELF.
pub const ELF: &str = "elf";
/// Role of the program part that names the verifying key.
pub const VERIFYING_KEY: &str = "verifying_key";
/// Bytes of an input at most, unpacked.
const MAX_STDIN: u64 = 1 << 30;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(500);

/// A proof on its way.
type Proving = JoinHandle<Result<ProofFromNetwork, Failure>>;

/// See the module.
pub struct Prove {
    runtime: Runtime,
    opts: SP1CoreOpts,
    folder_bytes: u64,
    tasks: Tasks,
    slot: Slot,
    /// A node for core proofs, made ahead.
    core: Option<JoinHandle<anyhow::Result<Node>>>,
    /// The program that is loaded, by its parts.
    loaded: Option<(Program, Zeroizing<Vec<u8>>)>,
    /// What proves in the node's place.
    #[cfg(feature = "cuda")]
    gpu: Option<Result<cuda::Server, cuda::CudaError>>,
}

impl Prove {
    /// Starts the threads, and a node for core proofs on them.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn new(start: &Start) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let opts = SP1CoreOpts {
            memory_limit: start.memory_bytes,
            ..SP1CoreOpts::default()
        };
        #[cfg(feature = "cuda")]
        let gpu = cuda::Server::start(cuda::SERVER, cuda::FOLDER.as_ref());
        let slot = Slot::default();
        let core = runtime.spawn(Node::build(Depth::Core, slot.clone(), opts.clone()));
        Ok(Self {
            runtime,
            opts,
            folder_bytes: start.folder_bytes,
            tasks: Tasks::watch(),
            slot,
            core: Some(core),
            loaded: None,
            #[cfg(feature = "cuda")]
            gpu: Some(gpu),
        })
    }

    /// A node for `mode`: the one that was made ahead, or a deeper one.
    fn node(&mut self, mode: Mode) -> Result<Node, Failure> {
        let failed = || Failure::new(Code::ProverPanic, "SP1's node did not start");
        let core = self.core.take().ok_or_else(failed)?;
        if mode == Mode::Core {
            let built = self.runtime.block_on(core).map_err(|_| failed())?;
            return built.map_err(|_| failed());
        }
        core.abort();
        let build = Node::build(Depth::Recursive, self.slot.clone(), self.opts.clone());
        self.runtime.block_on(build).map_err(|_| failed())
    }

    fn load_elf(&mut self, wanted: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        let part = |role: &str| wanted.parts.iter().find(|part| part.role == role);
        let missing = || Failure::new(Code::ProgramPartMissing, ELF);
        let elf = loader.source(&part(ELF).ok_or_else(missing)?.digest, program::MAX_ELF)?;
        let key = part(VERIFYING_KEY)
            .map(|part| loader.source(&part.digest, program::KEY_BYTES))
            .transpose()?;
        let expected = key.as_ref().map(|key| key.as_slice());
        let loaded = self.runtime.block_on(program::load(&elf, expected))?;
        // One program for a process's life: the keeper never sends a second.
        self.slot
            .set(loaded)
            .map_err(|_| Failure::new(Code::ProverProtocol, "a second program"))?;
        self.loaded = Some((wanted.clone(), elf));
        Ok(())
    }
}

impl Stage for Prove {
    fn load(&mut self, wanted: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        match &self.loaded {
            Some((loaded, _)) if loaded.parts == wanted.parts => Ok(()),
            _ => self.load_elf(wanted, loader),
        }
    }

    fn run(
        &mut self,
        job: &Job,
        input: Zeroizing<Vec<u8>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        let mode = Mode::from_name(&job.mode)
            .filter(|mode| mode.info(self.folder_bytes).offered())
            .ok_or_else(|| Failure::new(Code::ModeUnavailable, ""))?;
        let not_loaded = || Failure::new(Code::ProverProtocol, "a job before its program");
        let loaded = self.slot.get().cloned().ok_or_else(not_loaded)?;
        let (_, elf) = self.loaded.take().ok_or_else(not_loaded)?;
        let stdin = stdin::read(input, MAX_STDIN.min(job.limits.memory_bytes / 4))?;

        reporter.progress("execute", 0)?;
        self.runtime.block_on(execute::execute(
            loaded.program.clone(),
            &stdin,
            &job.limits,
            &self.opts,
        ))?;

        if let Some(circuits) = wrap::circuits(mode) {
            reporter.progress("circuits", 0)?;
            circuits
                .copy()
                .map_err(|error| Failure::new(Code::ModeUnavailable, error.to_string()))?;
        }
        reporter.progress("setup", 0)?;
        let node = self.node(mode)?;
        check_deferred(&node, &stdin)?;
        let context = SP1Context {
            proof_nonce: nonce(job)?,
            ..SP1Context::default()
        };
        let key = loaded.verifying_key;
        let elf = Arc::new(elf.to_vec()); // public
        #[cfg(feature = "cuda")]
        let proving = self.start_on_gpu(elf, &key, stdin, context.proof_nonce, mode)?;
        #[cfg(not(feature = "cuda"))]
        let proving = self.start(&node, elf, stdin, context, mode);
        let proof = self.wait(proving, reporter)?;
        reporter.progress("verify", 0)?;
        let verifier = node.verifier();
        verify::verify(&verifier, &proof, &key)
            .map_err(|error| Failure::new(Code::ProofInvalid, error.to_string()))?;
        Ok(output(&proof, &key)?)
    }
}

impl Prove {
    #[cfg(not(feature = "cuda"))]
    fn start(
        &self,
        node: &Node,
        elf: Arc<Vec<u8>>,
        stdin: SP1Stdin,
        context: SP1Context<'static>,
        mode: Mode,
    ) -> Proving {
        let proof = node.prove(elf, stdin, context, ProofMode::from(mode));
        self.runtime.spawn(async {
            // What SP1 says here is "controller task failed".
            proof.await.map_err(|_| failed())
        })
    }

    #[cfg(feature = "cuda")]
    fn start_on_gpu(
        &mut self,
        elf: Arc<Vec<u8>>,
        key: &SP1VerifyingKey,
        stdin: SP1Stdin,
        nonce: [u32; 4],
        mode: Mode,
    ) -> Result<Proving, Failure> {
        let mut server = self.gpu.take().ok_or_else(failed)??;
        let key = key.clone();
        Ok(self.runtime.spawn_blocking(move || {
            let task = cuda::Task {
                elf: &elf,
                key: &key,
                stdin: &stdin,
                nonce,
                mode: ProofMode::from(mode),
            };
            Ok(server.prove(&task)?)
        }))
    }

    /// Waits for the proof and tells how far it is.
    fn wait(
        &self,
        mut proving: Proving,
        reporter: &mut Reporter<'_>,
    ) -> Result<ProofFromNetwork, Abandon> {
        let tasks = self.tasks.clone();
        self.runtime.block_on(async move {
            let mut told = tokio::time::interval(TELL);
            loop {
                tokio::select! {
                    done = &mut proving => return Ok(done.map_err(|_| failed())??),
                    _ = told.tick() => {
                        let (phase, permille) = tasks.now();
                        reporter.progress(phase, permille)?;
                    }
                }
            }
        })
    }
}

fn failed() -> Failure {
    Failure::new(Code::ProverPanic, "SP1's prover")
}

/// Proofs inside the input must be what they say before they are built on.
fn check_deferred(node: &Node, stdin: &SP1Stdin) -> Result<(), Failure> {
    let verifier = node.verifier();
    for (index, (proof, key)) in stdin.proofs.iter().enumerate() {
        let key = SP1VerifyingKey { vk: key.clone() };
        verifier
            .verify(&key, &SP1Proof::Compressed(Box::new(proof.clone())))
            .map_err(|_| {
                let detail = format!("proof {index} inside the input does not verify");
                Failure::new(Code::StdinInvalid, detail)
            })?;
    }
    Ok(())
}

/// A proof's nonce, which makes it unlike any other of the same statement: from
/// the operating system's randomness and the client's, bound to the job.
fn nonce(job: &Job) -> Result<[u32; 4], Failure> {
    let mut system = Zeroizing::new([0u8; 32]);
    getrandom::fill(system.as_mut_slice())
        .map_err(|_| Failure::new(Code::ProverPanic, "no randomness"))?;
    Ok(mixed(&system, &job.entropy.0, &job.description))
}

fn mixed(system: &[u8; 32], client: &[u8; 32], description: &Digest) -> [u32; 4] {
    let digest = Sha256::new()
        .chain_update(b"soundproof/sp1/nonce/v1")
        .chain_update(system)
        .chain_update(client)
        .chain_update(description.0)
        .finalize();
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<4>().0) {
        // Below 2^30, so below the field's modulus.
        *word = u32::from_le_bytes(*bytes) >> 2;
    }
    words
}

/// The proof as SP1's SDK downloads it, and one byte more, an absent
/// `tee_proof`, so that its `load` reads it from a file too.
fn output(proof: &ProofFromNetwork, key: &SP1VerifyingKey) -> Result<StageOutput, Failure> {
    let unsaid = |_| Failure::new(Code::ProverPanic, "the proof cannot be encoded");
    let mut bytes = Zeroizing::new(bincode::serialize(proof).map_err(unsaid)?);
    bytes.push(0);
    Ok(StageOutput::Result {
        proof: bytes,
        public: Zeroizing::new(proof.public_values.to_vec()),
        verified: true,
        verifying_key: Some(program::digest(key).to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken if somebody who knows one source could foresee the nonce.
    #[test]
    fn every_source_matters() {
        let base = mixed(&[1; 32], &[2; 32], &Digest([3; 32]));
        assert_eq!(base, mixed(&[1; 32], &[2; 32], &Digest([3; 32])));
        for other in [
            mixed(&[9; 32], &[2; 32], &Digest([3; 32])),
            mixed(&[1; 32], &[9; 32], &Digest([3; 32])),
            mixed(&[1; 32], &[2; 32], &Digest([9; 32])),
        ] {
            assert_ne!(base, other);
        }
        assert!(base.iter().all(|word| *word < 1 << 30));
    }
}
