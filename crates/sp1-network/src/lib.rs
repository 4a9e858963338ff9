//! The SP1 SDK's wire dialects, signatures and request states, as a server
//! over traits.
//!
//! The unmodified `sp1-sdk` 6 talks to it as to Succinct's prover network,
//! in any of its three ways (Mainnet, Reserved, hosted). It holds no keys,
//! opens no sockets and reads no files: whoever embeds it serves the
//! [router](Network::router) and gives it a [`Backend`] that proves.
//!
//! What a client of it must know is in `docs/sp1.md`: every call, and every
//! failure as the SDK's user sees it.

mod artifacts;
mod backend;
mod config;
mod driver;
pub mod elf;
mod ending;
pub mod fuzz;
mod memory;
mod network;
mod nonce;
mod programs;
mod records;
mod refused;
mod requests;
mod serve;
mod signature;
mod system;
pub mod wire;

pub use backend::{
    Backend, BackendError, Clock, Ended, Entropy, Incoming, IncomingError, Journal, JournalError,
    Kind, MAX_TOKEN, Mode, NoEntropy, Offers, ProofJob, Record, Refusal, Secret, Stash, StashError,
    StashId, Token, incoming_of,
};
pub use config::{BaseUrl, Caller, Config, Limits, Requesters, SP1_VERSION, Times};
pub use memory::{MemoryJournal, MemoryStash};
pub use network::{Network, OpenError, Parts};
pub use signature::{Address, SIGNATURE_LEN, SignatureError, recover};
pub use system::{SystemClock, SystemEntropy};
