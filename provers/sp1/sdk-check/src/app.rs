//! The client that an app would make, and what it learns when a call fails.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sp1_sdk::{
    Elf, NetworkProver, ProverClient, SP1ProofMode,
    network::{
        B256, Error, FulfillmentStrategy, NetworkBearerToken, NetworkMode, signer::NetworkSigner,
    },
};
use std::{path::Path, path::PathBuf, time::Instant};

/// Where to, in which dialect, as whom.
#[derive(Args)]
pub(crate) struct Server {
    /// The server's URL [default: SOUNDPROOF_RPC_URL]
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) dialect: Dialect,
    /// secp256k1 key in hexadecimal, as NETWORK_PRIVATE_KEY [default: a random one]
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// Bearer token, where the server wants one [default: SOUNDPROOF_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// How the app builds its client.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// `.network().private().rpc_url(…)`: with the default features, Mainnet
    Default,
    /// `.network_for(NetworkMode::Mainnet)`
    Mainnet,
    /// `.network_for(NetworkMode::Reserved)`, strategy Reserved
    Reserved,
    /// `.network().hosted()`
    Hosted,
}

impl Dialect {
    pub(crate) fn mode(self) -> NetworkMode {
        match self {
            Self::Default | Self::Mainnet => NetworkMode::Mainnet,
            Self::Reserved | Self::Hosted => NetworkMode::Reserved,
        }
    }

    pub(crate) fn strategy(self) -> Option<FulfillmentStrategy> {
        (self == Self::Reserved).then_some(FulfillmentStrategy::Reserved)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Mode {
    Core,
    Compressed,
    Plonk,
    Groth16,
}

impl From<Mode> for SP1ProofMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Core => Self::Core,
            Mode::Compressed => Self::Compressed,
            Mode::Plonk => Self::Plonk,
            Mode::Groth16 => Self::Groth16,
        }
    }
}

/// Who asks: the URL, the key and the token, told once.
pub(crate) struct Account {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) token: Option<NetworkBearerToken>,
}

impl Server {
    pub(crate) fn account(&self) -> Result<Account> {
        let from_environment = |name: &str| std::env::var(name).ok();
        let url = self
            .rpc_url
            .clone()
            .or_else(|| from_environment("SOUNDPROOF_RPC_URL"));
        let token = self
            .token
            .clone()
            .or_else(|| from_environment("SOUNDPROOF_TOKEN"));
        Ok(Account {
            url: url.context("no --rpc-url, and SOUNDPROOF_RPC_URL is not set")?,
            key: self.key.clone().map_or_else(random_key, Ok)?,
            token: token.map(NetworkBearerToken::new).transpose()?,
        })
    }
}

impl Account {
    /// The client, built as the dialect's users build it.
    pub(crate) async fn client(&self, dialect: Dialect) -> NetworkProver {
        let builder = ProverClient::builder();
        let builder = match dialect {
            Dialect::Default => builder.network().private(),
            Dialect::Mainnet => builder.network_for(NetworkMode::Mainnet).private(),
            Dialect::Reserved => builder.network_for(NetworkMode::Reserved).private(),
            Dialect::Hosted => builder.network().hosted(),
        };
        let builder = builder.private_key(&self.key).rpc_url(&self.url);
        match &self.token {
            Some(token) => builder.bearer_token(token.clone()),
            None => builder,
        }
        .build()
        .await
    }

    /// Somebody else on the same server.
    pub(crate) fn stranger(&self) -> Result<Self> {
        Ok(Self {
            url: self.url.clone(),
            key: random_key()?,
            token: self.token.clone(),
        })
    }

    pub(crate) fn signer(&self) -> Result<NetworkSigner> {
        Ok(NetworkSigner::local(&self.key)?)
    }
}

/// A key that nobody else has.
fn random_key() -> Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).context("no randomness")?;
    Ok(hex::encode(key))
}

pub(crate) fn read_elf(path: &Path) -> Result<Elf> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Elf::Dynamic(bytes.into()))
}

#[derive(Args)]
pub(crate) struct Program {
    /// The program
    #[arg(long, value_name = "FILE")]
    pub(crate) elf: PathBuf,
}

/// Milliseconds since `start`.
pub(crate) fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// What an app sees of a failure: the text, the SDK's kind, and the request's
/// details where the error names a request.
pub(crate) async fn failure(client: &NetworkProver, stage: &str, error: &anyhow::Error) -> Value {
    let mut report = json!({ "ok": false, "stage": stage, "error": format!("{error:#}") });
    let Some((kind, request)) = error.downcast_ref::<Error>().and_then(kind) else {
        return report;
    };
    report["kind"] = kind.into();
    report["request_id"] = hex::encode(request).into();
    if request.len() == 32 {
        report["details"] = details(client, B256::from_slice(request)).await;
    }
    report
}

fn kind(error: &Error) -> Option<(&'static str, &[u8])> {
    match error {
        Error::RequestUnexecutable { request_id } => Some(("unexecutable", request_id)),
        Error::RequestUnfulfillable { request_id } => Some(("unfulfillable", request_id)),
        Error::RequestReverted { request_id } => Some(("reverted", request_id)),
        Error::RequestExpired { request_id } => Some(("expired", request_id)),
        Error::RequestTimedOut { request_id } => Some(("timed_out", request_id)),
        Error::RequestAuctionTimedOut { request_id } => Some(("auction_timed_out", request_id)),
        _ => None,
    }
}

/// What `GetProofRequestDetails` tells of it.
pub(crate) async fn details(client: &NetworkProver, request_id: B256) -> Value {
    match client.get_proof_request(request_id).await {
        Ok(Some(request)) => json!({
            "fulfillment_status": request.fulfillment_status().as_str_name(),
            "execution_status": request.execution_status().as_str_name(),
            "execute_fail_cause": request.execute_fail_cause().as_str_name(),
            "error": request.error().as_str_name(),
            "error_trace": request.error_trace.as_deref().map(String::from_utf8_lossy),
            "deadline": request.deadline,
            "version": request.version,
            "vk_hash": hex::encode(&request.vk_hash),
            "requester": hex::encode(&request.requester),
            "is_canceled": request.is_canceled,
            "cycles": request.cycles,
        }),
        Ok(None) => Value::Null,
        Err(error) => json!({ "unanswered": format!("{error:#}") }),
    }
}
