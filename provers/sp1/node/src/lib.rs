//! SP1's own prover, put together so that it does at its start only what the
//! mode needs.
//!
//! A crate of its own, and every future in its interface a box, so that the
//! minutes of compiling SP1's generic code are spent here, once, and not in
//! every crate that calls it.

pub mod keys;
pub mod lazy;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use sp1_core_executor::{ExecutionReport, Program, SP1Context, SP1CoreOpts};
use sp1_core_machine::io::SP1Stdin;
use sp1_core_machine::riscv::RiscvAir;
use sp1_hypercube::SP1VerifyingKey;
use sp1_hypercube::prover::{AirProver as _, CpuShardProver, ProverSemaphore, ProvingKey};
use sp1_primitives::SP1GlobalContext;
use sp1_prover::worker::{
    ProofFromNetwork, SP1ExecutorConfig, SP1LocalNode, SP1LocalNodeBuilder, SP1NodeCore,
    SP1WorkerBuilder, execute_with_options,
};
use sp1_prover::{
    CoreSC, CpuSP1ProverComponents, RecursionSC, SP1ProverComponents, WrapProverBuilder,
};

use sp1_prover_types::network_base_types::ProofMode;

use lazy::{Known, LazyProver, Lookup};

/// A future whose code is compiled here.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type CpuCore = <CpuSP1ProverComponents as SP1ProverComponents>::CoreProver;
type CpuRecursion = <CpuSP1ProverComponents as SP1ProverComponents>::RecursionProver;
type CpuWrap = <CpuSP1ProverComponents as SP1ProverComponents>::WrapProver;

/// Provers at work at once; SP1's own default.
const PERMITS: usize = 4;

/// SP1's CPU prover with [`LazyProver`] in the places where it sets up.
pub struct Components;

/// Makes the wrap prover when a wrap proof is asked for.
pub struct WrapBuilder;

impl WrapProverBuilder<Components> for WrapBuilder {
    fn build(&self) -> Arc<CpuWrap> {
        let verifier = Components::wrap_verifier();
        Arc::new(CpuShardProver::new(verifier.shard_verifier().clone()))
    }
}

impl SP1ProverComponents for Components {
    type CoreProver = LazyProver<SP1GlobalContext, CoreSC, CpuCore>;
    type RecursionProver = LazyProver<SP1GlobalContext, RecursionSC, CpuRecursion>;
    type WrapProver = CpuWrap;
    type WrapProverBuilder = WrapBuilder;
}

/// A guest's program with its keys.
#[derive(Clone)]
pub struct Loaded {
    /// The program.
    pub program: Arc<Program>,
    /// Its verifying key, computed here.
    pub verifying_key: SP1VerifyingKey,
    proving_key: Arc<ProvingKey<SP1GlobalContext, CoreSC, CpuCore>>,
}

impl Loaded {
    /// Sets `program` up: commits to it. Seconds of computation.
    pub async fn new(program: Program) -> Self {
        let program = Arc::new(program);
        let verifier = CpuSP1ProverComponents::core_verifier(RiscvAir::machine());
        let prover = CpuShardProver::new(verifier.shard_verifier().clone());
        let (made, vk) = prover.setup(program.clone(), ProverSemaphore::new(1)).await;
        Self {
            program,
            verifying_key: SP1VerifyingKey { vk },
            proving_key: made.pk,
        }
    }
}

/// The one program that a process serves, once it is loaded.
pub type Slot = Arc<OnceLock<Loaded>>;

/// How much of SP1's recursion a node can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None: core proofs only.
    Core,
    /// All of it.
    Recursive,
}

/// SP1's prover for one program.
#[derive(Clone)]
pub struct Node(SP1LocalNode);

impl Node {
    /// One that proves the program in `slot`, which may be filled later.
    pub fn build(depth: Depth, slot: Slot, opts: SP1CoreOpts) -> Boxed<anyhow::Result<Self>> {
        let core: Lookup<SP1GlobalContext, CoreSC, CpuCore> = Box::new(move |program| {
            let loaded = slot.get()?;
            (loaded.program.instructions_encoded == program.instructions_encoded
                && loaded.program.memory_image == program.memory_image
                && loaded.program.pc_start_abs == program.pc_start_abs
                && loaded.program.pc_base == program.pc_base)
                .then(|| Known {
                    verifying_key: loaded.verifying_key.vk.clone(),
                    proving_key: Some(loaded.proving_key.clone()),
                    heights: None,
                })
        });
        let recursion = || recursion_lookup(keys::table());
        Self::build_with(depth, core, recursion(), recursion(), opts)
    }

