//! The project's tasks: `cargo xtask demo`, `test`, `bench`, and what the
//! continuous integration runs. Starts other programs (cargo, npm, node and the
//! binaries that it built) and links none of the project's crates, so that it
//! builds in seconds and works while they do not.
#![allow(clippy::print_stdout)] // a command line: results are its output

mod bench;
mod ci;
mod demo;
mod fuzz;
mod guests;
mod mutations;
mod node;
mod shell;
mod sp1;
mod test;
mod wasm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Soundproof's demo, tests, benchmarks and checks"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Delegate a real Semaphore proof to a server on this machine
    Demo(demo::Options),
    /// Build the release binaries, run every test, and have snarkjs check a delegated proof
    Test(test::Options),
    /// Run the long soak tests, those marked `#[ignore]`
    Soak(test::SoakOptions),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Task),
    /// Fuzz the parsers of outside bytes
    Fuzz(fuzz::Options),
    /// Try bad input on evidence of every platform, systematically
    Mutations(mutations::Options),
    /// Build the programs for SP1's virtual machine
    Guests(guests::Options),
    /// SP1's prover and SDK
    #[command(subcommand)]
    Sp1(sp1::Task),
    /// Everything that the continuous integration checks
    Ci,
    /// Build the crates that must work in a browser for wasm32-unknown-unknown
    Wasm,
    /// Check licences, sources and banned crates of the dependency tree
    Deny,
    /// Run the tests, and check that they changed no file of the checkout
    Golden,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Soak(options) => test::soak(&options),
        Task::Bench(task) => bench::run(&task),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Mutations(options) => mutations::run(&options),
        Task::Guests(options) => guests::run(&options),
        Task::Sp1(task) => sp1::run(&task),
        Task::Ci => ci::run(),
        Task::Wasm => wasm::run(),
        Task::Deny => ci::deny(),
        Task::Golden => ci::golden(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
