//! `cargo xtask bench delegation`: one Semaphore proof, from circom's input to a
//! proof that was verified, made by the same prover in the caller's process
//! (bare) and by a server on this machine (delegated: session, appraisal, seal,
//! upload, queue, witness, proof, verification in the enclave, fetch, and
//! verification by the client).
//!
//! Cold is the first proof of a process that was just started, and includes
//! reading the key and compiling the witness generator; delegated, the server
//! is up, but no blob, no key and no session is there. Warm is any later one;
//! delegated, each opens a session of its own. The target is for a session that
//! is open already, so the runs are also shown without what that took.

use super::{peers, plot, stats::Series};
use crate::{
    demo,
    node::{self, Circuit, Inputs},
    shell::{self, Failure, Result},
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Warm runs of a side before it is the other side's turn.
const BLOCK: usize = 5;

/// What the delegated path may cost: bare times the ratio, plus the rest.
const TARGET_RATIO: f64 = 1.03;
const TARGET_PLUS_MS: f64 = 10.0;

#[derive(Args)]
pub(crate) struct Options {
    /// Warm runs of each side, and as many cold ones
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Depth of the group's tree
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=32))]
    depth: u8,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
    /// The JSON object on stdout instead of the table
    #[arg(long)]
    json: bool,
    /// Where the JSON, the table and the plot go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Times of one side.
#[derive(Default)]
struct Side {
    cold: Vec<f64>,
    warm: Vec<f64>,
    /// Each run as the program gave it, for the phases.
    runs: Vec<Value>,
}

pub(crate) fn run(options: &Options) -> Result {
    node::require_tools()?;
    node::install()?;
    demo::build()?;
    let bare = build_bare()?;
    let out = match &options.out {
        Some(dir) => std::path::absolute(dir).map_err(|error| Failure::of("--out", error))?,
        None => shell::root().join("out/bench"),
    };
    let circuit = Circuit::semaphore(options.depth);
    let runs = usize::from(options.runs);
    let inputs = Inputs::make(&out.join("inputs"), options.depth, 1000, BLOCK + 1)?;
    let inputs: Vec<_> = (0..=BLOCK).map(|index| inputs.input(index)).collect();

    let run_bare = |n| bare_run(&bare, &circuit, &inputs, n);
    let run_delegated = |n| {
        demo::json(&mut demo::command(
            &circuit,
            &inputs,
            n,
            &out.join("delegated"),
        ))
    };
    let (mut bare, mut delegated) = (Side::default(), Side::default());
    while bare.cold.len() < runs || bare.warm.len() < runs {
        // One cold run begins every block; blocks without warm ones follow
        // once there are enough of those.
        let n = 1 + BLOCK.min(runs.saturating_sub(bare.warm.len()));
        bare.add(&run_bare(n)?)?;
        delegated.add(&run_delegated(n)?)?;
        eprintln!(
            "== cold {} of {runs}, warm {} of {runs}",
            bare.cold.len(),
            bare.warm.len()
        );
    }
    let peers = match options.no_peers {
        true => Vec::new(),
        false => peers::run(&circuit, &inputs[0], runs, &out)?,
    };
    report(options, &out, bare, delegated, peers)
}

impl Side {
    fn add(&mut self, said: &Value) -> Result {
        let malformed = || Failure::new("a program gave no total_ms for each of its runs");
        let runs = said
            .get("runs")
            .and_then(Value::as_array)
            .ok_or_else(malformed)?;
        for (index, run) in runs.iter().enumerate() {
            let total = run
                .get("total_ms")
                .and_then(Value::as_f64)
                .ok_or_else(malformed)?;
            if index == 0 {
                self.cold.push(total)
            } else {
                self.warm.push(total)
            }
            self.runs.push(run.clone());
        }
        Ok(())
    }

    /// The warm runs without what came before their session was open.
    fn with_session_open(&self) -> Vec<f64> {
        let ms = |run: &Value, name: &str| run[name].as_f64().unwrap_or(f64::NAN);
        let warm = self.runs.iter().filter(|run| run["cold"] != true);
        let open = |run| ms(run, "total_ms") - ms(run, "session_ms") - ms(run, "appraisal_ms");
        warm.map(open).collect()
    }

