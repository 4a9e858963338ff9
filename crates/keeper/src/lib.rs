//! The keeper: the small parent process that holds keys. It opens the quoting
//! device, opens data keys, feeds provers, signs receipts, and starts the
//! other processes. It never touches the network and never parses a program.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what the operator sets |
//! | `keeper` | the parts put together; the trust configuration |
//! | `quoter` | one quote for all sessions opened meanwhile |
//! | `key_pool` | session keys made ahead |
//! | `sessions` | the bounded table of session keys |
//! | `receipt_key` | short-lived keys that sign receipts |
//! | `custody` | data keys of jobs, from admission to the end |
//! | `admission` | may this job's key be taken? |
//! | `input` | chunks pulled, opened and hashed |
//! | `run` | a job from its first chunk to its sealed outcome |
//! | `link` | the gateway's questions, and ours to it |
//! | [`gateway`] | starts the gateway's process, again when it dies |
//!
//! Whatever comes over the link is a stranger's word.
#![forbid(unsafe_code)]

mod admission;
pub mod config;
mod custody;
pub mod gateway;
mod input;
mod keeper;
mod key_pool;
mod link;
mod quoter;
mod random;
mod receipt_key;
mod run;
mod sessions;

pub use config::KeeperConfig;
pub use keeper::{Keeper, KeeperError};
