//! `cargo xtask bench verdict`: milliseconds of processor time for a verdict,
//! endorsements in hand.

use crate::{
    shell::{self, Failure, Result},
    wasm,
};
use serde_json::Value;
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Verdicts of each kind
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Not in WebAssembly
    #[arg(long)]
    native_only: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    let out = shell::target_dir().join("xtask/bench-verdict-cases");
    let failed = |error| Failure::of(out.display(), error);
    // What is left of an earlier run is of an earlier format.
    if out.exists() {
        fs::remove_dir_all(&out).map_err(failed)?;
    }
    fs::create_dir_all(&out).map_err(failed)?;
    let native = native(options, &out)?;
    let mut cases: Vec<PathBuf> = fs::read_dir(&out)
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    cases.sort();
    let in_wasm = if options.native_only {
        Vec::new()
    } else {
        lines(&wasm::time(&cases, options.runs.min(50))?)?
    };
    println!("| platform | evidence | native, median | p95 | bare | WebAssembly |");
    println!("|---|---|---|---|---|---|");
    let ms = |value: &Value, field: &str| match value[field].as_f64() {
        Some(ms) => format!("{ms:.2} ms"),
        None => "–".into(),
    };
    let ours = native.iter().filter(|line| line["what"] == "soundproof");
    for (index, line) in ours.enumerate() {
        let bare = native.iter().find(|other| {
            other["what"] != "soundproof"
                && other["case"] == line["case"]
                && other["platform"] == line["platform"]
        });
        let bare = bare.map_or("–".into(), |bare| {
            let name = bare["what"].as_str().unwrap_or_default();
            format!("{name} {}", ms(bare, "median_ms"))
        });
        println!(
            "| {} | {} | {} | {} | {bare} | {} |",
            line["platform"].as_str().unwrap_or_default(),
            line["case"].as_str().unwrap_or_default(),
            ms(line, "median_ms"),
            ms(line, "p95_ms"),
            in_wasm
                .get(index)
                .map_or("–".into(), |line| ms(line, "median_ms")),
        );
    }
    Ok(())
}

fn native(options: &Options, out: &PathBuf) -> Result<Vec<Value>> {
    let mut cargo = shell::cargo();
    cargo
        .env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/bench"))
        .current_dir(shell::root().join("bench/verdict"))
        .args(["run", "--release", "--quiet", "--locked", "--"])
        .arg(out)
        .arg(options.runs.to_string());
    lines(&shell::output(&mut cargo)?)
}

fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).map_err(|error| Failure::of("bench", error)))
        .collect()
}