    /// Each phase of the cold or of the warm runs.
    fn phases(&self, cold: bool) -> Vec<Series> {
        let Some(Value::Object(first)) = self.runs.first() else {
            return Vec::new();
        };
        let runs = self.runs.iter().filter(|run| (run["cold"] == true) == cold);
        let runs: Vec<_> = runs.collect();
        let names = first.keys().filter(|name| name.ends_with("_ms"));
        let values = |name| runs.iter().filter_map(|run| run[name].as_f64()).collect();
        names.map(|name| Series::new(name, values(name))).collect()
    }
}

fn build_bare() -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--locked", "--example", "bare"]);
    shell::run(
        "bare prover",
        cargo.args(["--package", "soundproof-prover-groth16"]),
    )?;
    Ok(shell::release_dir().join("examples/bare"))
}

fn bare_run(bare: &Path, circuit: &Circuit, inputs: &[PathBuf], runs: usize) -> Result<Value> {
    let mut command: Command = shell::command(bare);
    command
        .arg("--wasm")
        .arg(&circuit.wasm)
        .arg("--zkey")
        .arg(&circuit.zkey);
    command
        .arg("--vkey")
        .arg(&circuit.vkey)
        .args(["--runs", &runs.to_string()]);
    for input in inputs {
        command.arg("--input").arg(input);
    }
    let text = shell::output(&mut command)?;
    serde_json::from_str(&text).map_err(|error| Failure::of("bare", error))
}

fn report(
    options: &Options,
    out: &Path,
    bare: Side,
    delegated: Side,
    peers: Vec<Series>,
) -> Result {
    let phases = [false, true].map(|cold| delegated.phases(cold));
    let mut series = vec![
        Series::new("bare, warm", bare.warm),
        Series::new(
            "delegated, warm, session open",
            delegated.with_session_open(),
        ),
        Series::new("delegated, warm, session opened anew", delegated.warm),
        Series::new("bare, cold", bare.cold),
        Series::new("delegated, cold", delegated.cold),
    ];
    let (bare_ms, delegated_ms) = (series[0].median(), series[1].median());
    let allowed_ms = bare_ms * TARGET_RATIO + TARGET_PLUS_MS;
    series.extend(peers);

    let mut table = rows("time to a verified proof, ms", &series);
    table += &rows("delegated, warm, each phase, ms", &phases[0]);
    table += &rows("delegated, cold, each phase, ms", &phases[1]);
    table += &format!(
        "warm delegated, session open, against bare: {:.3}x, {:+.1} ms; target {TARGET_RATIO}x + {TARGET_PLUS_MS} ms = {allowed_ms:.1} ms: {}\n",
        delegated_ms / bare_ms,
        delegated_ms - bare_ms,
        if delegated_ms <= allowed_ms {
            "reached"
        } else {
            "MISSED"
        },
    );
    let json_of = |all: &[Series]| all.iter().map(Series::json).collect::<Vec<_>>();
    let result = json!({
        "circuit": format!("semaphore-{}", options.depth),
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
        "series": json_of(&series),
        "warm_phases": json_of(&phases[0]), "cold_phases": json_of(&phases[1]),
        "ratio": delegated_ms / bare_ms, "difference_ms": delegated_ms - bare_ms,
        "target_ms": allowed_ms, "target_reached": delegated_ms <= allowed_ms,
    });
    let write = |name: &str, text: &str| {
        fs::write(out.join(name), text).map_err(|error| Failure::of(name, error))
    };
    write("delegation.json", &result.to_string())?;
    write("delegation.txt", &table)?;
    plot::write(&out.join("delegation.svg"), &series)?;
    match options.json {
        true => println!("{result}"),
        false => println!("{table}\n{}", out.display()),
    }
    Ok(())
}

/// A table of medians and 95th percentiles.
fn rows(title: &str, series: &[Series]) -> String {
    let mut table = format!("{title:<46} {:>5} {:>10} {:>10}\n", "runs", "median", "p95");
    for one in series {
        table += &format!(
            "{:<46} {:>5} {:>10.2} {:>10.2}\n",
            one.name,
            one.total_ms.len(),
            one.median(),
            one.p95()
        );
    }
    table + "\n"
}
