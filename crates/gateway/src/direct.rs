//! The direct path: SP1's own clients served at the gateway's address, their
//! inputs sealed on arrival. What serves them is composed elsewhere, on the
//! client library; here is what it is given: a loopback listener of its own,
//! whose sessions nobody appraises and whose receipts say so, the key to it,
//! and the keeper's secret.

use crate::{
    GatewayError, Listening,
    app::App,
    auth::ApiKeys,
    routes,
    server::{self, Door},
};
use axum::Router;
use futures_util::future::BoxFuture;
use soundproof_protocol::{link::DirectSecret, mode::ModeOffer};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Makes the router for `/artifact.ArtifactStore/…`, `/network.ProverNetwork/…`
/// and `/sp1/…`. It must not wait for a job: none runs before it returns.
pub type Build = Box<
    dyn FnOnce(
            Inner,
        )
            -> BoxFuture<'static, Result<Router, Box<dyn std::error::Error + Send + Sync>>>
        + Send,
>;

/// What the direct path is made of.
#[non_exhaustive]
pub struct Inner {
    /// Where it opens sessions and submits: plain HTTP on loopback, this
    /// server's whole API.
    pub url: String,
    /// The API key for that listener, which asks for it always. A secret.
    pub key: Zeroizing<String>,
    /// To derive keys from for what is kept between requests: the same for
    /// every gateway of the keeper's life.
    pub secret: DirectSecret,
    /// Proof systems and modes, those too that are not offered.
    pub offers: Vec<ModeOffer>,
    /// Whether jobs are refused whose proofs may reveal their witness.
    pub refuse_not_hiding: bool,
    /// Where clients reach this server.
    pub public: Listening,
    /// Cancelled when the gateway stops.
    pub stopping: CancellationToken,
}

/// A listener that is bound and not served yet.
pub(crate) struct Opening {
    listener: TcpListener,
    address: SocketAddr,
    key: Zeroizing<String>,
    secret: DirectSecret,
}

impl Opening {
    /// Takes a free port.
    pub(crate) async fn new(secret: DirectSecret) -> Result<Self, GatewayError> {
        let asked = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |error| GatewayError::Listen {
            address: asked,
            error,
        };
        let listener = TcpListener::bind(asked).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|error| GatewayError::Config(error.to_string()))?;
        Ok(Self {
            listener,
            address,
            key: Zeroizing::new(hex::encode(key.as_slice())),
            secret,
        })
    }

    /// Who may use it.
    pub(crate) fn keys(&self) -> ApiKeys {
        ApiKeys::direct(&self.key)
    }

    /// Serves it until the gateway stops, and has the router made.
    pub(crate) async fn open(
        self,
        app: &Arc<App>,
        public: Listening,
        build: Build,
    ) -> Result<(JoinHandle<()>, Router), GatewayError> {
        let own = routes::router(app.clone(), None).map_err(GatewayError::Config)?;
        let serving = server::serve(app.clone(), own, self.listener, None, Door::Inner);
        let serving = tokio::spawn(serving);
        let inner = Inner {
            url: format!("http://{}", self.address),
            key: self.key,
            secret: self.secret,
            offers: app.modes.clone(),
            refuse_not_hiding: app.config.refuse_not_hiding,
            public,
            stopping: app.stopping.clone(),
        };
        match build(inner).await {
            Ok(router) => {
                tracing::warn!(
                    "sp1_direct is on: SP1's own clients are served, and none of them appraises"
                );
                Ok((serving, router))
            }
            Err(error) => {
                app.stopping.cancel();
                Err(GatewayError::Config(format!("sp1_direct: {error}")))
            }
        }
    }
}
