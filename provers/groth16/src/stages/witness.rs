//! Stage `witness`: a circuit's generator, compiled or taken as compiled by an
//! earlier process, instantiated before the input comes, and run on it once.

use std::time::Duration;

use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::{Abandon, Loader, Reporter, Stage, StageOutput, Start};
use soundproof_prover::wire::{Job, Program as Parts};
use soundproof_prover_groth16::witgen::{Generator, Limits, MAX_WASM_BYTES, Program};
use zeroize::Zeroizing;

use super::failure::of_witgen;
use super::{GENERATOR, contained, part, start_workers};

/// Compiled code is some times larger than WebAssembly.
const MAX_DERIVED_BYTES: u64 = 8 * MAX_WASM_BYTES as u64;
/// For what a generator does before the input is there.
const READY_TIME: Duration = Duration::from_secs(10);
/// Memory of the process that is not the generator's, at least.
const OVERHEAD: u64 = 64 << 20;

/// One job's witness.
pub(crate) struct Witness {
    /// Bytes of memory that a generator may have at all.
    memory: usize,
    start: Start,
    ready: Option<Generator>,
}

impl Witness {
    pub(crate) fn new(start: &Start) -> Self {
        let memory = start.memory_bytes.saturating_sub(OVERHEAD);
        Self {
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            start: start.clone(),
            ready: None,
        }
    }

    fn prepare(&self, parts: &Parts, loader: &mut Loader<'_>) -> Result<Generator, Abandon> {
        let digest = part(parts, GENERATOR)?;
        let program = if parts.derived.contains(&digest) {
            let derived = loader.derived(&digest, MAX_DERIVED_BYTES)?;
            Program::from_derived(&derived).map_err(|error| of_witgen(&error))?
        } else {
            let wasm = loader.source(&digest, MAX_WASM_BYTES as u64)?;
            // The compiler's; besides the first there is one that keeps the time.
            start_workers(&self.start, 2);
            let program = Program::compile(&wasm).map_err(|error| of_witgen(&error))?;
            // Before any of the program runs: what the keeper keeps for later
            // processes is this compiler's work and nobody else's.
            let derived = program.to_derived().map_err(|error| of_witgen(&error))?;
            loader.keep(&digest, &derived)?;
            program
        };
        let limits = Limits {
            memory: self.memory,
            time: READY_TIME,
        };
        Ok(program
            .instantiate(limits)
            .map_err(|error| of_witgen(&error))?)
    }
}

impl Stage for Witness {
    fn load(&mut self, parts: &Parts, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        self.ready = None;
        self.ready = Some(contained(|| self.prepare(parts, loader))?);
        Ok(())
    }

    fn run(
        &mut self,
        job: &Job,
        input: Zeroizing<Vec<u8>>,
        _: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        let Some(generator) = self.ready.take() else {
            // A second job: the keeper would have broken its own rule.
            return Err(Failure::new(Code::ProverProtocol, "").into());
        };
        let memory = usize::try_from(job.limits.memory_bytes).unwrap_or(usize::MAX);
        let limits = Limits {
            memory: memory.min(self.memory),
            time: Duration::from_millis(job.limits.time_ms),
        };
        contained(|| {
            let witness = generator.run(&input, limits);
            let witness = witness.map_err(|error| of_witgen(&error))?;
            Ok(StageOutput::Intermediate(witness))
        })
    }
}
