//! Time limits on program code: a thread that advances the engine's epoch when
//! the time is up, which makes wasmtime stop the code at its next loop or call.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

use super::error::WitgenError;

/// A limit on what runs while this lives. Stores must be set to stop at the next
/// epoch.
pub(super) struct Deadline {
    disarm: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Deadline {
    pub(super) fn arm(engine: &Engine, limit: Duration) -> Result<Self, WitgenError> {
        let (disarm, disarmed) = mpsc::channel();
        let engine = engine.clone();
        let watcher = thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                if disarmed.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })
            .map_err(|_| WitgenError::Resources)?;
        Ok(Self {
            disarm: Some(disarm),
            watcher: Some(watcher),
        })
    }
}

impl Drop for Deadline {
    /// Waits for the watcher: none outlives what it watches, or it might stop
    /// what runs next.
    fn drop(&mut self) {
        drop(self.disarm.take());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}
