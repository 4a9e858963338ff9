//! Set up, prove, verify: what every app does.

use crate::{
    app::{Mode, Program, Server, failure, ms, read_elf},
    input::Input,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use sp1_sdk::{
    NetworkProver, ProveRequest as _, Prover as _, ProvingKey as _, SP1ProvingKey, SP1Stdin,
    network::prove::NetworkProveBuilder,
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    pub(crate) request: Request,
    /// How many proofs, one after another
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u32,
    /// Wait so long before each proof but the first
    #[arg(long, value_name = "S", default_value_t = 0)]
    pause_s: u64,
    /// Keep the last proof, as the SDK saves it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// What an app may ask for beside program and input.
#[derive(Args)]
pub(crate) struct Request {
    #[arg(long, value_enum, default_value = "core")]
    pub(crate) mode: Mode,
    /// Do not execute the program here first
    #[arg(long)]
    skip_simulation: bool,
    /// Seconds until the request's deadline [default: the SDK's]
    #[arg(long, value_name = "S")]
    timeout_s: Option<u64>,
    #[arg(long, value_name = "N")]
    cycle_limit: Option<u64>,
    #[arg(long, value_name = "N")]
    gas_limit: Option<u64>,
    #[arg(long)]
    private_stdin: bool,
}

impl Request {
    /// The SDK's builder with these set.
    pub(crate) fn of<'a>(
        &self,
        server: &Server,
        client: &'a NetworkProver,
        key: &'a SP1ProvingKey,
        stdin: SP1Stdin,
    ) -> NetworkProveBuilder<'a> {
        let mut request = client.prove(key, stdin).mode(self.mode.into());
        if self.skip_simulation {
            request = request.skip_simulation(true);
        }
        if self.private_stdin {
            request = request.private_stdin(true);
        }
        if let Some(strategy) = server.dialect.strategy() {
            request = request.strategy(strategy);
        }
        if let Some(seconds) = self.timeout_s {
            request = request.timeout(Duration::from_secs(seconds));
        }
        if let Some(limit) = self.cycle_limit {
            request = request.cycle_limit(limit);
        }
        if let Some(limit) = self.gas_limit {
            request = request.gas_limit(limit);
        }
        request
    }
}

pub(crate) async fn run(options: &Options) -> Result<Value> {
    let elf = read_elf(&options.program.elf)?;
    let stdin = options.input.stdin()?;
    let account = options.server.account()?;

    let start = Instant::now();
    let client = account.client(options.server.dialect).await;
    let build_ms = ms(start);
    let start = Instant::now();
    let key = client.setup(elf).await?;
    let setup_ms = ms(start);

    let mut runs = Vec::new();
    let mut last = None;
    for run in 0..options.runs {
        if run > 0 {
            tokio::time::sleep(Duration::from_secs(options.pause_s)).await;
        }
        let request = options
            .request
            .of(&options.server, &client, &key, stdin.clone());
        let start = Instant::now();
        let proof = match request.await {
            Ok(proof) => proof,
            Err(error) => {
                let mut report = failure(&client, "prove", &error).await;
                report["after_ms"] = ms(start).into();
                return Ok(report);
            }
        };
        let prove_ms = ms(start);
        let start = Instant::now();
        let verified = client.verify(&proof, key.verifying_key(), None);
        runs.push(json!({
            "prove_ms": prove_ms,
            "verify_ms": ms(start),
            "proof_verified": verified.is_ok(),
            "refused": verified.err().map(|error| error.to_string()),
        }));
        last = Some(proof);
    }
    let Some(proof) = last else {
        anyhow::bail!("--runs 0");
    };
    if let Some(path) = &options.save {
        proof.save(path)?;
    }
    let all = runs.iter().all(|run| run["proof_verified"] == true);
    Ok(json!({
        "ok": all,
        "proof_verified": all,
        "build_ms": build_ms,
        "setup_ms": setup_ms,
        "prove_ms": runs.last().map(|run| run["prove_ms"].clone()),
        "runs": runs,
        "public_values": hex::encode(proof.public_values.as_slice()),
        "sp1_version": proof.sp1_version,
    }))
}
