//! Verdicts in WebAssembly are those of the native build: `xtask/verdict`,
//! compiled twice, judges the same session, once accepted, once too late, and
//! once by a policy that accepts nothing.

use super::Toolchain;
use crate::shell::{self, Failure, Result};
use std::{path::PathBuf, process::Command};

/// A moment at which the session's evidence is valid, and one long after.
const NOW_MS: &str = "1780000000000";
const LATER_MS: &str = "1980000000000";

/// The optimised module, and what a verdict takes in it.
pub(super) fn time(toolchain: &Toolchain, cases: &[PathBuf], runs: usize) -> Result<String> {
    let package = shell::root().join("xtask/verdict");
    let mut module = toolchain.cargo();
    module.arg("--release").current_dir(&package);
    shell::run("verdict module", &mut module)?;
    let mut node = shell::command("node");
    node.arg(package.join("time.mjs"))
        .arg(Toolchain::target_dir().join("wasm32-unknown-unknown/release/verdict.wasm"))
        .arg(runs.to_string())
        .args(cases);
    shell::output(&mut node)
}

pub(super) fn compare(toolchain: &Toolchain) -> Result {
    let package = shell::root().join("xtask/verdict");
    let mut module = toolchain.cargo();
    shell::run("verdict module", module.current_dir(&package))?;
    let mut native = shell::cargo();
    let target = Toolchain::target_dir();
    native
        .args(["build", "--quiet", "--locked"])
        .current_dir(&package);
    shell::run("verdict", native.env("CARGO_TARGET_DIR", &target))?;

    let seeds = shell::root().join("fuzz/seeds");
    let session = seeds.join("session_evidence/one");
    let policy = seeds.join("policy/software.toml");
    let cases = [
        (&policy, NOW_MS, true),
        (&policy, LATER_MS, false),
        (&seeds.join("policy/empty.toml"), NOW_MS, false),
    ];
    for (policy, now, accepted) in cases {
        let judge =
            |mut command: Command| shell::output(command.arg(&session).arg(policy).arg(now));
        let mut node = shell::command("node");
        node.arg(package.join("verdict.mjs"));
        node.arg(target.join("wasm32-unknown-unknown/debug/verdict.wasm"));
        let in_wasm = judge(node)?;
        let native = judge(shell::command(target.join("debug/verdict")))?;
        if in_wasm != native {
            return Err(Failure::new(format!(
                "the verdict differs in WebAssembly:\n{native}\n{in_wasm}"
            )));
        }
        if !native.ends_with(&format!("accepted: {accepted}\n")) {
            return Err(Failure::new(format!(
                "the verdict is not as expected:\n{native}"
            )));
        }
    }
    eprintln!("== the verdict is the same in WebAssembly");
    Ok(())
}
