//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, a workspace of its own,
//! one after the other. A finding ends the run; its input stays in
//! `fuzz/artifacts/`.

use crate::shell::{self, Failure, Result};
use clap::Args;
use std::fs;

/// Targets that need the Groth16 prover, which takes minutes to build.
const PROVER: [&str; 4] = ["circom_input", "wasm", "wtns", "zkey"];

#[derive(Args)]
pub(crate) struct Options {
    /// Only targets whose name contains this
    #[arg(default_value = "")]
    target: String,
    /// Seconds for each target
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// With AddressSanitizer: slower; needs RUSTC_BOOTSTRAP, which is set
    #[arg(long)]
    asan: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    if !shell::has("cargo-fuzz") {
        return Err(Failure::new(
            "cargo-fuzz is missing: cargo install --locked cargo-fuzz",
        ));
    }
    let listed = shell::output(shell::cargo().args(["fuzz", "list"]))?;
    let mut targets: Vec<_> = listed
        .lines()
        .filter(|name| name.contains(&options.target))
        .collect();
    // Those last: the others do not wait for what they need.
    targets.sort_by_key(|target| PROVER.contains(target));
    if targets.is_empty() {
        return Err(Failure::new(format!(
            "no fuzz target's name contains {:?}",
            options.target
        )));
    }
    for target in &targets {
        let mut cargo = shell::cargo();
        // Other flags than the product's: kept apart.
        cargo.env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/fuzz"));
        cargo.args(["fuzz", "run", "--release", "--sanitizer"]);
        if options.asan {
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("address");
        } else {
            cargo.arg("none");
        }
        // What it finds on its way goes to the corpus, which is not committed;
        // the seeds are.
        let corpus = shell::root().join("fuzz/corpus").join(target);
        let seeds = shell::root().join("fuzz/seeds").join(target);
        fs::create_dir_all(&corpus).map_err(|error| Failure::of(corpus.display(), error))?;
        if PROVER.contains(target) {
            cargo.args(["--features", "groth16"]);
        }
        cargo.arg(target);
        cargo.args([corpus, seeds]).arg("--");
        cargo.args(["-rss_limit_mb=2048", "-timeout=10", "-verbosity=0"]);
        cargo.args([
            "-print_final_stats=1",
            &format!("-max_total_time={}", options.seconds),
        ]);
        shell::run(&format!("fuzzing {target}"), &mut cargo)?;
    }
    println!(
        "{} targets, {} s each, no finding",
        targets.len(),
        options.seconds
    );
    Ok(())
}
