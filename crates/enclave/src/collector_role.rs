//! The collector's process: asks Azure's metadata service and NVIDIA's library
//! for the keeper, which has neither in its address space. It is given public
//! bytes on its standard input, and answers on its standard output.

use soundproof_attester::{
    Machine,
    collector::{Answerer, serve},
    nvml::{LIBRARY, Nvml},
};
use std::{
    io::{stdin, stdout},
    path::Path,
    process::Command,
};

/// Of the environment it gets what the loader and the log need.
const ENVIRONMENT: [&str; 3] = ["LD_LIBRARY_PATH", "RUST_LOG", "SOUNDPROOF_LOG_FORMAT"];

/// Starts it.
pub(crate) fn command(own: &Path) -> Command {
    let mut command = Command::new(own);
    command.arg("collector").env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Answers until the keeper asks no more.
pub(crate) fn run() -> std::io::Result<()> {
    let machine = Machine::this();
    let gpus = Nvml::new(LIBRARY, machine.retry);
    serve(
        stdin().lock(),
        stdout().lock(),
        &Answerer::new(&machine, gpus),
    )
}
