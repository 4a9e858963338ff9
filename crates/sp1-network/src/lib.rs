//! The SP1 SDK's wire dialects, signatures and request states, as a server
//! over traits.
//!
//! The unmodified `sp1-sdk` 6 talks to it as to Succinct's prover network,
//! in any of its three ways (Mainnet, Reserved, hosted). It holds no keys,
//! opens no sockets and reads no files: whoever embeds it serves the
//! [router](Network::router) and gives it a [`Backend`] that proves.

mod backend;

pub use backend::{
    Backend, BackendError, Clock, Ended, Entropy, Incoming, IncomingError, Journal, JournalError,
    Kind, MAX_TOKEN, Mode, NoEntropy, Offers, ProofJob, Record, Refusal, Secret, Stash, StashError,
    StashId, Token, incoming_of,
};
