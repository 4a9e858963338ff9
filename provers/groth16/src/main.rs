//! The Groth16 prover's executable. The keeper starts it, one process a stage;
//! it confines itself and speaks with its keeper over standard input and output.
//!
//! | stage | runs program code | keeps | input | output |
//! |---|---|---|---|---|
//! | `witness` | yes: one job a process | nothing | JSON of signals | `.wtns` |
//! | `prove` | no: stays warm | prepared keys | `.wtns` | `proof.json`, `public.json` |
//!
//! Freed memory is zeroed by the allocator, stacks are overwritten after each
//! job, and a panic says nothing: its words could hold a piece of a witness.

mod stages;

use std::process::ExitCode;

use soundproof_protocol::mode::ModeInfo;
use soundproof_prover::child::{self, Prover, Start};
use soundproof_prover::wire::StageInfo;

#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    child::main(prover(), |start: &Start| match start.stage.as_str() {
        stages::WITNESS => Box::new(stages::Witness::new(start)),
        // The caller has checked that the stage is one of the list.
        _ => Box::new(stages::Prove::new(start)),
    })
}

fn prover() -> Prover {
    let stage = |name: &str, runs_program, parts: &[&str]| StageInfo {
        name: name.into(),
        runs_program,
        parts: parts.iter().map(|part| (*part).into()).collect(),
        folder_bytes: 0,
        gpu: false,
    };
    Prover {
        system: "groth16".into(),
        version: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
        modes: vec![ModeInfo::hiding("groth16")],
        stages: vec![
            stage(stages::WITNESS, true, &[stages::GENERATOR]),
            stage(
                stages::PROVE,
                false,
                &[stages::PROVING_KEY, stages::VERIFYING_KEY],
            ),
        ],
    }
}
