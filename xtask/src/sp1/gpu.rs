//! The prover for a GPU, as far as a machine without one goes: what is compiled
//! in as SP1's GPU server must have the digest that was given, and the prover
//! does not believe what it says.

use super::{Level, build, cargo};
use crate::shell::{Failure, Result};
use sha2::{Digest, Sha256};
use std::{env, fs, process::Command};

pub(crate) fn run() -> Result {
    let level = Level::own();
    // Some file: the tests bring a server of their own.
    let server = env::current_exe().map_err(|error| Failure::of("this executable", error))?;
    let bytes = fs::read(&server).map_err(|error| Failure::of(server.display(), error))?;
    let digest = Sha256::digest(bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let with = |command: &str, digest: &str| -> Result<Command> {
        let mut cargo = cargo(level, command)?;
        cargo
            .args(["--features", "soundproof-prover-sp1/cuda"])
            .env("SOUNDPROOF_SP1_GPU_SERVER", &server)
            .env("SOUNDPROOF_SP1_GPU_SERVER_SHA256", digest);
        Ok(cargo)
    };
    let outcome = with("build", &"0".repeat(64)).and_then(|mut other| {
        let output = other
            .output()
            .map_err(|error| Failure::of("cargo", error))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match !output.status.success() && said.contains("does not have the digest") {
            true => Ok(()),
            false => Err(Failure::of("a GPU server of another digest", said)),
        }
    });
    let outcome = outcome.and_then(|()| {
        let mut tests = with("test", &digest)?;
        tests.args(["cuda::", "--", "--nocapture"]);
        crate::shell::run("provers/sp1 for a GPU", &mut tests)
    });
    // The executables are those for the CPU again.
    build(level)?;
    outcome
}
