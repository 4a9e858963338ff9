//! Times the Groth16 provers that the crate registry offers, ours among them,
//! on one proving key and one witness, and prints JSON.
//!
//! What is timed is the same for all: from a witness in memory (field elements)
//! and a key that is loaded and prepared to a proof, and one verification of it
//! (ours and snarkrs's provers verify by themselves). Runs are interleaved, so
//! that a busy moment of the machine meets all alike. Loading and preparing the
//! key is timed once, apart.

mod provers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

/// Times Groth16 provers on one key and one witness.
#[derive(Parser)]
struct Arguments {
    /// The proving key, as snarkjs writes it.
    #[arg(long)]
    zkey: PathBuf,
    /// The witness, as snarkjs or circom writes it.
    #[arg(long)]
    wtns: PathBuf,
    /// How many proofs each prover makes.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

struct Peer {
    name: &'static str,
    load: Duration,
    prove: provers::Prove,
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let zkey = std::fs::read(&arguments.zkey)?;
    let wtns = std::fs::read(&arguments.wtns)?;
    let mut peers = Vec::new();
    for (name, load) in provers::ALL {
        let start = Instant::now();
        let prove = load(&zkey, &wtns)?;
        peers.push(Peer { name, load: start.elapsed(), prove, wall: Vec::new(), cpu: Vec::new() });
    }
    for peer in &mut peers {
        (peer.prove)()?; // caches, thread pools
    }
    for _ in 0..arguments.runs {
        for peer in &mut peers {
            let (start, cpu) = (Instant::now(), cpu_ms());
            (peer.prove)()?;
            peer.wall.push(start.elapsed().as_secs_f64() * 1e3);
            peer.cpu.push(cpu_ms() - cpu);
        }
    }
    let mut rows = Vec::new();
    for Peer { name, load, mut wall, mut cpu, .. } in peers {
        let runs_ms = wall.clone();
        wall.sort_by(f64::total_cmp);
        cpu.sort_by(f64::total_cmp);
        let load_ms = load.as_secs_f64() * 1e3;
        let (median_ms, p95_ms) = (quantile(&wall, 0.5), quantile(&wall, 0.95));
        let (min_ms, cpu_ms) = (quantile(&wall, 0.0), quantile(&cpu, 0.5));
        if !arguments.json {
            println!(
                "{name:<28} median {median_ms:7.1} ms  p95 {p95_ms:7.1}  min {min_ms:7.1}  processor {cpu_ms:7.1}  load {load_ms:7.0}"
            );
        }
        rows.push(json!({
            "name": name, "load_ms": load_ms, "cpu_ms": cpu_ms, "runs_ms": runs_ms,
            "prove_verify_ms": { "median": median_ms, "p95": p95_ms, "min": min_ms },
        }));
    }
    if arguments.json {
        let threads = std::thread::available_parallelism().map_or(0, usize::from);
        println!(
            "{}",
            json!({ "runs": arguments.runs, "threads": threads, "peers": Value::from(rows) })
        );
    }
    Ok(())
}

/// Processor time of all threads so far: what a busy machine does not stretch.
fn cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The value at `q` of sorted values (nearest rank).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1).min(last)).copied().unwrap_or(f64::NAN)
}
