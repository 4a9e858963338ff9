//! `cargo xtask demo`: from a fresh clone to a delegated proof. Installs the
//! npm packages, makes an input, builds the release binaries, and lets
//! `soundproof demo` do the rest.

use crate::{
    node::{self, Circuit, Inputs},
    shell::{self, Failure, Result},
    sp1,
};
use clap::Args;
use serde_json::Value;
use std::{path::PathBuf, process::Command};

/// Packages whose executables the demo and the tests start.
const PACKAGES: [&str; 3] = [
    "soundproof-cli",
    "soundproof-enclave",
    "soundproof-prover-groth16",
];

#[derive(Args)]
pub(crate) struct Options {
    /// One JSON object on one line of stdout; everything else goes to stderr
    #[arg(long)]
    json: bool,
    /// Depth of the group's tree: which of Semaphore's circuits
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=32))]
    depth: u8,
    /// Members of the group, at most 1000 and at most what the depth holds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
    members: u32,
    /// Proofs to make; the first is cold
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Where proof, public signals and receipt go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Then prove solvency with SP1's own SDK through `soundproof connect`;
    /// builds SP1 (10 to 15 minutes, once)
    #[arg(long)]
    with_sp1: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    node::require_tools()?;
    node::install()?;
    if options.with_sp1 {
        // First: what takes long is said and done before the rest.
        sp1::build(sp1::Level::own())?;
    }
    let out = match &options.out {
        Some(dir) => std::path::absolute(dir).map_err(|error| Failure::of("--out", error))?,
        None => shell::root().join("out/demo"),
    };
    let runs = usize::from(options.runs);
    let members = members(options.members, options.depth);
    let inputs = Inputs::make(&out.join("inputs"), options.depth, members, runs)?;
    build()?;
    let inputs: Vec<_> = (0..runs).map(|run| inputs.input(run)).collect();
    let mut demo = command(&Circuit::semaphore(options.depth), &inputs, runs, &out);
    if options.json && options.with_sp1 {
        let mut said = json(&mut demo)?;
        said["sp1"] = sp1::solvency::run(&out)?;
        println!("{said}");
        return both(&said["sp1"]);
    }
    if options.json {
        demo.arg("--json");
    }
    let status = demo
        .status()
        .map_err(|error| Failure::of("soundproof demo", error))?;
    if !status.success() {
        return Err(Failure::of("soundproof demo", status));
    }
    if options.with_sp1 {
        let said = sp1::solvency::run(&out)?;
        println!("{}", sp1::solvency::text(&said));
        return both(&said);
    }
    Ok(())
}

/// That SP1's proof and receipt verify.
fn both(said: &Value) -> Result {
    match said["proof_verified"] == true && said["receipt_verified"] == true {
        true => Ok(()),
        false => Err(Failure::new("SP1's proof or its receipt did not verify")),
    }
}

/// A shallow tree holds fewer than were asked for.
fn members(asked: u32, depth: u8) -> u32 {
    1_u32
        .checked_shl(depth.into())
        .map_or(asked, |most| asked.min(most))
}

/// Builds the release binaries.
pub(crate) fn build() -> Result {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--locked"]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    shell::run("release binaries", &mut cargo)
}

/// `soundproof demo` on these inputs, taken in turn.
pub(crate) fn command(
    circuit: &Circuit,
    inputs: &[PathBuf],
    runs: usize,
    out: &std::path::Path,
) -> Command {
    let mut demo = shell::command(shell::release_dir().join("soundproof"));
    demo.arg("demo");
    demo.arg("--wasm")
        .arg(&circuit.wasm)
        .arg("--zkey")
        .arg(&circuit.zkey);
    demo.arg("--vkey").arg(&circuit.vkey).arg("--out").arg(out);
    demo.args(["--runs", &runs.to_string()]);
    for input in inputs {
        demo.arg("--input").arg(input);
    }
    demo
}

/// Runs it with `--json` and gives back the object.
pub(crate) fn json(demo: &mut Command) -> Result<Value> {
    let text = shell::output(demo.arg("--json"))?;
    serde_json::from_str(&text).map_err(|error| Failure::of("soundproof demo --json", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_never_outgrows_its_tree() {
        assert_eq!(members(1000, 3), 8);
        assert_eq!(members(1000, 20), 1000);
        assert_eq!(members(1000, 32), 1000);
    }
}
