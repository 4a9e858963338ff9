//! Soundproof's client library: delegate a proof to a machine that you do not
//! trust, without showing its operator your secrets.
//!
//! The library appraises the machine's evidence by your policy, seals the
//! input to the enclave that the evidence vouches for, has the proof made,
//! and checks proof and receipt when they arrive. It fails closed: with no
//! accepted evidence, not one byte that depends on your input leaves this
//! machine.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use soundproof::{Client, Input, Policy, Program};
//!
//! let policy = Policy::from_toml(&std::fs::read_to_string("policy.toml")?)?;
//! let client = Client::new("https://prover.example", policy)?;
//! let program = Program::circom("circuit.wasm", "circuit.zkey", "vkey.json")?;
//! let proven = client.prove(&program, Input::file("input.json")).await?;
//! std::fs::write("proof.json", &proven.proof)?;
//! std::fs::write("public.json", &proven.public_values)?;
//! std::fs::write("receipt.bundle", proven.bundle_bytes())?;
//! # Ok(()) }
//! ```
//!
//! Step by step: [`Client::open_session`] gives an [`AcceptedSession`], which
//! only an accepted verdict can make; [`Client::upload`] seals for it;
//! [`Upload::run`] sends, and resumes after a cut; [`Submitted::wait`] waits
//! and checks. [`Submitted::ticket`] lets another process
//! [`fetch`](Client::fetch). [`verify_bundle`] checks a receipt with no
//! network at all.
//!
//! Whatever is weaker has `danger` in its name.
#![forbid(unsafe_code)]

mod bundle;
mod check;
mod client;
mod endpoint;
mod error;
mod event;
mod follow;
mod input;
mod jobs;
mod parts;
mod pin;
mod program;
mod prove;
mod retry;
mod sealing;
mod seen;
mod session;
mod sse;
mod submitted;
mod transport;
mod upload;
mod verifier;

pub use bundle::{Beside, BundleReport, claimed_end_ms, verify_bundle};
pub use client::{Client, ClientBuilder, Examined};
pub use error::Error;
pub use event::{Event, Observer, Timings};
pub use input::Input;
pub use jobs::{JobAccess, ServerInfo};
pub use program::{
    ELF, GROTH16, MAX_ELF, PROVING_KEY, Part, Program, SP1, Sp1Mode, VERIFYING_KEY,
    WITNESS_GENERATOR,
};
pub use retry::Retry;
pub use sealing::JobOptions;
pub use session::{AcceptedSession, now_ms};
pub use soundproof_evidence as evidence;
pub use soundproof_evidence::{Policy, PolicyError, Verdict};
pub use soundproof_protocol as protocol;
pub use soundproof_seal::Padding;
pub use submitted::{Proven, Submitted};
pub use upload::Upload;
pub use verifier::ProofCheck;
