//! The service: its settings, and the process that listens.

use crate::{api, keys, metrics, policies::Policies, routes, signer};
use signer::Signer;
use soundproof_collateral::{Collateral, CollateralConfig, CollateralError};
use soundproof_http::{
    connections::{self, Bounds},
    keys::Keys,
    rates::{PerSource, Rate},
    tls::{Identity, TlsError},
};
use soundproof_protocol::digest::Digest;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a request's headers, or a TLS handshake, may take.
const HEADERS: Duration = Duration::from_secs(10);

/// What the operator sets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifierConfig {
    /// Where to listen. Plain HTTP on a loopback address, TLS on any other.
    pub listen: SocketAddr,
    /// Folder of policies, `NAME.toml` each.
    pub policies: PathBuf,
    /// Who appraises: the URI or name that its users know its key by. Default
    /// `soundproof-verifier`.
    pub issuer: String,
    /// Seconds that an attestation result may be relied on. Default 300.
    pub lifetime_s: u64,
    /// File of the API keys of those who may ask, TOML:
    ///
    /// ```toml
    /// [keys.alice]               # the holder's name
    /// sha256 = "9f86d0…"         # of the key; the key itself is nowhere
    /// requests_per_minute = 600  # default 600
    /// ```
    /// Without one nobody authenticates, which is refused off loopback unless
    /// [`open_to_all`](Self::open_to_all).
    pub api_keys: Option<PathBuf>,
    /// Serve without API keys on an address that others can reach: everybody
    /// who can may ask. Default `false`.
    pub open_to_all: bool,
    /// PEM files of a certificate chain and its private key. Default: off
    /// loopback a key made in this process.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where endorsements come from that a request does not bring; `None`:
    /// from requests only.
    pub collateral: Option<CollateralConfig>,
    /// Requests a second from one source, and at once. Default 20, 100.
    pub rate: (u32, u32),
    /// Connections at once. Default 256.
    pub connections: u32,
    /// Appraisals at once; more wait. Default 4.
    pub appraisals: u32,
    /// Seconds for a request to arrive. Default 30.
    pub seconds: u64,
}

impl VerifierConfig {
    /// With defaults: loopback, endorsements from requests only.
    pub fn new(listen: SocketAddr, policies: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            policies: policies.into(),
            issuer: "soundproof-verifier".into(),
            lifetime_s: 300,
            api_keys: None,
            open_to_all: false,
            certificate: None,
            collateral: None,
            rate: (20, 100),
            connections: 256,
            appraisals: 4,
            seconds: 30,
        }
    }
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// A setting is not usable.
    #[error("{0}")]
    Config(String),
    /// A policy is none.
    #[error("{path}: {why}")]
    Policy {
        /// Its file.
        path: String,
        /// Why.
        why: String,
    },
    /// The TLS certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Sources of endorsements.
    #[error(transparent)]
    Collateral(#[from] CollateralError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

pub(crate) struct App {
    pub(crate) config: VerifierConfig,
    pub(crate) policies: Policies,
    pub(crate) collateral: Option<Collateral>,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) rates: PerSource,
    /// None: nobody authenticates.
    pub(crate) keys: Option<Keys<Rate>>,
    pub(crate) appraisals: Semaphore,
    pub(crate) signer: Signer,
    pub(crate) tls: bool,
    /// Milliseconds since 1970.
    pub(crate) clock: fn() -> u64,
}

/// A verifier that listens, and serves once it is told to.
pub struct Verifier {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Identity>,
}

impl Verifier {
    /// Reads the policies and takes the address. `clock` is milliseconds since
    /// 1970, by which everything is judged; `key` is what answers are signed
    /// with.
    ///
    /// # Errors
    /// [`VerifierError`].
    pub async fn open(
        config: VerifierConfig,
        key: signer::SigningKey,
        clock: fn() -> u64,
    ) -> Result<Self, VerifierError> {
        let keys = match &config.api_keys {
            Some(path) => Some(keys::read(path)?),
            None if config.listen.ip().is_loopback() || config.open_to_all => None,
            None => {
                let why = "off loopback everybody may ask who reaches it: name a file of API \
                    keys (api_keys), or say open_to_all";
                return Err(VerifierError::Config(why.into()));
            }
        };
        let policies = Policies::read(&config.policies)?;
        let collateral = match &config.collateral {
            None => None,
            Some(collateral) => Some(Collateral::new(collateral.clone())?),
        };
        let tls = identity(config.certificate.as_ref(), config.listen.ip())?;
        let listen = |error| VerifierError::Listen {
            address: config.listen,
            error,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            app: Arc::new(App {
                policies,
                collateral,
                metrics: metrics::Metrics::new(),
                rates: PerSource::new(config.rate.0, config.rate.1),
                keys,
                appraisals: Semaphore::new(config.appraisals.max(1) as usize),
                signer: Signer::new(key, &config.issuer, config.lifetime_s),
                tls: tls.is_some(),
                clock,
                config,
            }),
            listener,
            address,
            tls,
        })
    }

    /// The URL to reach it by.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of its certificate; none for plain
    /// HTTP.
    pub fn spki(&self) -> Option<Digest> {
        self.tls.as_ref().map(Identity::spki)
    }

    /// The key that answers are signed with.
    pub fn key(&self) -> api::Key {
        self.app.signer.key()
    }

    /// The names of its policies.
    pub fn policies(&self) -> Vec<String> {
        self.app.policies.names().map(str::to_owned).collect()
    }

    /// Answers until `stop`, and then what is under way.
    pub async fn serve(self, stop: CancellationToken) {
        let router = routes::router(self.app.clone());
        let acceptor = self.tls.map(|tls| tls.acceptor());
        let tidying = tokio::spawn(routes::tidy(self.app.clone()));
        let bounds = Bounds {
            connections: self.app.config.connections,
            connections_per_source: self.app.config.connections,
            streams: 32,
            headers: 64,
            header_bytes: 16 * 1024,
            header_time: HEADERS,
        };
        let open = self.app.metrics.connections.clone();
        connections::serve(bounds, router, self.listener, acceptor, open, stop).await;
        tidying.abort();
    }
}

/// Given files, or off loopback a key made here; `None` for plain HTTP.
fn identity(
    files: Option<&(PathBuf, PathBuf)>,
    listen: IpAddr,
) -> Result<Option<Identity>, TlsError> {
    match files {
        Some((certificate, key)) => Identity::from_files(certificate, key).map(Some),
        None if listen.is_loopback() => Ok(None),
        None => Identity::self_signed("soundproof verifier", listen).map(Some),
    }
}
