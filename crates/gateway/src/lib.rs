//! The server: it takes what strangers send, keeps it, and passes ciphertext
//! on to the keeper. It may use the network and the store; it holds no key
//! that opens a witness, and cannot quote.
//!
//! [`run`] serves the HTTP API of [`soundproof_protocol::api`] until it is told
//! to stop or the link to the keeper closes.
//!
//! | module | what |
//! |---|---|
//! | [`direct`] | where SP1's own clients are served: the hook for it |
//! | `server`, `guard` | listeners, and what is checked of every request; what any listener needs is in [`soundproof_http`] |
//! | `routes` | the API |
//! | `auth`, `rates` | tenants, access secrets, rates |
//! | `link` | the connection to the keeper |
//! | `scheduler`, `upkeep` | from the queue to the keeper; what time and restarts bring |
//! | `collateral` | endorsements, stapled to sessions and kept fresh |
//! | `hub` | events for whoever listens |
#![forbid(unsafe_code)]

mod app;
mod auth;
mod body;
mod collateral;
mod config;
pub mod direct;
mod guard;
mod hub;
mod link;
mod metrics;
mod problem;
mod rates;
mod routes;
mod scheduler;
mod server;
mod upkeep;

pub use auth::ApiKeys;
pub use config::{GatewayConfig, Limits, Rates, Storage, Tls};
pub use soundproof_collateral::{CollateralConfig, Kind, SourceConfig};

use app::App;
use link::{Link, Outcomes};
use server::Door;
use soundproof_http::tls::Identity;
use soundproof_jobs::{
    OwnerId, Quota, StoreError,
    embedded::{Embedded, Room},
};
use soundproof_protocol::{
    digest::Digest,
    link::{KeeperAnswers, KeeperStatus},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, UnixStream},
    sync::{Semaphore, oneshot},
};
use tokio_util::sync::CancellationToken;

/// Parsers of outside bytes, for fuzzing: each must refuse or accept, and never
/// panic.
pub mod fuzz {
    /// The body of POST /v1/sessions.
    pub fn open_session(bytes: &[u8]) -> bool {
        crate::routes::parse_open_session(bytes)
    }

    /// The body of POST /v1/jobs.
    pub fn create_job(bytes: &[u8]) -> bool {
        crate::routes::parse_create_job(bytes)
    }

    /// A `Range` header.
    pub fn range(bytes: &[u8]) -> bool {
        crate::routes::parse_range(bytes)
    }

    /// A `Host` header.
    pub fn host(bytes: &[u8]) -> bool {
        soundproof_http::guard::loopback_authority(bytes)
    }

    /// A file of API keys.
    pub fn api_keys(bytes: &[u8]) -> bool {
        core::str::from_utf8(bytes).is_ok_and(|text| crate::ApiKeys::from_toml(text).is_ok())
    }
}

/// Why the gateway ended, or never began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A setting is not usable.
    #[error("configuration: {0}")]
    Config(String),
    /// The store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The keeper closed the link, did not answer, or broke the protocol.
    #[error("the keeper is gone")]
    KeeperGone,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listening {
    /// The address, with the port that was taken.
    pub address: SocketAddr,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate; none for plain
    /// HTTP.
    pub spki: Option<Digest>,
}

