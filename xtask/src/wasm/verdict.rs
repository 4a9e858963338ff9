//! Verdicts in WebAssembly are those of the native build: `xtask/verdict` judges
//! what the example `mutations` leaves, evidence of every platform, sound and
//! changed, and says the same of it, word for word.

use super::Toolchain;
use crate::shell::{self, Failure, Result};
use std::{fs, path::PathBuf, process::Command};

/// The optimised module.
fn module(toolchain: &Toolchain) -> Result<PathBuf> {
    let mut module = toolchain.cargo();
    module
        .arg("--release")
        .current_dir(shell::root().join("xtask/verdict"));
    shell::run("verdict module", &mut module)?;
    Ok(Toolchain::target_dir().join("wasm32-unknown-unknown/release/verdict.wasm"))
}

fn node(script: &str, module: PathBuf) -> Command {
    let mut node = shell::command("node");
    node.arg(shell::root().join("xtask/verdict").join(script))
        .arg(module);
    node
}

/// What a verdict takes in it.
pub(super) fn time(toolchain: &Toolchain, cases: &[PathBuf], runs: usize) -> Result<String> {
    let mut node = node("time.mjs", module(toolchain)?);
    shell::output(node.arg(runs.to_string()).args(cases))
}

pub(super) fn compare(toolchain: &Toolchain) -> Result {
    let folder = shell::target_dir().join("xtask/verdicts");
    let failed = |error| Failure::of(folder.display(), error);
    // What is left of an earlier run is of an earlier format.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut leave = shell::cargo();
    leave.args(["run", "--release", "--quiet", "--locked"]);
    leave.args(["-p", "soundproof-evidence", "--example", "mutations"]);
    shell::run("verdicts", leave.args(["--", "leave"]).arg(&folder))?;
    let compared = shell::output(node("verdict.mjs", module(toolchain)?).arg(&folder))?;
    eprintln!("== the same in WebAssembly: {}", compared.trim());
    Ok(())
}
