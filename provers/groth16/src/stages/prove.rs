//! Stage `prove`: from a witness to a proof that was verified. Runs no program
//! code, so it stays warm, with its threads and prepared keys.

use std::collections::HashSet;
use std::sync::Arc;

use soundproof_proofs::groth16::{MAX_VERIFYING_KEY_BYTES, VerifyingKey};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::{Abandon, Loader, Reporter, Stage, StageOutput, Start};
use soundproof_prover::hygiene::scrub_stack;
use soundproof_prover::wire::{Job, Program};
use soundproof_prover_groth16::cache::KeyCache;
use soundproof_prover_groth16::{ProveError, ProvingKey, Randomness, Witness, prove};
use zeroize::Zeroizing;

use super::failure::{of_prove, of_verifying_key, of_wtns, of_zkey};
use super::{PROVING_KEY, VERIFYING_KEY, contained, part, start_workers};

/// Most bytes of prepared keys that are kept, whatever the process may have.
const CACHE_BYTES: u64 = 2 << 30;
/// A key is in memory up to this many times while it is read.
const COPIES: u64 = 5;
/// Pairs of keys that are known to belong together.
const MAX_PAIRS: usize = 4096;
/// KiB of each worker's stack (2 MiB) that are overwritten after a job.
const SCRUB_KIB: usize = 1024;

/// Proofs, one after the other.
pub(crate) struct Prove {
    max_key: u64,
    keys: KeyCache,
    /// (proving key, verifying key) by digest, found to have the same elements.
    pairs: HashSet<(Digest, Digest)>,
    loaded: Option<Arc<ProvingKey>>,
}

impl Prove {
    pub(crate) fn new(start: &Start) -> Self {
        let cache = CACHE_BYTES.min(start.memory_bytes / 4);
        // The first thread waits for the others.
        start_workers(start, 1);
        Self {
            max_key: start.memory_bytes / COPIES,
            keys: KeyCache::new(usize::try_from(cache).unwrap_or(usize::MAX)),
            pairs: HashSet::new(),
            loaded: None,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        loader: &mut Loader<'_>,
    ) -> Result<Arc<ProvingKey>, Abandon> {
        let digest = part(program, PROVING_KEY)?;
        let verifying = part(program, VERIFYING_KEY)?;
        let key = match self.keys.get(digest.as_bytes()) {
            Some(key) => key,
            None => {
                let zkey = loader.source(&digest, self.max_key)?;
                let key = Arc::new(ProvingKey::from_zkey(&zkey).map_err(of_zkey)?);
                self.keys.insert(*digest.as_bytes(), Arc::clone(&key));
                key
            }
        };
        if !self.pairs.contains(&(digest, verifying)) {
            let json = loader.source(&verifying, MAX_VERIFYING_KEY_BYTES as u64)?;
            let expected = VerifyingKey::from_json(&json).map_err(|e| of_verifying_key(&e))?;
            if expected != *key.verifying_key() {
                return Err(of_prove(ProveError::VerifyingKeyMismatch).into());
            }
            if self.pairs.len() >= MAX_PAIRS {
                self.pairs.clear();
            }
            self.pairs.insert((digest, verifying));
        }
        Ok(key)
    }
}

impl Stage for Prove {
    fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        self.loaded = None;
        self.loaded = Some(contained(|| self.prepare(program, loader))?);
        Ok(())
    }

    fn run(
        &mut self,
        job: &Job,
        input: Zeroizing<Vec<u8>>,
        _: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        let Some(key) = self.loaded.clone() else {
            return Err(Failure::new(Code::ProverProtocol, "").into());
        };
        let result = contained(|| make(&key, job, &input));
        drop(input);
        rayon::broadcast(|_| scrub_stack(SCRUB_KIB));
        result
    }
}

fn make(key: &ProvingKey, job: &Job, input: &[u8]) -> Result<StageOutput, Abandon> {
    let witness = Witness::from_wtns(input).map_err(of_wtns)?;
    let randomness = Randomness::from_system(&job.entropy.0, job.description.as_bytes())
        .map_err(|_| Failure::new(Code::Internal, "no randomness"))?;
    // `load` found this verifying key to be the one that the description names.
    let proven = prove(key, key.verifying_key(), &witness, randomness).map_err(of_prove)?;
    Ok(StageOutput::Result {
        proof: Zeroizing::new(proven.proof.to_json().into_bytes()),
        public: Zeroizing::new(proven.public.to_json().into_bytes()),
        verified: true,
        verifying_key: None,
    })
}
