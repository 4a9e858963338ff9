//! A network on loopback with a backend that does as it is told, and a client
//! that speaks to it as the SDK does.

mod backend;
mod client;

pub use backend::{FakeBackend, FlakyJournal, TestClock, failed, proved};
pub use client::{Client, ELF, VK, http, split};

use axum::{Extension, Router};
use soundproof_sp1_network::{
    BaseUrl, Caller, Config, MemoryStash, Network, Parts, Stash, SystemEntropy,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};

/// Everything that outlives a network.
pub struct World {
    pub backend: Arc<FakeBackend>,
    pub stash: Arc<dyn Stash>,
    pub memory: Arc<MemoryStash>,
    pub journal: Arc<FlakyJournal>,
    pub clock: Arc<TestClock>,
    pub config: Config,
    pub caller: Caller,
}

impl World {
    pub fn new() -> Self {
        let memory = Arc::new(MemoryStash::new(64 << 20));
        let mut config = Config::default();
        config.times.retry = 5;
        config.times.sweep = 3_600_000;
        config.limits.stdin_bytes = 4 << 20;
        config.limits.program_bytes = 4 << 20;
        Self {
            backend: Arc::new(FakeBackend::new()),
            stash: Arc::clone(&memory) as _,
            memory,
            journal: Arc::new(FlakyJournal::new()),
            clock: Arc::new(TestClock::default()),
            config,
            caller: Caller::Nobody,
        }
    }

    /// Starts a network over it.
    pub async fn start(&self) -> Running {
        let network = Network::open(Parts {
            backend: Arc::clone(&self.backend) as _,
            stash: Arc::clone(&self.stash),
            journal: Arc::clone(&self.journal) as _,
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::new(SystemEntropy),
            config: self.config.clone(),
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = routed(&network, address, self.caller);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Running {
            network,
            address,
            server,
        }
    }
}

// As an embedding server does it: it knows its own name, and its caller.
fn routed(network: &Network, address: SocketAddr, caller: Caller) -> Router {
    let base = BaseUrl(format!("http://{address}"));
    network
        .router()
        .layer(Extension(caller))
        .layer(Extension(base))
}

/// A network that runs.
pub struct Running {
    pub network: Network,
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Running {
    /// As a process that is killed: its tasks end where they are.
    pub async fn kill(self) {
        self.server.abort();
        self.network.stop().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Waits until something is so; fails after ten seconds.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}
