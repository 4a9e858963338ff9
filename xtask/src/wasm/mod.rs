//! `cargo xtask wasm`: the crates that a browser needs, built for
//! wasm32-unknown-unknown, and verdicts that are the same there as here.
//!
//! Where the toolchain has that target (`rustup target add
//! wasm32-unknown-unknown`) it is an ordinary build. Where it cannot be had,
//! Debian's `rustc-web` and its sources do: the packages are unpacked beside the
//! build, nothing is installed, and the standard library is built with them.

mod debian;
mod verdict;

use crate::shell::{self, Failure, Result};
use debian::Debian;
use std::{path::Path, process::Command};

const TARGET: &str = "wasm32-unknown-unknown";

const CRATES: [&str; 4] = [
    "soundproof-protocol",
    "soundproof-evidence",
    "soundproof-seal",
    "soundproof-proofs",
];

pub(crate) fn run() -> Result {
    build(toolchain()?)
}

/// Times verdicts of what `bench/verdict` left in WebAssembly: its lines.
pub(crate) fn time(cases: &[std::path::PathBuf], runs: usize) -> Result<String> {
    verdict::time(&toolchain()?, cases, runs)
}

/// As the continuous integration does: a machine that cannot get a toolchain
/// for the target is told so, and that is no failure of the code.
pub(crate) fn run_where_possible() -> Result {
    match toolchain() {
        Ok(toolchain) => build(toolchain),
        Err(reason) => {
            eprintln!("== wasm NOT CHECKED: {reason}");
            Ok(())
        }
    }
}

/// What compiles for the target.
enum Toolchain {
    /// The one that runs this task.
    Own,
    /// Debian's.
    Debian(Debian),
}

fn toolchain() -> Result<Toolchain> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = shell::output(shell::command(&rustc).args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .is_dir()
        || rustup_adds_it()
    {
        return Ok(Toolchain::Own);
    }
    Debian::unpacked().map(Toolchain::Debian).map_err(|reason| {
        Failure::new(format!(
            "the target is missing (rustup target add {TARGET}), \
             and Debian's rustc-web is no way round it: {reason}"
        ))
    })
}

fn build(toolchain: Toolchain) -> Result {
    let mut cargo = toolchain.cargo();
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    shell::run("wasm", &mut cargo)?;
    verdict::compare(&toolchain)
}

impl Toolchain {
    /// Builds libraries for the target. Their code must compile and be right;
    /// it need not be fast.
    fn cargo(&self) -> Command {
        let mut cargo = shell::cargo();
        cargo.args(["build", "--lib", "--locked", "--target", TARGET]);
        cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
        cargo.args(["--config", "profile.dev.debug=false"]);
        // Another compiler's and other options' files: kept apart.
        cargo.env("CARGO_TARGET_DIR", Self::target_dir());
        if let Self::Debian(debian) = self {
            debian.with(&mut cargo);
        }
        cargo
    }

    fn target_dir() -> std::path::PathBuf {
        shell::target_dir().join("xtask/wasm")
    }
}

fn rustup_adds_it() -> bool {
    let mut rustup = shell::command("rustup");
    rustup.args(["target", "add", TARGET]);
    shell::has("rustup") && shell::run("rustup target add", &mut rustup).is_ok()
}
