//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, a workspace of its own,
//! as many at a time as there are processors, and says of each how many inputs
//! it tried. A finding does not stop the others; its input stays in
//! `fuzz/artifacts/`.

use crate::shell::{self, Failure, Result};
use clap::Args;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

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
    /// Targets at a time; as many as there are processors if it is not said
    #[arg(long)]
    jobs: Option<usize>,
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
        shell::run(
            &format!("building {target}"),
            options.cargo("build", target).arg(target),
        )?;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).clamp(1, targets.len());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    println!("| target | inputs tried | findings |");
    println!("|---|---|---|");
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match options.fuzz(target) {
                        Ok(inputs) => println!("| {target} | {inputs} | 0 |"),
                        Err(failure) => {
                            println!("| {target} | | {failure} |");
                            if let Ok(mut failures) = failures.lock() {
                                failures.push(*target);
                            }
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if !failures.is_empty() {
        return Err(Failure::new(format!(
            "failed: {}; inputs in fuzz/artifacts, logs in {}",
            failures.join(", "),
            logs().display()
        )));
    }
    eprintln!(
        "== {} targets, {} s each, no finding",
        targets.len(),
        options.seconds
    );
    Ok(())
}

fn logs() -> PathBuf {
    shell::target_dir().join("xtask/fuzz-logs")
}

impl Options {
    fn cargo(&self, command: &str, target: &str) -> Command {
        let mut cargo = shell::cargo();
        // Other flags than the product's: kept apart.
        cargo.env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/fuzz"));
        cargo.args(["fuzz", command, "--release", "--sanitizer"]);
        if self.asan {
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("address");
        } else {
            cargo.arg("none");
        }
        if PROVER.contains(&target) {
            cargo.args(["--features", "groth16"]);
        }
        cargo
    }

    /// Runs one; how many inputs it tried.
    fn fuzz(&self, target: &str) -> Result<String> {
        let mut cargo = self.cargo("run", target);
        // What it finds on its way goes to the corpus, which is not committed;
        // the seeds are.
        let corpus = shell::root().join("fuzz/corpus").join(target);
        let seeds = shell::root().join("fuzz/seeds").join(target);
        let log = logs().join(format!("{target}.log"));
        let failed = |error| Failure::of(log.display(), error);
        fs::create_dir_all(&corpus).map_err(failed)?;
        fs::create_dir_all(logs()).map_err(failed)?;
        let file = fs::File::create(&log).map_err(failed)?;
        cargo.arg(target).arg(corpus);
        if seeds.is_dir() {
            cargo.arg(seeds);
        }
        cargo.args(["--", "-rss_limit_mb=2048", "-timeout=10", "-verbosity=0"]);
        cargo.args([
            "-print_final_stats=1",
            &format!("-max_total_time={}", self.seconds),
        ]);
        let status = cargo
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .map_err(failed)?;
        if !status.success() {
            return Err(Failure::of("ended with", status));
        }
        let text = fs::read_to_string(&log).map_err(failed)?;
        text.lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .map(|number| number.trim().to_owned())
            .ok_or_else(|| Failure::new("it says nothing of what it tried"))
    }
}
