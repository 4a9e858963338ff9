//! The prover's side: what an executable for a new proof system is built on.
//!
//! ```no_run
//! use soundproof_prover::child::{self, Abandon, Loader, Prover, Reporter, Stage, StageOutput, Start};
//! use soundproof_protocol::mode::ModeInfo;
//! use soundproof_prover::wire::{Job, Program, StageInfo};
//! use zeroize::Zeroizing;
//!
//! struct Prove;
//!
//! impl Stage for Prove {
//!     fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
//!         for part in &program.parts {
//!             let _bytes = loader.source(&part.digest, 1 << 20)?;
//!         }
//!         Ok(())
//!     }
//!     fn run(&mut self, _: &Job, input: Zeroizing<Vec<u8>>, _: &mut Reporter<'_>) -> Result<StageOutput, Abandon> {
//!         Ok(StageOutput::Intermediate(input))
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let prover = Prover {
//!         system: "example".into(),
//!         version: "example 1.0".into(),
//!         modes: vec![ModeInfo::hiding("plain")],
//!         stages: vec![StageInfo { name: "prove".into(), runs_program: false, parts: vec!["circuit".into()], folder_bytes: 0, gpu: false }],
//!     };
//!     child::main(prover, |_: &Start| Box::new(Prove))
//! }
//! ```

mod channel;
mod serve;
mod start;
mod watch;

pub use channel::{Channel, Stdio};
pub use serve::{Abandon, Loader, Reporter, Stage, StageOutput, serve};
pub use start::{Prover, Start, StartError, main};
