//! The listeners of this process.

use crate::app::App;
use axum::{Extension, Router};
pub(crate) use soundproof_http::Source;
use soundproof_http::connections::{self, Bounds};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Through which listener a request came. Only the server sets it: nothing in
/// a request can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one that clients reach.
    Public,
    /// The loopback listener of this process's own direct path.
    Inner,
}

/// Serves until the gateway stops, and then what is under way.
pub(crate) async fn serve(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    door: Door,
) {
    let limits = &app.config.limits;
    let bounds = Bounds {
        connections: limits.connections,
        connections_per_source: limits.connections_per_source,
        streams: limits.streams,
        // Twice those that are answered with a problem document; beyond them
        // the protocol's own refusal must do.
        headers: limits.headers.saturating_mul(2),
        header_bytes: limits.header_bytes.saturating_mul(2),
        header_time: Duration::from_secs(limits.header_seconds),
    };
    let router = router.layer(Extension(door));
    let (open, stop) = (app.metrics.connections.clone(), app.stopping.clone());
    connections::serve(bounds, router, listener, tls, open, stop).await;
}
