//! `cargo xtask bench`: what proving costs when it is delegated.
//!
//! Both sides are measured in one session and in turn, block by block, so that
//! a machine that grows slower meanwhile is as slow for both.

mod delegation;
mod peers;
mod plot;
mod sp1;
mod stats;
mod verdict;

use crate::shell::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// A Semaphore proof delegated against the same prover called in process, and the peers
    Delegation(delegation::Options),
    /// An SP1 proof delegated through the SDK against the SDK in process
    Sp1(sp1::Options),
    /// A verdict on evidence of each platform, against dcap-qvl and sev used bare, and in WebAssembly
    Verdict(verdict::Options),
}

pub(crate) fn run(task: &Task) -> Result {
    match task {
        Task::Delegation(options) => delegation::run(options),
        Task::Sp1(options) => sp1::run(options),
        Task::Verdict(options) => verdict::run(options),
    }
}
