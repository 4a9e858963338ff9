//! The Groth16 prover: circom's witness generators, snarkjs's proving keys, and
//! the arithmetic of a proof over BN254, as a library.
//!
//! | module | may touch |
//! |---|---|
//! | [`zkey`], [`wtns`] | bytes that they are given (untrusted) |
//! | [`witgen`] | a program's code, in wasmtime, under limits; the witness |
//! | [`mod@prove`] | the witness and a checked key; starts no thread of its own beside rayon's |
//! | [`cache`] | memory, bounded in bytes |
//!
//! Nothing here opens a file, a socket or a device, except that [`randomness`]
//! asks the operating system for random bytes. The executable of this package
//! wraps it for the keeper; benchmarks call it in process.
//!
//! Errors carry a stable code each. Their texts never hold a byte of the
//! witness; what only the client may see stands in a `detail`.

pub mod cache;
mod container;
pub mod prove;
pub mod randomness;
pub mod witgen;
pub mod wtns;
pub mod zkey;

pub use prove::{ProveError, Proven, prove};
pub use randomness::Randomness;
pub use wtns::{Witness, WtnsError};
pub use zkey::{ProvingKey, ZkeyError};