impl Listening {
    /// The URL to reach it by.
    pub fn url(&self) -> String {
        let scheme = if self.spki.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Serves until `shutdown` completes, or the link closes.
///
/// `listening` is told the address once requests are answered. Nothing is
/// written to stdout or stderr; log by installing a `tracing` subscriber.
///
/// # Errors
/// [`GatewayError`]. An end by `shutdown` is `Ok`.
pub async fn run(
    config: GatewayConfig,
    link: UnixStream,
    shutdown: impl Future<Output = ()> + Send,
    listening: oneshot::Sender<Listening>,
) -> Result<(), GatewayError> {
    run_with(config, link, shutdown, listening, None).await
}

/// [`run`], with the direct path: where the keeper has it on, `direct` makes
/// the router that serves it. Without one it is not served.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: GatewayConfig,
    link: UnixStream,
    shutdown: impl Future<Output = ()> + Send,
    listening: oneshot::Sender<Listening>,
    direct: Option<direct::Build>,
) -> Result<(), GatewayError> {
    let keys = match &config.api_keys {
        None => None,
        Some(path) => Some(
            ApiKeys::from_file(path)
                .map_err(|why| GatewayError::Config(format!("{}: {why}", path.display())))?,
        ),
    };
    let loopback = config.listen.ip().is_loopback();
    if keys.is_none() {
        if !loopback && !config.open_to_all {
            let why = "off loopback set api_keys, or open_to_all = true";
            return Err(GatewayError::Config(why.into()));
        }
        tracing::warn!(
            listen = %config.listen,
            "API keys are off: whoever reaches this address may open sessions and submit jobs"
        );
    }
    let identity = identity(&config.tls, config.listen.ip())?;
    let stapler = collateral::Stapler::new(&config)?;
    let listener =
        TcpListener::bind(config.listen)
            .await
            .map_err(|error| GatewayError::Listen {
                address: config.listen,
                error,
            })?;
    let address = listener
        .local_addr()
        .map_err(|error| GatewayError::Listen {
            address: config.listen,
            error,
        })?;
    let room = Room {
        max_bytes: config.storage.max_bytes,
        min_free_bytes: config.storage.min_free_bytes,
    };
    let store = Arc::new(Embedded::open(&config.data, room).await?);

    let (link, incoming) = Link::new(link);
    let spki = identity.as_ref().map(Identity::spki);
    let (connect, hello) = upkeep::hello(link.clone(), incoming, spki);
    let Ok(KeeperAnswers::Hello {
        instance,
        modes,
        slots,
        direct: secret,
    }) = hello.await
    else {
        return Err(GatewayError::KeeperGone);
    };
    let offered: Vec<String> = modes
        .iter()
        .filter(|offer| offer.mode.offered())
        .map(|offer| format!("{}/{}", offer.system, offer.mode.name))
        .collect();
    tracing::info!(%instance, ?offered, slots, "the keeper is there");

    let direct = secret.zip(direct);
    if direct.is_some() && !loopback && !config.open_to_all && config.sp1_requesters.is_empty() {
        let why = "sp1_direct: off loopback set sp1_requesters, or open_to_all = true";
        return Err(GatewayError::Config(why.into()));
    }
    let direct = match direct {
        Some((secret, build)) => Some((direct::Opening::new(secret).await?, build)),
        None => None,
    };

    let mut owner = OwnerId([0; 16]);
    getrandom::fill(&mut owner.0).map_err(|error| GatewayError::Config(error.to_string()))?;
    let app = Arc::new(App {
        store: store.clone(),
        outcomes: Outcomes::new(store),
        hub: Arc::default(),
        scheduler: scheduler::Scheduler::default(),
        metrics: metrics::Metrics::new(),
        rates: rates::Rates::new(&config.rates),
        stapler,
        keys,
        inner: direct.as_ref().map(|(opening, _)| opening.keys()),
        anonymous: Arc::new(auth::Tenant {
            name: String::new(),
            quota: Quota::UNLIMITED,
            sessions: soundproof_http::rates::Rate::unlimited(),
        }),
        owner,
        instance,
        modes,
        tls: identity.is_some(),
        creating: (0..64).map(|_| tokio::sync::Mutex::default()).collect(),
        uploads: Semaphore::new(config.limits.uploads.max(1) as usize),
        subscribers: Arc::new(Semaphore::new(config.limits.subscribers as usize)),
        keeper: std::sync::Mutex::new(KeeperStatus::default()),
        stopping: CancellationToken::new(),
        link: link.clone(),
        config,
    });
    connect
        .send(app.clone())
        .map_err(|_| GatewayError::KeeperGone)?;
    upkeep::resume(&app).await?;
    let bound = Listening { address, spki };
    let mut inner = None;
    let mut extra = None;
    if let Some((opening, build)) = direct {
        let (serving, router) = opening.open(&app, bound, build).await?;
        (inner, extra) = (Some(serving), Some(router));
    }
    let router = routes::router(app.clone(), extra).map_err(GatewayError::Config)?;

    let tls = identity.map(|identity| identity.acceptor());
    let tasks = [
        tokio::spawn(scheduler::drive(app.clone(), slots)),
        tokio::spawn(upkeep::watch_keeper(app.clone())),
        tokio::spawn(upkeep::keep(app.clone())),
        tokio::spawn(collateral::keep(app.clone())),
    ];
    let mut serving = tokio::spawn(server::serve(
        app.clone(),
        router,
        listener,
        tls,
        Door::Public,
    ));
    tracing::info!(url = bound.url(), "listening");
    let _ = listening.send(bound); // nobody may care

    let shutdown = std::pin::pin!(shutdown);
    let result = tokio::select! {
        () = shutdown => Ok(()),
        () = link.closed().cancelled() => Err(GatewayError::KeeperGone),
        _ = &mut serving => Err(GatewayError::Config("the server ended".into())),
    };
    app.stopping.cancel();
    if result.is_ok() && !serving.is_finished() {
        let _ = serving.await;
        if let Some(inner) = inner {
            let _ = inner.await;
        }
    }
    link.closed().cancel();
    for task in tasks {
        task.abort();
    }
    app.store.close().await;
    result
}

/// As configured; `None` for plain HTTP. The key's digest goes into every
/// session's transcript, so that a client can pin it.
fn identity(tls: &Tls, listen: IpAddr) -> Result<Option<Identity>, GatewayError> {
    let identity = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Identity::from_files(certificate, key),
        (None, None) if tls.self_signed || !listen.is_loopback() => {
            Identity::self_signed("soundproof", listen)
        }
        (None, None) => return Ok(None),
        _ => {
            return Err(GatewayError::Config(
                "certificate and key go together".into(),
            ));
        }
    };
    identity
        .map(Some)
        .map_err(|error| GatewayError::Config(error.to_string()))
}
