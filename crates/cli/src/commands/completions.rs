//! `soundproof completions`: a script for bash, zsh, fish, elvish or
//! PowerShell.

use crate::output::Output;
use clap::CommandFactory as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, output: Output) {
    let mut script = Vec::new();
    let mut command = super::Cli::command();
    clap_complete::generate(args.shell, &mut command, "soundproof", &mut script);
    output.raw(&script);
}
