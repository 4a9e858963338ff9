//! The `soundproof` command: for clients, auditors and operators. It links
//! the client library, the verifier for others, and nothing of the server;
//! `serve` and `demo` start the server's own executable.
//!
//! Exit codes: 0 all is well, 1 something was rejected or failed, 2 usage.
#![forbid(unsafe_code)]

mod circuits;
mod commands;
mod connect;
mod daemon;
mod failure;
mod files;
mod output;
mod report;
mod sp1;
mod time;

use clap::Parser as _;
use commands::Cli;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

// Inputs and tickets pass through here: freed memory is zeroed.
#[global_allocator]
static ALLOC: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = output::Output::new(cli.json);
    logging();
    match commands::run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit())
        }
    }
}

/// To stderr, as `RUST_LOG` says; by default only what is wrong.
fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
