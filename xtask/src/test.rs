//! `cargo xtask test`: every test, against release binaries, and at the end a
//! delegated proof that snarkjs checks. Ends with one line, `N passed, N failed`.

use crate::{
    demo,
    node::{self, Circuit, Inputs},
    shell::{self, Failure, Result},
    sp1,
};
use clap::Args;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    #[arg(long, default_value = "")]
    filter: String,
    /// All of SP1: every dialect and route, attacks, failures, captures, kills
    /// (an hour on two cores, and 18 GB of memory)
    #[arg(long)]
    sp1_full: bool,
}

#[derive(Args)]
pub(crate) struct SoakOptions {
    /// Only soak tests whose name contains this
    #[arg(default_value = "")]
    filter: String,
}

/// What tests said, summed over test programs.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

pub(crate) fn run(options: &Options) -> Result {
    conclude(&all(&options.filter, options.sp1_full)?)
}

/// Runs all whose name contains `filter`.
pub(crate) fn all(filter: &str, sp1_full: bool) -> Result<Tally> {
    prepare()?;
    let filters = Some(filter).filter(|filter| !filter.is_empty());
    let mut cargo = cargo_test();
    cargo.args(filters);
    let mut tally = tally(&mut cargo)?;
    sp1::build(sp1::Level::own())?;
    let mut cargo = sp1::cargo(sp1::Level::own(), "test")?;
    cargo.arg("--no-fail-fast").args(filters);
    tally.join(self::tally(&mut cargo)?);
    let full: &[Check] = if sp1_full { &sp1::cases::FULL } else { &[] };
    tally.join(check(
        CHECKS.iter().chain(&sp1::cases::QUICK).chain(full),
        filter,
    ));
    Ok(tally)
}

/// Runs those whose name contains `filter`.
pub(crate) fn check<'a>(checks: impl IntoIterator<Item = &'a Check>, filter: &str) -> Tally {
    let mut tally = Tally::default();
    for (name, check) in checks {
        if !name.contains(filter) {
            continue;
        }
        let outcome = check();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        match outcome {
            Ok(()) => tally.passed += 1,
            Err(failure) => {
                eprintln!("xtask: {name}: {failure}");
                tally.failed += 1;
            }
        }
    }
    tally
}

/// Tests marked `#[ignore]`: minutes to hours.
pub(crate) fn soak(options: &SoakOptions) -> Result {
    prepare()?;
    let mut cargo = cargo_test();
    if !options.filter.is_empty() {
        cargo.arg(&options.filter);
    }
    cargo.args(["--", "--ignored", "--test-threads", "1"]);
    conclude(&tally(&mut cargo)?)
}

fn prepare() -> Result {
    node::require_tools()?;
    node::install()?;
    demo::build()
}

/// `cargo test` on everything, told where binaries and packages are.
fn cargo_test() -> Command {
    let mut cargo = shell::cargo();
    cargo.args([
        "test",
        "--release",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ]);
    cargo.env("SOUNDPROOF_BIN_DIR", shell::release_dir());
    cargo.env("SOUNDPROOF_DEMO_DIR", node::folder());
    cargo
}

fn tally(cargo: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = shell::follow(cargo, |line| tally.add(line))?;
    // A test program that does not compile, or that dies, prints no result.
    if !succeeded && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

impl Tally {
    fn join(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = counts.split_once(". ").map_or(counts, |(_, rest)| rest);
        for part in counts.split("; ") {
            match part
                .split_once(' ')
                .map(|(n, word)| (n.parse::<u64>(), word))
            {
                Some((Ok(n), "passed")) => self.passed += n,
                Some((Ok(n), "failed")) => self.failed += n,
                Some((Ok(n), "ignored")) => self.ignored += n,
                _ => {}
            }
        }
    }
}

pub(crate) fn conclude(tally: &Tally) -> Result {
    let Tally {
        passed,
        failed,
        ignored,
    } = tally;
    if *ignored > 0 {
        println!("{ignored} soak tests left out: cargo xtask soak runs them");
    }
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        _ => Err(Failure::new("tests failed")),
    }
}

/// A check that needs more than one program of the workspace, and others.
pub(crate) type Check = (&'static str, fn() -> Result);

const CHECKS: [Check; 1] = [("snarkjs_accepts_the_delegated_proof_and_no_other", snarkjs)];

/// snarkjs and Semaphore's own verifier accept a proof that the enclave made,
/// and refuse it for other public signals: would fail if the proof or the
/// signals that the client wrote were not those of the circuit, or if the
/// verifier accepted everything.
fn snarkjs() -> Result {
    let out = shell::target_dir().join("xtask/delegated");
    let circuit = Circuit::semaphore(20);
    let inputs = Inputs::make(&out.join("inputs"), circuit.depth, 1000, 1)?;
    let said = demo::json(&mut demo::command(&circuit, &[inputs.input(0)], 1, &out))?;
    for field in ["proof_verified", "receipt_verified"] {
        if said.get(field) != Some(&Value::Bool(true)) {
            return Err(Failure::new(format!(
                "soundproof demo --json: {field} is not true"
            )));
        }
    }
    let path = |field: &str| {
        let text = said.get(field).and_then(Value::as_str);
        text.map(PathBuf::from)
            .ok_or_else(|| Failure::new(format!("no {field} in demo --json")))
    };
    let (proof, public) = (path("proof")?, path("public")?);
    if !node::verifies(&circuit, &proof, &public, &inputs.meta(0))? {
        return Err(Failure::new("snarkjs refuses the delegated proof"));
    }
    let other = out.join("other-public.json");
    change_a_signal(&public, &other)?;
    if node::verifies(&circuit, &proof, &other, &inputs.meta(0))? {
        return Err(Failure::new(
            "the proof verifies for signals that it was not made for",
        ));
    }
    Ok(())
}

/// Writes the public signals with the nullifier, the second, replaced.
fn change_a_signal(public: &Path, other: &Path) -> Result {
    let text = fs::read_to_string(public).map_err(|error| Failure::of(public.display(), error))?;
    let mut signals: Value =
        serde_json::from_str(&text).map_err(|error| Failure::of(public.display(), error))?;
    match signals.get_mut(1) {
        Some(nullifier) => *nullifier = Value::from("1"),
        None => return Err(Failure::new("public.json has no second signal")),
    }
    fs::write(other, signals.to_string()).map_err(|error| Failure::of(other.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_test_programs_are_summed() {
        let mut tally = Tally::default();
        tally.add("running 3 tests");
        tally.add("test a ... ok");
        tally.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }
}
