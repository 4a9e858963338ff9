//! The listener: loopback only, this user only, bounded.

use crate::guard::{Rules, Token, guard};
use axum::{Router, body::Body, middleware::from_fn_with_state};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// HTTP/2 streams at once on one connection.
const STREAMS: u32 = 256;
/// How long a request's headers may take.
const HEADERS: Duration = Duration::from_secs(10);
/// How long requests under way may take once it stops.
const GRACE: Duration = Duration::from_secs(2);

/// A loopback address that is listened on, and who may come in: this user's
/// own processes where the system tells whose a connection is (Linux), and
/// whoever brings the token where it does not.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

impl Door {
    /// Whether this system tells whose a connection is.
    pub const KNOWS_USERS: bool = cfg!(target_os = "linux");

    /// Takes the address; port 0 takes a free one. A token that is given is
    /// demanded; where the system does not tell users apart, one is made if
    /// none is given.
    ///
    /// # Errors
    /// If it is no loopback address, or taken.
    pub async fn open(address: SocketAddr, token: Option<Token>) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only a loopback address can be listened on",
            ));
        }
        let token = match token {
            None if !Self::KNOWS_USERS => Some(Token::generate()?),
            token => token,
        };
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            token,
        })
    }

    /// The URL to reach it by, which requests must name literally.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token that is demanded.
    pub fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

/// Answers until `stop`.
pub(crate) async fn serve(door: Door, router: Router, stop: CancellationToken) {
    let rules = Rules::new(door.address, door.token.clone());
    let router = router.layer(from_fn_with_state(rules, guard));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
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
        let (router, stop, own) = (router.clone(), stop.clone(), door.address);
        tasks.spawn(async move {
            if is_own(own, peer).await {
                connection(router, stream, stop).await;
            }
            drop(place);
        });
    }
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::debug!("connections were cut");
    }
}

/// Whether the process at the other end is this user's own.
#[cfg(target_os = "linux")]
async fn is_own(own: SocketAddr, peer: SocketAddr) -> bool {
    let me = rustix::process::geteuid().as_raw();
    match crate::peer::owner(own, peer).await {
        Ok(Some(user)) if user == me => true,
        Ok(Some(user)) => {
            tracing::warn!(user, "a connection of another user's was closed");
            false
        }
        // It went away; or nobody can say whose it is, which is no reason to
        // trust it.
        Ok(None) => false,
        Err(error) => {
            tracing::error!(%error, "cannot tell whose a connection is; closed");
            false
        }
    }
}

/// The token decides.
#[cfg(not(target_os = "linux"))]
async fn is_own(_: SocketAddr, _: SocketAddr) -> bool {
    true
}

async fn connection(router: Router, stream: TcpStream, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(16 * 1024)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
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

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)] // clippy does not take this for a test module
mod tests {
    use super::*;
    use axum::routing::get;
    use std::{os::unix::process::CommandExt as _, process::Command};

    /// What a process of user `user` reads when it asks for `path`.
    async fn asked(address: SocketAddr, user: u32) -> String {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port} && \
             printf 'GET /secret HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' >&3; \
             cat <&3",
            port = address.port()
        );
        tokio::task::spawn_blocking(move || {
            let mut command = Command::new("bash");
            command.args(["-c", &script]).current_dir("/");
            if user != rustix::process::geteuid().as_raw() {
                command.uid(user).gid(user);
            }
            let output = command.output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
        .await
        .unwrap()
    }

    /// Broken if another user's process on this machine got an answer.
    #[tokio::test]
    async fn another_users_process_is_not_answered() {
        let me = rustix::process::geteuid();
        let door = Door::open(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        assert!(door.token().is_none(), "Linux tells users apart");
        let address = door.address;
        let stop = CancellationToken::new();
        let router = Router::new().route("/secret", get(|| async { "the secret" }));
        let serving = tokio::spawn(serve(door, router, stop.clone()));
        let own = asked(address, me.as_raw()).await;
        assert!(
            own.starts_with("HTTP/1.1 200") && own.ends_with("the secret"),
            "{own}"
        );
        if me.is_root() {
            assert_eq!(asked(address, 65534).await, "");
        } else {
            eprintln!("skipped: only root can be another user for a moment");
        }
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let error = Door::open(address.parse().unwrap(), None)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{address}");
        }
    }
}
