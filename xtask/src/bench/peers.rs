//! Other provers on the same witness: snarkjs, and those of the crate registry,
//! which `bench/` builds as a workspace of its own.

use super::stats::Series;
use crate::{
    node::{self, Circuit},
    shell::{self, Failure, Result},
};
use serde_json::Value;
use std::path::Path;

pub(crate) fn run(circuit: &Circuit, input: &Path, runs: usize, out: &Path) -> Result<Vec<Series>> {
    let mut all = snarkjs(circuit, input, runs, out)?;
    all.extend(crates(circuit, runs, out)?);
    Ok(all)
}

fn parse(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Failure::of(what, error))
}

/// snarkjs in one node process; the first run, which warms it up, is left out.
/// Leaves its witness in `out` for the others.
fn snarkjs(circuit: &Circuit, input: &Path, runs: usize, out: &Path) -> Result<Vec<Series>> {
    let mut script = node::script("prove-snarkjs.mjs");
    script
        .arg("--wasm")
        .arg(&circuit.wasm)
        .arg("--zkey")
        .arg(&circuit.zkey);
    script
        .arg("--vkey")
        .arg(&circuit.vkey)
        .arg("--input")
        .arg(input);
    script
        .arg("--out")
        .arg(out)
        .args(["--runs", &(runs + 1).to_string()]);
    eprintln!("== snarkjs");
    let said = parse("snarkjs", &shell::output(&mut script)?)?;
    let runs = said["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let ms = |run: &Value, field: &str| run[field].as_f64().unwrap_or(f64::NAN);
    let warm = || runs.iter().skip(1);
    let total = warm().map(|run| ms(run, "total_ms")).collect();
    let proof = warm()
        .map(|run| ms(run, "prove_ms") + ms(run, "verify_ms"))
        .collect();
    Ok(vec![
        Series::new("snarkjs, warm", total),
        Series::new("witness given: snarkjs", proof),
    ])
}

/// The provers of the crate registry, and ours, from a witness to a verified
/// proof: none of the others makes witnesses.
fn crates(circuit: &Circuit, runs: usize, out: &Path) -> Result<Vec<Series>> {
    let mut cargo = shell::cargo();
    cargo.env("CARGO_TARGET_DIR", shell::target_dir().join("xtask/bench"));
    cargo.current_dir(shell::root().join("bench"));
    cargo.args(["run", "--quiet", "--release", "--locked", "--", "--json"]);
    cargo
        .arg("--zkey")
        .arg(&circuit.zkey)
        .arg("--wtns")
        .arg(out.join("witness.wtns"));
    cargo.args(["--runs", &runs.to_string()]);
    eprintln!("== peers: building and measuring");
    let said = parse("bench", &shell::output(&mut cargo)?)?;
    let peers = said["peers"].as_array().map_or(&[][..], Vec::as_slice);
    peers
        .iter()
        .map(|peer| {
            let times = peer["runs_ms"].as_array();
            let times = times.map(|all| all.iter().filter_map(Value::as_f64).collect());
            match (peer["name"].as_str(), times) {
                (Some(name), Some(times)) => {
                    Ok(Series::new(format!("witness given: {name}"), times))
                }
                _ => Err(Failure::new("bench gave a peer without name or runs_ms")),
            }
        })
        .collect()
}
