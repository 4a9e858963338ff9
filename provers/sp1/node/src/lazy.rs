//! A prover whose proving keys are made when they are first used, and not at
//! all where they are at hand.
//!
//! SP1's worker sets six recursion programs up one after another before it
//! takes its first proof: commitments to preprocessed traces, seconds each. A
//! core proof uses none of them and a compressed one two or three. And it
//! commits to a guest's program once more for every proof, and again for every
//! shard. All of it is public and always the same. What must be there when it
//! asks is the verifying key, and that is [`Known`].
//!
//! A key that was wrong in the table could not make a wrong proof pass: every
//! proof is verified before it leaves, with keys that do not come from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use slop_challenger::IopCtx;
use sp1_hypercube::prover::{
    AirProver, PcsProof, PreprocessedData, Program, ProverPermit, ProverSemaphore, ProvingKey,
    Record,
};
use sp1_hypercube::{Machine, MachineVerifyingKey, ShardContext, ShardProof};
use tokio::sync::OnceCell;

/// What is known of a program without setting it up.
pub struct Known<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> {
    /// Its verifying key.
    pub verifying_key: MachineVerifyingKey<GC>,
    /// Its proving key, if it was made already.
    pub proving_key: Option<Arc<ProvingKey<GC, SC, P>>>,
    /// Heights of its preprocessed tables, if they are known.
    pub heights: Option<BTreeMap<String, usize>>,
}

/// Looks a program up.
pub type Lookup<GC, SC, P> =
    Box<dyn Fn(&Program<GC, SC>) -> Option<Known<GC, SC, P>> + Send + Sync>;

/// See the module.
pub struct LazyProver<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> {
    inner: Arc<P>,
    known: Lookup<GC, SC, P>,
}

/// A proving key, or what it is made of.
pub struct LazyKey<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> {
    prover: Arc<P>,
    program: Arc<Program<GC, SC>>,
    heights: Option<BTreeMap<String, usize>>,
    key: OnceCell<Arc<ProvingKey<GC, SC, P>>>,
}

impl<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> LazyKey<GC, SC, P> {
    async fn get(&self) -> Arc<ProvingKey<GC, SC, P>> {
        let make = || async {
            // A semaphore of its own: the caller may hold the last permit.
            let setup = self
                .prover
                .setup(self.program.clone(), ProverSemaphore::new(1));
            setup.await.0.pk
        };
        self.key.get_or_init(make).await.clone()
    }
}

impl<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> LazyProver<GC, SC, P> {
    /// Around `inner`; `known` is asked once for each set-up.
    pub fn new(inner: P, known: Lookup<GC, SC, P>) -> Self {
        Self {
            inner: Arc::new(inner),
            known,
        }
    }
}

impl<GC: IopCtx, SC: ShardContext<GC>, P: AirProver<GC, SC>> AirProver<GC, SC>
    for LazyProver<GC, SC, P>
{
    type PreprocessedData = LazyKey<GC, SC, P>;

    fn machine(&self) -> &Machine<GC::F, SC::Air> {
        self.inner.machine()
    }

    async fn setup_from_vk(
        &self,
        program: Arc<Program<GC, SC>>,
        vk: Option<MachineVerifyingKey<GC>>,
        permits: ProverSemaphore,
    ) -> (
        PreprocessedData<ProvingKey<GC, SC, Self>>,
        MachineVerifyingKey<GC>,
    ) {
        let (known, permit) = match (self.known)(&program) {
            Some(known) => {
                // The semaphore is never closed.
                let permit = permits.acquire().await.expect("a semaphore that is open");
                (known, permit)
            }
            None => {
                let (made, verifying_key) =
                    self.inner.setup_from_vk(program.clone(), vk, permits).await;
                let known = Known {
                    verifying_key,
                    proving_key: Some(made.pk),
                    heights: None,
                };
                (known, made.permit)
            }
        };
        let lazy = LazyKey {
            prover: self.inner.clone(),
            program,
            heights: known.heights,
            key: OnceCell::new_with(known.proving_key),
        };
        let pk = Arc::new(ProvingKey {
            vk: known.verifying_key.clone(),
            preprocessed_data: lazy,
        });
        (PreprocessedData { pk, permit }, known.verifying_key)
    }

    async fn setup_and_prove_shard(
        &self,
        program: Arc<Program<GC, SC>>,
        record: Record<GC, SC>,
        vk: Option<MachineVerifyingKey<GC>>,
        permits: ProverSemaphore,
    ) -> (
        MachineVerifyingKey<GC>,
        ShardProof<GC, PcsProof<GC, SC>>,
        ProverPermit,
    ) {
        if let Some(Known {
            verifying_key,
            proving_key: Some(key),
            ..
        }) = (self.known)(&program)
        {
            let (proof, permit) = self.inner.prove_shard_with_pk(key, record, permits).await;
            return (verifying_key, proof, permit);
        }
        self.inner
            .setup_and_prove_shard(program, record, vk, permits)
            .await
    }

    async fn prove_shard_with_pk(
        &self,
        pk: Arc<ProvingKey<GC, SC, Self>>,
        record: Record<GC, SC>,
        permits: ProverSemaphore,
    ) -> (ShardProof<GC, PcsProof<GC, SC>>, ProverPermit) {
        let key = pk.preprocessed_data.get().await;
        self.inner.prove_shard_with_pk(key, record, permits).await
    }

    async fn preprocessed_table_heights(
        pk: Arc<ProvingKey<GC, SC, Self>>,
    ) -> BTreeMap<String, usize> {
        match &pk.preprocessed_data.heights {
            Some(heights) => heights.clone(),
            None => P::preprocessed_table_heights(pk.preprocessed_data.get().await).await,
        }
    }
}
