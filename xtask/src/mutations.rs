//! `cargo xtask mutations`: bad input tried systematically on evidence of every
//! platform, and what came of it as a table.

use crate::shell::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change every so-manieth byte only, for a quick look
    #[arg(long, default_value_t = 1)]
    every: usize,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut cargo = shell::cargo();
    cargo.args([
        "run",
        "--release",
        "--quiet",
        "--locked",
        "-p",
        "soundproof-evidence",
        "--example",
        "mutations",
        "--",
        &options.every.to_string(),
    ]);
    shell::run("mutations", &mut cargo)
}
