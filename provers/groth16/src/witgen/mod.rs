//! circom's witness generators: WebAssembly that came with a job, run under
//! wasmtime with nothing but circom's own imports.
//!
//! The code is hostile. It may compute, within a limit of memory and of time,
//! and talk to the four functions that circom's generated code imports; it has
//! no clock, no randomness, no file, no network. What it leaves in its memory is
//! read back with bounds checked. What it says in words (an assertion's text, a
//! signal's name) depends on the witness and stands only in a
//! [`SecretDetail`].
//!
//! In the order of a job: [`Program::compile`] (or [`Program::from_derived`], in
//! a process started later), [`Program::instantiate`], both before any input is
//! there, then [`Generator::run`] on the input, once.
//!
//! The interface is that of circom 2.0 and later (`WitnessCalculatorCircom2` in
//! iden3's circom_runtime 0.1.28). circom 1's is refused by name.

mod abi;
mod deadline;
mod derived;
mod error;
mod input;
mod number;
mod program;
#[cfg(test)]
mod tests;

pub use error::{SecretDetail, WitgenError};
pub use input::check as check_input;
pub use program::{Generator, Limits, MAX_WASM_BYTES, Program};
