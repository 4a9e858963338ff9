//! Between the keeper and the provers: the messages they exchange, the cage a
//! prover puts itself into, and the supervisor that starts, feeds and ends
//! prover processes.
//!
//! | module | side | may touch |
//! |---|---|---|
//! | [`wire`] | both | nothing: types and codecs, and blocking I/O on a stream that it is given |
//! | [`sandbox`] | prover | this process: it only ever gives rights away |
//! | [`child`] | prover | standard input and output, nothing else |
//! | [`hygiene`] | both | this thread's stack |
//! | `supervisor` | keeper | child processes that it started itself, and their sockets |
//!
//! A proof system is one executable built on [`child`]; the supervisor knows
//! it by its hello only, so that a new one changes neither keeper nor gateway.

pub mod child;
pub mod hygiene;
pub mod sandbox;
#[cfg(feature = "supervisor")]
pub mod supervisor;
pub mod wire;
