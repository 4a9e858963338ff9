//! The SP1 prover: Succinct's zkVM, run for a keeper. A workspace of its own,
//! for SP1 brings hundreds of crates and builds for minutes.
//!
//! | module | may touch |
//! |---|---|
//! | [`stage`] | a job, from its input to its proof |
//! | [`program`] | the guest's ELF (hostile) and the verifying key that follows from it |
//! | [`mod@stdin`] | the input, as the SDK packs it (hostile, secret) |
//! | [`mod@execute`] | the guest's code, in a process of SP1's that is confined as this one |
//! | [`progress`] | names and numbers of SP1's tasks, nothing in them |
//! | [`mod@verify`] | a finished proof |
//! | [`workers`] | how many threads of SP1's share the work |
//! | [`modes`], [`wrap`] | which kinds of proof there are, and what each needs |
//! | `cuda`, a feature | SP1's GPU server, which it starts, and its socket |
//! | [`circuits`] | SP1's circuit files: public, hashed on their way into the private folder |
//!
//! The prover itself is the crate `soundproof-sp1-node`.
//!
//! SP1's logs print public values and a guest prints what it likes: nobody
//! listens to either.

pub mod circuits;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod execute;
pub mod modes;
pub mod program;
pub mod progress;
pub mod stage;
pub mod stdin;
pub mod verify;
pub mod workers;
pub mod wrap;
