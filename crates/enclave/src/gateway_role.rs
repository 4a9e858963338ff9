//! The gateway's process. It gets its configuration in one environment
//! variable and the link to the keeper as its standard input; it says on
//! standard output where it listens.

use crate::Error;
use rustix::thread::{CapabilitySet, CapabilitySets};
use soundproof_gateway::GatewayConfig;
use std::{io::Write as _, net::SocketAddr, os::unix::net::UnixStream};

/// Holds the gateway's configuration, as TOML.
pub(crate) const CONFIG: &str = "SOUNDPROOFD_GATEWAY";

/// What the gateway tells its parent.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Listening {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The URL to reach it by.
    pub(crate) url: String,
}

/// Keeps no capability but that to listen on a port below 1024, so that also a
/// gateway that was started as root, and taken over, cannot look into the
/// keeper's memory. What is called later starts with no more.
pub(crate) fn give_up_capabilities() -> rustix::io::Result<()> {
    let had = rustix::thread::capabilities(None)?;
    let kept = had.permitted & CapabilitySet::NET_BIND_SERVICE;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    rustix::thread::set_no_new_privs(true)
}

pub(crate) async fn run() -> Result<(), Error> {
    let config = std::env::var(CONFIG).map_err(|_| "the gateway is started by the keeper only")?;
    let config: GatewayConfig = toml::from_str(&config)?;
    let link = UnixStream::from(rustix::io::dup(std::io::stdin())?);
    link.set_nonblocking(true)?;
    let link = tokio::net::UnixStream::from_std(link)?;
    let stop = tokio_util::sync::CancellationToken::new();
    stop_on_signal(stop.clone());
    let (sender, listening) = tokio::sync::oneshot::channel::<soundproof_gateway::Listening>();
    tokio::spawn(async move {
        let Ok(listening) = listening.await else {
            return;
        };
        let (address, url) = (listening.address, listening.url());
        let line = serde_json::to_string(&Listening { address, url }).unwrap_or_default();
        // A parent that does not read it has gone, and the link says so too.
        let _ = writeln!(std::io::stdout(), "{line}");
    });
    let direct = crate::sp1_direct::build(&config)?;
    let stopped = async move { stop.cancelled().await };
    soundproof_gateway::run_with(config, link, stopped, sender, Some(direct)).await?;
    Ok(())
}

/// The keeper closes the link to stop a gateway; a signal to the whole group
/// (Ctrl-C) must not stop it before its requests are answered.
fn stop_on_signal(stop: tokio_util::sync::CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => {}
            }
        }
        stop.cancel();
    });
}
