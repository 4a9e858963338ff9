//! Starts the gateway's process with one end of a socket as its standard
//! input, serves it over the other, and starts it again when it dies.

use crate::{Keeper, link};
use std::{
    io,
    os::fd::OwnedFd,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, process::Command};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A gateway that lived this long is not in a crash loop.
const HEALTHY: Duration = Duration::from_secs(10);

/// Runs gateways one after another until `stop`. `command` makes the command
/// for each; `started` is given every child, to take its standard output from.
///
/// # Errors
/// If the first one cannot be started, or a socket cannot be made.
pub async fn supervise(
    keeper: Arc<Keeper>,
    mut command: impl FnMut() -> Command,
    mut started: impl FnMut(&mut tokio::process::Child),
    stop: CancellationToken,
) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let born = Instant::now();
        let mut child = command()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .spawn()?;
        started(&mut child);
        tokio::select! {
            () = link::serve(keeper.clone(), ours) => {}
            () = stop.cancelled() => {
                end(&mut child).await;
                return Ok(());
            }
        }
        end(&mut child).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        if born.elapsed() > HEALTHY {
            pause = FIRST_PAUSE;
        }
        tracing::error!(
            pause_ms = pause.as_millis(),
            "the gateway died; starting it again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Its link is closed, which it takes for the order to stop; what does not
/// stop is killed.
async fn end(child: &mut tokio::process::Child) {
    if tokio::time::timeout(Duration::from_secs(5), child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}
