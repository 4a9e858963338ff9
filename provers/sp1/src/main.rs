//! The SP1 prover's executable. The keeper starts it, a process a job; it
//! confines itself and speaks with its keeper over standard input and output.
//!
//! | stage | runs program code | input | output |
//! |---|---|---|---|
//! | `prove` | yes: one job a process | SP1's stdin, bincode or zstd of it | proof and public values |
//!
//! By hand it verifies proofs: `soundproof-prover-sp1 verify`, and tells a
//! program's verifying key: `soundproof-prover-sp1 key`.
//!
//! A process makes one proof and is killed: its memory goes with it, and the
//! kernel clears pages before anybody else gets them. So its allocator does not
//! zero what it frees, which would write to all that SP1 takes and never uses.
//! A panic says nothing.

mod tool;

use std::process::ExitCode;

use soundproof_prover::child::{self, Prover, Start};
use soundproof_prover::wire::StageInfo;
use soundproof_prover_sp1::modes::Mode;
use soundproof_prover_sp1::stage::{self, Prove};
use soundproof_prover_sp1::{circuits, workers, wrap};

#[allow(clippy::disallowed_methods)] // set_var, while there is one thread
fn main() -> ExitCode {
    if let Some(task) = tool::Task::from_arguments() {
        return task.run();
    }
    std::panic::set_hook(Box::new(|_| {}));
    for (name, value) in workers::variables().chain(circuits::variables()) {
        // SAFETY: this process has one thread, so nobody reads the environment
        // meanwhile; nothing above has started another.
        unsafe { std::env::set_var(name, value) };
    }
    child::main(prover(), |start: &Start| match Prove::new(start) {
        Ok(prove) => Box::new(prove),
        // No threads: the keeper sees this process end and starts another.
        Err(_) => std::process::exit(1),
    })
}

fn prover() -> Prover {
    // Also what the operator has set for processes that are started later.
    let start = Start::parse(std::env::args().skip(1));
    let folder_bytes = start.map_or(0, |start| start.folder_bytes);
    let info = |mode: Mode| mode.info(folder_bytes);
    Prover {
        system: "sp1".into(),
        version: concat!(
            env!("CARGO_PKG_NAME"),
            " ",
            env!("CARGO_PKG_VERSION"),
            ", sp1 6.10.0",
        )
        .into(),
        modes: Mode::ALL.into_iter().map(info).collect(),
        stages: vec![StageInfo {
            name: stage::PROVE.into(),
            runs_program: true,
            parts: vec![stage::ELF.into(), stage::VERIFYING_KEY.into()],
            folder_bytes: wrap::folder_bytes(),
            gpu: cfg!(feature = "cuda"),
        }],
    }
}
