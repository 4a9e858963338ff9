//! What goes wrong on a network: a program swapped for another, a client that
//! loses interest, clients in each other's way.

use crate::{
    app::{Program, Server, details, failure, ms, read_elf},
    input::Input,
    prove::Request,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use sp1_sdk::{Prover as _, ProvingKey as _, network::proto::types::FulfillmentStatus};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

#[derive(Args)]
pub(crate) struct Swap {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    program: Program,
    /// The program that is registered under the other's verifying key
    #[arg(long, value_name = "FILE")]
    other: PathBuf,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    request: Request,
    /// Then prove once more: the SDK registers the right program, where the
    /// server has forgotten the wrong one
    #[arg(long)]
    again: bool,
}

/// Succeeds when no proof came of it (and, with `again`, one did afterwards).
pub(crate) async fn swap(options: &Swap) -> Result<Value> {
    let stdin = options.input.stdin()?;
    let account = options.server.account()?;
    let client = account.client(options.server.dialect).await;
    let key = client.setup(read_elf(&options.program.elf)?).await?;
    let other = read_elf(&options.other)?;
    // `register_program` trusts its caller that the ELF is the key's.
    client.register_program(key.verifying_key(), &other).await?;

    let prove = || {
        options
            .request
            .of(&options.server, &client, &key, stdin.clone())
    };
    let start = Instant::now();
    let first = match prove().await {
        Ok(_) => json!({ "ok": true }),
        Err(error) => failure(&client, "prove", &error).await,
    };
    let mut report = json!({
        "ok": first["ok"] == false,
        "after_ms": ms(start),
        "refusal": first,
    });
    if options.again {
        let verified = match prove().await {
            Ok(proof) => client.verify(&proof, key.verifying_key(), None).is_ok(),
            Err(error) => {
                report["again_error"] = failure(&client, "prove", &error).await;
                false
            }
        };
        report["proof_verified_again"] = verified.into();
        report["ok"] = (report["ok"] == true && verified).into();
    }
    Ok(report)
}

#[derive(Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    request: Request,
    /// Seconds from the request to its cancellation
    #[arg(long, value_name = "S", default_value_t = 5)]
    after_s: u64,
}

/// Succeeds when the cancelled request ends without a proof.
pub(crate) async fn cancel(options: &Cancel) -> Result<Value> {
    let stdin = options.input.stdin()?;
    let account = options.server.account()?;
    let client = account.client(options.server.dialect).await;
    let key = client.setup(read_elf(&options.program.elf)?).await?;
    let request = options.request.of(&options.server, &client, &key, stdin);
    let request_id = request.request().await?;
    tokio::time::sleep(Duration::from_secs(options.after_s)).await;
    let (status, _) = client.get_proof_status(request_id).await?;
    let before = FulfillmentStatus::try_from(status.fulfillment_status())?;
    if let Err(error) = client.cancel_request(request_id).await {
        return Ok(json!({ "ok": false, "stage": "cancel", "error": format!("{error:#}") }));
    }
    let start = Instant::now();
    let end = match client
        .wait_proof(request_id, Some(Duration::from_secs(120)), None)
        .await
    {
        Ok(_) => json!({ "ok": true }),
        Err(error) => failure(&client, "wait", &error).await,
    };
    Ok(json!({
        "ok": end["ok"] == false && before == FulfillmentStatus::Assigned,
        "before": before.as_str_name(),
        "after_ms": ms(start),
        "end": end,
        "details": details(&client, request_id).await,
    }))
}

#[derive(Args)]
pub(crate) struct Race {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    request: Request,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 4)]
    clients: usize,
}

/// Each client registers, uploads and asks at the same moment under the same
/// key. Succeeds when each got a request of its own; cancels them all where the
/// dialect can.
pub(crate) async fn race(options: &Race) -> Result<Value> {
    let stdin = options.input.stdin()?;
    let account = options.server.account()?;
    let mut clients = Vec::new();
    for _ in 0..options.clients {
        clients.push(account.client(options.server.dialect).await);
    }
    let Some(first) = clients.first() else {
        anyhow::bail!("--clients 0");
    };
    let key = first.setup(read_elf(&options.program.elf)?).await?;

    let start = Instant::now();
    let mut asked = Vec::new();
    for client in &clients {
        asked.push(
            options
                .request
                .of(&options.server, client, &key, stdin.clone())
                .request(),
        );
    }
    let answers = join(asked).await;
    let after_ms = ms(start);
    let mut ids = Vec::new();
    let mut errors = Vec::new();
    for answer in answers {
        match answer {
            Ok(id) => ids.push(id),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    let mut cancelled = 0;
    for id in &ids {
        cancelled += usize::from(first.cancel_request(*id).await.is_ok());
    }
    ids.sort();
    ids.dedup();
    Ok(json!({
        "ok": ids.len() == options.clients,
        "requests": ids.len(),
        "errors": errors,
        "cancelled": cancelled,
        "after_ms": after_ms,
    }))
}

/// Polls all of them together, in this task: they borrow.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        match waiting.iter().all(|(_, output)| output.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
