//! What the continuous integration checks, in one go; `.ci/run` prepares the
//! machine and calls it. Quick checks come first. Everything is built with the
//! release profile, so that clippy, rustdoc and the tests share build scripts
//! and macros.

use crate::{
    guests,
    shell::{self, Failure, Result},
    sp1, test, wasm,
};

type Step = (&'static str, fn() -> Result);

const STEPS: [Step; 8] = [
    ("format", format),
    ("dependencies", deny),
    ("clippy", clippy),
    ("documentation", documentation),
    ("wasm", wasm::run_where_possible),
    ("guests", guests::check),
    ("SP1: clippy", || sp1::clippy(sp1::Level::own())),
    // Last, so that its line `N passed, N failed` is what ends the log.
    ("tests and golden files", golden),
];

pub(crate) fn run() -> Result {
    for (name, step) in STEPS {
        step().map_err(|failure| Failure::of(name, failure))?;
    }
    Ok(())
}

/// `guests::check` sees to the guests.
fn format() -> Result {
    for workspace in [".", "provers/sp1"] {
        let mut cargo = shell::cargo();
        cargo.current_dir(shell::root().join(workspace));
        let cargo = cargo.args(["fmt", "--all", "--check"]);
        shell::run(&format!("cargo fmt --check: {workspace}"), cargo)?;
    }
    Ok(())
}

fn clippy() -> Result {
    let mut cargo = shell::cargo();
    cargo.args([
        "clippy",
        "--release",
        "--locked",
        "--workspace",
        "--all-targets",
    ]);
    shell::run("clippy", cargo.args(["--", "-D", "warnings"]))
}

fn documentation() -> Result {
    let mut cargo = shell::cargo();
    cargo.args([
        "doc",
        "--release",
        "--locked",
        "--workspace",
        "--no-deps",
        "--lib",
    ]);
    shell::run("rustdoc", cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, sources and banned crates; advisories too where the database of
/// them can be fetched.
pub(crate) fn deny() -> Result {
    if !shell::has("cargo-deny") {
        return Err(Failure::new(
            "cargo-deny is missing: cargo install --locked cargo-deny",
        ));
    }
    let check = |what: &[&str]| {
        for (workspace, config) in TREES {
            let mut cargo = shell::cargo();
            cargo.args(["deny", "--locked", "--log-level", "error"]);
            cargo.args(["--manifest-path", &format!("{workspace}/Cargo.toml")]);
            cargo.args(["--config", config, "check"]);
            shell::run(&format!("cargo deny: {workspace}"), cargo.args(what))?;
        }
        Ok(())
    };
    check(&["bans", "licenses", "sources"])?;
    let mut fetch = shell::cargo();
    fetch.args(["deny", "--log-level", "off", "fetch", "db"]);
    match shell::run("advisory database", &mut fetch) {
        Ok(()) => check(&["advisories", "--disable-fetch"]),
        Err(_) => {
            eprintln!("== advisories not checked: their database cannot be reached from here");
            Ok(())
        }
    }
}

/// Workspaces, and what may be in their trees.
const TREES: [(&str, &str); 3] = [
    (".", "deny.toml"),
    ("provers/sp1", "provers/sp1/deny.toml"),
    ("guests", "deny.toml"),
];

/// All tests; none may have changed a file of the checkout: one that rewrites a
/// golden file instead of failing shows here.
pub(crate) fn golden() -> Result {
    let before = checkout()?;
    let tests = test::all("", false)?;
    let after = checkout()?;
    if before != after {
        eprint!("{after}");
        return Err(Failure::new("the tests changed files of the checkout"));
    }
    test::conclude(&tests)
}

/// What differs from the last commit, new files by name.
fn checkout() -> Result<String> {
    let mut status = shell::command("git");
    let names = shell::output(status.args(["status", "--porcelain"]))?;
    let mut diff = shell::command("git");
    Ok(names + &shell::output(diff.args(["diff", "HEAD"]))?)
}
