//! Everything together, on loopback: what `soundproof connect` runs.

use crate::{ClientBackend, Door, Receipts, Rhythm, Standing, Token, serve::serve};
use axum::Extension;
use soundproof::{Client, Error, Verdict};
use soundproof_sp1_network::{
    Backend as _, Caller, Config, MemoryJournal, MemoryStash, Network, Offers, OpenError, Parts,
    Refusal, SystemClock, SystemEntropy,
};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bytes of inputs, programs and proofs that are kept in memory at most.
const MEMORY: u64 = 4 << 30;
/// Records of requests that are kept in memory at most.
const RECORDS: usize = 8192;

/// What a proxy is made of.
#[derive(Debug)]
pub struct Settings {
    /// Of the server, with the policy to judge it by.
    pub client: Client,
    /// The user wants proofs that may reveal their witness.
    pub acknowledges_not_hiding: bool,
    /// Where it listens.
    pub door: Door,
    /// Where receipts are kept.
    pub receipts: Arc<Receipts>,
    /// How often it looks at the server.
    pub rhythm: Rhythm,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The server is not accepted, or does not answer.
    #[error(transparent)]
    Server(#[from] Error),
    /// The network's dialect cannot be served.
    #[error(transparent)]
    Network(#[from] OpenError),
}

/// A running proxy. Keeps what passes through in memory, and forgets it when
/// it stops.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    token: Option<Token>,
    backend: Arc<ClientBackend>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Has the server's evidence judged and begins to serve.
    ///
    /// # Errors
    /// [`ProxyError::Server`] if the evidence is not accepted now: nothing is
    /// served then.
    pub async fn start(settings: Settings) -> Result<(Self, Verdict), ProxyError> {
        let Settings {
            client,
            acknowledges_not_hiding,
            door,
            receipts,
            rhythm,
        } = settings;
        let (standing, verdict) =
            Standing::open(client.clone(), acknowledges_not_hiding, rhythm).await?;
        let mut config = Config::default();
        config.base_url = Some(door.url());
        config.limits.artifact_bytes = MEMORY;
        let backend = Arc::new(ClientBackend::new(client, standing, receipts.clone()));
        let network = Network::open(Parts {
            backend: backend.clone(),
            stash: Arc::new(MemoryStash::new(MEMORY)),
            journal: Arc::new(MemoryJournal::new(RECORDS)),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            config,
        })
        .await?;
        // Whoever is let in is the only user that there is.
        let router = network
            .router()
            .merge(receipts.router())
            .layer(Extension(Caller::Everything));
        let stop = CancellationToken::new();
        let (url, token) = (door.url(), door.token().cloned());
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            serve(door, router, stopped).await;
            network.stop().await;
        });
        let this = Self {
            url,
            token,
            backend,
            stop,
            serving,
        };
        Ok((this, verdict))
    }

    /// The URL to give to the SDK.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token to give to it, where one is demanded.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// What is offered now, or why everything is refused.
    ///
    /// # Errors
    /// The refusal, as the SDK's user reads it.
    pub async fn offers(&self) -> Result<Offers, Refusal> {
        self.backend.ready().await
    }

    /// Stops. Proofs that nobody fetched are gone.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.serving.await;
    }
}
