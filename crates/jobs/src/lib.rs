//! Jobs, their inputs and outcomes, and program blobs, durably kept.
//!
//! This crate belongs to the untrusted half: whatever passes through it is
//! public or ciphertext, it holds no key, and nothing that it says about a job
//! is believed by a keeper or a client. What it owes is durability (invariant
//! 5): what a call acknowledged survives the death of the process at any
//! moment, and a job ends exactly once.
//!
//! [`Store`] is what the gateway sees. [`embedded`] is the one implementation
//! for a single machine: SQLite and a local folder. Another backend is another
//! module behind the same trait.
#![forbid(unsafe_code)]

pub mod embedded;
mod error;
mod store;
mod types;

pub use error::{SourceError, StoreError};
pub use store::{Source, Store, source_of};
pub use types::{
    Created, Job, JobPage, ListQuery, NewJob, OwnerId, PartPut, Quota, Retention, StoredOutcome,
    Swept,
};