    /// [`Node::build`] with lookups of one's own.
    pub fn build_with(
        depth: Depth,
        core: Lookup<SP1GlobalContext, CoreSC, CpuCore>,
        compress: Lookup<SP1GlobalContext, RecursionSC, CpuRecursion>,
        shrink: Lookup<SP1GlobalContext, RecursionSC, CpuRecursion>,
        opts: SP1CoreOpts,
    ) -> Boxed<anyhow::Result<Self>> {
        Box::pin(async move {
            let node = assemble(depth, core, compress, shrink, opts).await?;
            Ok(Self(node))
        })
    }

    /// A proof that `elf`, given `stdin`, ends well. SP1 says no more of a
    /// failure than that there was one.
    pub fn prove(
        &self,
        elf: Arc<Vec<u8>>,
        stdin: SP1Stdin,
        context: SP1Context<'static>,
        mode: ProofMode,
    ) -> Boxed<anyhow::Result<ProofFromNetwork>> {
        let node = self.0.clone();
        Box::pin(async move { node.prove_with_mode(&elf, stdin, context, mode).await })
    }

    /// What verifies proofs.
    pub fn verifier(&self) -> SP1NodeCore {
        self.0.core().clone()
    }
}

/// Runs a program and counts its instructions and SP1's gas.
pub fn meter(
    program: Arc<Program>,
    stdin: SP1Stdin,
    context: SP1Context<'static>,
    opts: SP1CoreOpts,
) -> Boxed<anyhow::Result<ExecutionReport>> {
    Box::pin(async {
        let config = SP1ExecutorConfig::default();
        let (_, _, report) = execute_with_options(program, stdin, context, opts, config).await?;
        Ok(report)
    })
}

fn recursion_lookup(
    table: Vec<keys::RecursionKey>,
) -> Lookup<SP1GlobalContext, RecursionSC, CpuRecursion> {
    Box::new(move |program| {
        let id = keys::identify(program);
        let line = table.iter().find(|line| line.program == id)?;
        Some(Known {
            verifying_key: line.verifying_key.clone(),
            proving_key: None,
            heights: Some(line.heights.clone()),
        })
    })
}

async fn assemble(
    depth: Depth,
    core: Lookup<SP1GlobalContext, CoreSC, CpuCore>,
    compress: Lookup<SP1GlobalContext, RecursionSC, CpuRecursion>,
    shrink: Lookup<SP1GlobalContext, RecursionSC, CpuRecursion>,
    opts: SP1CoreOpts,
) -> anyhow::Result<SP1LocalNode> {
    let machine = RiscvAir::machine();
    let permits = ProverSemaphore::new(PERMITS);
    let core_verifier = Components::core_verifier(machine.clone());
    let core_prover = LazyProver::new(
        CpuShardProver::new(core_verifier.shard_verifier().clone()),
        core,
    );
    let compress_verifier = Components::compress_verifier();
    let compress_prover = LazyProver::new(
        CpuShardProver::new(compress_verifier.shard_verifier().clone()),
        compress,
    );
    let shrink_verifier = Components::shrink_verifier();
    let shrink_prover = LazyProver::new(
        CpuShardProver::new(shrink_verifier.shard_verifier().clone()),
        shrink,
    );
    let worker = SP1WorkerBuilder::<Components>::new_with_machine(machine)
        .with_core_opts(opts)
        .with_core_air_prover(Arc::new(core_prover), permits.clone())
        .with_compress_air_prover(Arc::new(compress_prover), permits.clone())
        .with_shrink_air_prover(Arc::new(shrink_prover), permits.clone())
        .with_wrap_air_prover(WrapBuilder, permits)
        .with_config(|config| {
            if depth == Depth::Core {
                config
                    .prover_config
                    .recursion_prover_config
                    .max_compose_arity = 0;
            }
        });
    SP1LocalNodeBuilder::from_worker_client_builder(worker)
        .build()
        .await
}
