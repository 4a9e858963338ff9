//! The calls that only read: what they tell the owner, and what a stranger.

use crate::app::{Account, Server, details};
use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value, json};
use sp1_sdk::{
    SP1ProofMode,
    network::{
        B256, NetworkClient, NetworkMode,
        proto::{GetFilteredProofRequestsResponse, GetProofRequestParamsResponse},
    },
};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// A request to tell the details of
    #[arg(long, value_name = "HEX")]
    request_id: Option<String>,
}

/// Each call's answer, or its error; `ok` when balance and nonce were answered.
pub(crate) async fn run(options: &Options) -> Result<Value> {
    let account = options.server.account()?;
    let mode = options.server.dialect.mode();
    let client = account.client(options.server.dialect).await;
    let low = network(&account, mode)?;
    let stranger = network(&account.stranger()?, mode)?;
    let address = account.signer()?.address().to_vec();

    let mut answers = Map::new();
    let mut tell = |name: &str, answer: Result<Value>| {
        let answer = answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        answers.insert(name.into(), answer);
    };
    tell(
        "balance",
        client
            .get_balance()
            .await
            .map(|balance| balance.to_string().into()),
    );
    tell("nonce", low.get_nonce().await.map(Value::from));
    tell(
        "program",
        low.get_program(B256::ZERO)
            .await
            .map(|found| found.is_some().into()),
    );
    let params = low
        .get_proof_request_params(SP1ProofMode::Core.into())
        .await;
    tell("params", params.map(params_json));
    let price = low.get_market_price_per_pgu().await;
    tell(
        "market_price",
        price.map(|price| price.wei.to_string().into()),
    );
    tell("list", list(&low, &address).await);
    tell("list_by_stranger", list(&stranger, &address).await);
    if let Some(id) = &options.request_id {
        let id = hex::decode(id).context("--request-id")?;
        anyhow::ensure!(id.len() == 32, "--request-id: 32 bytes");
        let id = B256::from_slice(&id);
        tell("details", Ok(details(&client, id).await));
        let status = client.get_proof_status(id).await;
        tell(
            "status",
            status.map(|(status, _)| status.fulfillment_status().into()),
        );
    }
    let answered = |name: &str| {
        answers
            .get(name)
            .is_some_and(|answer| answer.get("error").is_none())
    };
    let ok = answered("balance") && answered("nonce") && answered("program");
    Ok(json!({ "ok": ok, "answers": answers }))
}

fn network(account: &Account, mode: NetworkMode) -> Result<NetworkClient> {
    let builder = NetworkClient::builder(account.signer()?, &account.url, mode);
    Ok(match &account.token {
        Some(token) => builder.bearer_token(token.clone()),
        None => builder,
    }
    .build())
}

fn params_json(params: GetProofRequestParamsResponse) -> Value {
    match params {
        GetProofRequestParamsResponse::Auction(params) => json!({
            "base_fee": params.base_fee,
            "max_price_per_pgu": params.max_price_per_pgu,
            "auctioneer_bytes": params.auctioneer.len(),
        }),
        GetProofRequestParamsResponse::Unsupported => json!("not of this dialect"),
    }
}

/// How many requests of `requester` the list shows.
async fn list(client: &NetworkClient, requester: &[u8]) -> Result<Value> {
    let of = Some(requester.to_vec());
    let listed = client
        .get_filtered_proof_requests(
            None, None, None, None, None, of, None, None, None, None, None, None, None, None, None,
            None,
        )
        .await?;
    let count = match listed {
        GetFilteredProofRequestsResponse::Auction(list) => list.requests.len(),
        GetFilteredProofRequestsResponse::Base(list) => list.requests.len(),
    };
    Ok(count.into())
}
