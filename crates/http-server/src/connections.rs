//! Connections: bounded in number, in time and in what their headers take;
//! plain or TLS, HTTP/1.1 or 2.

use crate::rates::network;
use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use prometheus_client::metrics::gauge::Gauge;
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

/// How long requests under way may take once it stops.
const GRACE: Duration = Duration::from_secs(10);

/// Where a request came from: in every request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Source(pub IpAddr);

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections: u32,
    /// Of them, from one source.
    pub connections_per_source: u32,
    /// HTTP/2 streams at once on one.
    pub streams: u32,
    /// Header fields of a request.
    pub headers: u32,
    /// Bytes of all of them.
    pub header_bytes: u32,
    /// Time for a request's headers, or a TLS handshake.
    pub header_time: Duration,
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

/// Serves until `stop`, and then what is under way. `open` counts connections.
pub async fn serve(
    bounds: Bounds,
    router: Router,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    open: Gauge,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections.max(1) as usize));
    let sources = Arc::new(Sources::default());
    let tasks = TaskTracker::new();
    loop {
        // With no place left, connections wait in the kernel's queue.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
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
        let Some(among) = sources.enter(peer.ip(), bounds.connections_per_source) else {
            continue; // closed by dropping it
        };
        let _ = stream.set_nodelay(true);
        let (router, tls, open, stop) = (router.clone(), tls.clone(), open.clone(), stop.clone());
        tasks.spawn(async move {
            open.inc();
            match tls {
                None => connection(bounds, router, stream, peer, stop).await,
                Some(tls) => {
                    let accepting = tokio::time::timeout(bounds.header_time, tls.accept(stream));
                    if let Ok(Ok(stream)) = accepting.await {
                        connection(bounds, router, stream, peer, stop).await;
                    }
                }
            }
            open.dec();
            drop((place, among));
        });
    }
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("connections were cut");
    }
}

async fn connection(
    bounds: Bounds,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Source(peer.ip()));
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_time)
        .max_headers(bounds.headers as usize)
        .max_buf_size((bounds.header_bytes as usize).max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(bounds.header_bytes)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };
    use tokio_util::sync::DropGuard;

    async fn server(change: impl FnOnce(&mut Bounds)) -> (SocketAddr, Gauge, DropGuard) {
        let mut bounds = Bounds {
            connections: 8,
            connections_per_source: 8,
            streams: 8,
            headers: 16,
            header_bytes: 4096,
            header_time: Duration::from_secs(60),
        };
        change(&mut bounds);
        let router = Router::new().route("/", get(|| async { "here" }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, stop) = (Gauge::default(), CancellationToken::new());
        tokio::spawn(serve(
            bounds,
            router,
            listener,
            None,
            open.clone(),
            stop.clone(),
        ));
        (address, open, stop.drop_guard())
    }

    /// All that is answered until the connection is closed.
    async fn told(stream: &mut TcpStream, text: &str) -> String {
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    const ASK: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn headers_are_bounded_in_number_and_time() {
        let (address, _, _stop) = server(|_| ()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(told(&mut stream, ASK).await.ends_with("here"));
        let many = ASK.replace("\r\n\r\n", &format!("\r\n{}\r\n", "a: b\r\n".repeat(16)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(told(&mut stream, &many).await.starts_with("HTTP/1.1 431 "));
        // Half a request, and no more: it is closed, however long it takes.
        let (address, _, _stop) =
            server(|bounds| bounds.header_time = Duration::from_millis(50)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(
            !told(&mut stream, "GET / HTTP/1.1\r\nhost: l")
                .await
                .contains(" 200 ")
        );
    }

    #[tokio::test]
    async fn connections_are_bounded_for_each_source() {
        let (address, open, _stop) = server(|bounds| bounds.connections_per_source = 1).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"GET ").await.unwrap();
        while open.get() == 0 {
            tokio::task::yield_now().await;
        }
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(told(&mut second, ASK).await, "");
        drop(first);
        while open.get() != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The place is given back a moment after the count.
        loop {
            let mut third = TcpStream::connect(address).await.unwrap();
            if told(&mut third, ASK).await.ends_with("here") {
                break;
            }
        }
    }

    #[tokio::test]
    async fn it_stops_when_it_is_full() {
        let (address, open, stop) = server(|bounds| bounds.connections = 1).await;
        let mut only = TcpStream::connect(address).await.unwrap();
        while open.get() == 0 {
            tokio::task::yield_now().await;
        }
        drop(stop);
        // Idle, it is closed; and nobody is waited for.
        let mut rest = Vec::new();
        let _ = only.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }
}
