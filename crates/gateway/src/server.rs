//! Connections: bounded in number, in time and in what their headers take;
//! plain or TLS, HTTP/1.1 or 2.

use crate::{app::App, rates::network};
use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// How long requests under way may take once the gateway stops.
const GRACE: Duration = Duration::from_secs(10);

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source(pub(crate) IpAddr);

/// Through which listener a request came. Only the server sets it: nothing in
/// a request can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one that clients reach.
    Public,
    /// The loopback listener of this process's own direct path.
    Inner,
}

/// Connections of each source.
#[derive(Default)]
struct Sources(Mutex<HashMap<IpAddr, u32>>);

/// One connection's place among its source's.
struct Place {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    fn map(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, source: IpAddr, max: u32) -> Option<Place> {
        let source = network(source);
        let mut map = self.map();
        let count = map.entry(source).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place {
            sources: self.clone(),
            source,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut map = self.sources.map();
        if let Some(count) = map.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                map.remove(&self.source);
            }
        }
    }
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
    let places = Arc::new(Semaphore::new(limits.connections.max(1) as usize));
    let sources = Arc::new(Sources::default());
    let tasks = TaskTracker::new();
    loop {
        // With no place left, connections wait in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stopping.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: do not spin.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(among) = sources.enter(peer.ip(), limits.connections_per_source) else {
            continue; // closed by dropping it
        };
        let _ = stream.set_nodelay(true);
        let (app, router, tls) = (app.clone(), router.clone(), tls.clone());
        tasks.spawn(async move {
            app.metrics.connections.inc();
            match tls {
                None => connection(&app, router, stream, peer, door).await,
                Some(tls) => {
                    let time = app.config.limits.header_time();
                    if let Ok(Ok(stream)) = tokio::time::timeout(time, tls.accept(stream)).await {
                        connection(&app, router, stream, peer, door).await;
                    }
                }
            }
            app.metrics.connections.dec();
            drop((place, among));
        });
    }
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("connections were cut");
    }
}

async fn connection(
    app: &App,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    door: Door,
) {
    let limits = &app.config.limits;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Source(peer.ip()));
        request.extensions_mut().insert(door);
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The bounds here are twice those that are answered with a problem
    // document; beyond them the protocol's own refusal must do.
    let header_bytes = limits.header_bytes.saturating_mul(2);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time())
        .max_headers(limits.headers.saturating_mul(2) as usize)
        .max_buf_size((header_bytes as usize).max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let stopping: &CancellationToken = &app.stopping;
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}
