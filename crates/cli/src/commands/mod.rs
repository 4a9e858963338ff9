//! The command line: one file a command.

mod circuit;
mod collateral;
mod completions;
mod connect;
mod demo;
mod doctor;
mod explain;
mod jobs;
mod measure;
mod policy;
mod prove;
mod serve;
mod verifier;
mod verify;

use crate::{failure::Failure, output::Output};
use clap::{Parser, Subcommand};
use soundproof::protocol::error::Code;

/// Sound proofs that leak nothing: delegate proving to a machine that you do
/// not trust.
#[derive(Debug, Parser)]
#[command(name = "soundproof", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON object on one line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server (starts `soundproofd`)
    Serve(serve::Args),
    /// Have a proof made, and check it
    Prove(Box<prove::Args>),
    /// Serve SP1's network on loopback, in front of a server that is appraised
    Connect(Box<connect::Args>),
    /// Check evidence, a proof, or a receipt
    #[command(subcommand)]
    Verify(Box<verify::Command>),
    /// Look at jobs, fetch, cancel and delete them
    #[command(subcommand)]
    Jobs(Box<jobs::Command>),
    /// Give circuits names
    #[command(subcommand)]
    Circuit(circuit::Command),
    /// Write or check a policy
    #[command(subcommand)]
    Policy(policy::Command),
    /// Compute what a deployment will measure, before there is one
    #[command(subcommand)]
    Measure(measure::Command),
    /// Show what evidence says, of any platform, before any policy
    Explain(explain::Args),
    /// Fetch endorsements into a file, and look into one
    #[command(subcommand)]
    Collateral(collateral::Command),
    /// Appraise evidence for clients that cannot: they trust whoever runs it
    #[command(subcommand)]
    Verifier(Box<verifier::Command>),
    /// Find out what is wrong
    Doctor(doctor::Args),
    /// The whole path on this machine, on the software platform
    Demo(Box<demo::Args>),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// The process that asks Azure's metadata service and NVIDIA's library for
    /// `doctor`, which starts it
    #[command(hide = true)]
    Collector,
}

/// Runs a command.
pub(crate) fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let output = *output;
    if matches!(
        cli.command,
        Command::Prove(_) | Command::Connect(_) | Command::Jobs(_) | Command::Demo(_)
    ) {
        no_core_dumps();
    }
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Completions(args) => {
            completions::run(&args, output);
            Ok(())
        }
        Command::Collector => doctor::collect(),
        Command::Circuit(command) => circuit::run(&command, output),
        Command::Measure(command) => measure::run(&command, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Prove(args) => asynchronous(prove::run(&args, output)),
        Command::Connect(args) => asynchronous(connect::run(&args, output)),
        Command::Verify(command) => asynchronous(verify::run(&command, output)),
        Command::Jobs(command) => asynchronous(jobs::run(&command, output)),
        Command::Policy(command) => asynchronous(policy::run(&command, output)),
        Command::Collateral(command) => asynchronous(collateral::run(&command, output)),
        Command::Verifier(command) => asynchronous(verifier::run(&command, output)),
        Command::Doctor(args) => asynchronous(doctor::run(&args, output)),
        Command::Demo(args) => asynchronous(demo::run(&args, output)),
    }
}

/// A crash must not write an input or a ticket to a disk.
fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        // Lowering one's own limit cannot fail.
        let _ = setrlimit(Resource::Core, none);
    }
}

fn asynchronous(
    work: impl std::future::Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?
        .block_on(work)
}
