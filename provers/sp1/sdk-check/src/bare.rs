//! The same proof in this process: what a delegated one is compared with.

use crate::{
    app::{Mode, Program, ms, read_elf},
    input::Input,
};
use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use sp1_sdk::{ProveRequest as _, Prover as _, ProverClient, ProvingKey as _};
use std::time::Instant;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    input: Input,
    #[arg(long, value_enum, default_value = "core")]
    mode: Mode,
    /// How many proofs, one after another; the first warms up
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u32,
}

pub(crate) async fn run(options: &Options) -> Result<Value> {
    let elf = read_elf(&options.program.elf)?;
    let stdin = options.input.stdin()?;
    let start = Instant::now();
    let client = ProverClient::builder().cpu().build().await;
    let start_ms = ms(start);
    let start = Instant::now();
    let key = client.setup(elf).await?;
    let setup_ms = ms(start);

    let mut runs = Vec::new();
    for _ in 0..options.runs {
        let request = client.prove(&key, stdin.clone()).mode(options.mode.into());
        let start = Instant::now();
        let proof = request.await?;
        let prove_ms = ms(start);
        let start = Instant::now();
        let verified = client.verify(&proof, key.verifying_key(), None);
        runs.push(json!({
            "prove_ms": prove_ms,
            "verify_ms": ms(start),
            "proof_verified": verified.is_ok(),
        }));
    }
    Ok(json!({
        "ok": !runs.is_empty() && runs.iter().all(|run| run["proof_verified"] == true),
        "start_ms": start_ms,
        "setup_ms": setup_ms,
        "runs": runs,
        "peak_rss_bytes": peak_rss()?,
    }))
}

/// Linux' high-water mark of this process; the child that runs the guest is
/// not in it.
fn peak_rss() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
}
