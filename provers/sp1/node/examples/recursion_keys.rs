//! Makes `src/recursion_keys.bin`, or with `--check` compares it with
//! what this build computes. Minutes of computation. Needs the feature
//! `recursion-keys`, so that it is not built with everything.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use soundproof_sp1_node::keys::{RecursionKey, identify};
use soundproof_sp1_node::{Depth, Node};
use sp1_core_executor::SP1CoreOpts;
use sp1_hypercube::prover::{AirProver, CpuShardProver, ProverSemaphore};
use sp1_primitives::{SP1Field, SP1GlobalContext};
use sp1_prover::{CpuSP1ProverComponents, RecursionSC, SP1ProverComponents};
use sp1_recursion_executor::RecursionProgram;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/recursion_keys.bin");

type Recursion = <CpuSP1ProverComponents as SP1ProverComponents>::RecursionProver;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<RecursionProgram<SP1Field>>>>);

impl Seen {
    fn lookup(
        &self,
    ) -> soundproof_sp1_node::lazy::Lookup<SP1GlobalContext, RecursionSC, Recursion> {
        let seen = self.0.clone();
        Box::new(move |program| {
            seen.lock().unwrap().push(program.clone());
            None
        })
    }
}

async fn lines(seen: Seen, prover: &Recursion) -> Vec<RecursionKey> {
    let programs = std::mem::take(&mut *seen.0.lock().unwrap());
    let mut lines = Vec::new();
    for program in programs {
        let id = identify(&program);
        let (made, verifying_key) = prover
            .setup(Arc::new(program), ProverSemaphore::new(1))
            .await;
        let heights =
            <Recursion as AirProver<SP1GlobalContext, RecursionSC>>::preprocessed_table_heights(
                made.pk,
            )
            .await;
        println!("{} {heights:?}", hex::encode(id));
        lines.push(RecursionKey {
            program: id,
            verifying_key,
            heights,
        });
    }
    lines
}

#[tokio::main]
async fn main() {
    let (compress, shrink) = (Seen::default(), Seen::default());
    let node = Node::build_with(
        Depth::Recursive,
        Box::new(|_| None),
        compress.lookup(),
        shrink.lookup(),
        SP1CoreOpts::default(),
    )
    .await
    .expect("SP1's node");
    drop(node);
    let verifier = CpuSP1ProverComponents::compress_verifier();
    let prover = CpuShardProver::new(verifier.shard_verifier().clone());
    let mut table = lines(compress, &prover).await;
    let verifier = CpuSP1ProverComponents::shrink_verifier();
    let prover = CpuShardProver::new(verifier.shard_verifier().clone());
    table.extend(lines(shrink, &prover).await);

    let bytes = bincode::serialize(&table).unwrap();
    if std::env::args().any(|argument| argument == "--check") {
        assert_eq!(
            std::fs::read(TABLE).unwrap(),
            bytes,
            "{TABLE} is not of this build"
        );
        println!("{TABLE} is what this build computes");
    } else {
        std::fs::write(TABLE, bytes).unwrap();
        println!("{TABLE} written");
    }
}
