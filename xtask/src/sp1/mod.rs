//! SP1: builds `provers/sp1` (the prover, and `sdk-check`, which is the
//! published SDK unmodified), and drives both against a server. Only what asks
//! for it builds it: SP1 takes minutes.
//!
//! | module | what |
//! |---|---|
//! | `build` | one build for a level of the CPU |
//! | `server` | `soundproofd` and what runs below it |
//! | `client` | the SDK, by `soundproof connect` or directly |
//! | `cases` | what `cargo xtask test` and `test --sp1-full` check |
//! | `failures` | what the SDK's user sees when something is wrong |
//! | `gpu` | the build for a GPU, as far as it goes without one |
//! | `survival` | kill -9 at random moments |
//! | `leaks` | the search for a random input in what was recorded and stored |
//! | `solvency` | `cargo xtask demo --with-sp1` |
//! | `recorder` | records what two sides of a connection say |

mod build;
pub(crate) mod cases;
pub(crate) mod client;
mod failures;
mod gpu;
mod leaks;
mod recorder;
pub(crate) mod server;
pub(crate) mod solvency;
mod survival;

pub(crate) use build::{Built, Level, build, cargo, clippy};

use crate::{
    demo,
    shell::{self, Failure, Result},
    test,
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Build the prover and the SDK's check; prints the executables' paths
    Build(build::Options),
    /// What `cargo xtask test --sp1-full` checks of SP1, and nothing else
    Test(TestOptions),
}

#[derive(Args)]
pub(crate) struct TestOptions {
    /// Only cases whose name contains this
    #[arg(default_value = "")]
    filter: String,
    /// Take the executables that are there
    #[arg(long)]
    as_built: bool,
}

pub(crate) fn run(task: &Task) -> Result {
    match task {
        Task::Build(options) => build::run(options),
        Task::Test(options) => {
            match options.as_built {
                true => build::take_as_built(),
                false => demo::build()?,
            }
            let all = cases::QUICK.iter().chain(&cases::FULL);
            test::conclude(&test::check(all, &options.filter))
        }
    }
}

/// A committed guest.
pub(crate) fn guest(name: &str) -> PathBuf {
    shell::root().join("guests/elf").join(format!("{name}.elf"))
}

/// A folder of its own, empty.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let folder = shell::target_dir().join("xtask/sp1").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| Failure::of(folder.display(), error))?;
    }
    make(&folder)?;
    Ok(folder)
}

pub(crate) fn make(folder: &Path) -> Result {
    std::fs::create_dir_all(folder).map_err(|error| Failure::of(folder.display(), error))
}
