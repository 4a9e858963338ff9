//! `soundproof serve`: becomes `soundproofd`, so that what is measured is
//! that executable and nothing of this one.

use crate::{daemon, failure::Failure};
use std::ffi::OsString;

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Handed on as they are; see `soundproof serve --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let executable = daemon::find(daemon::SOUNDPROOFD)?;
    let mut command = std::process::Command::new(&executable);
    command.args(&args.arguments);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Returns only if it failed.
        Err(Failure::file(&executable, &command.exec()))
    }
    #[cfg(not(unix))]
    {
        command
            .status()
            .map_err(|error| Failure::file(&executable, &error))
            .map(drop)
    }
}
