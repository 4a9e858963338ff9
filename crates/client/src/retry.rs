//! Trying again: only calls that may be repeated, only what trying again can
//! mend, a bounded number of times, ever further apart, with jitter.

use crate::Error;
use soundproof_protocol::error::Code;
use std::{future::Future, time::Duration};

/// How often a call is repeated when the connection breaks or the server asks
/// to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt at most; doubles from then on.
    pub first: Duration,
    /// Longest wait, also where the server asks for a longer one.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(200),
            longest: Duration::from_secs(20),
        }
    }
}

impl Retry {
    /// One attempt.
    pub const NEVER: Self = Self {
        attempts: 1,
        first: Duration::ZERO,
        longest: Duration::ZERO,
    };

    /// Runs `attempt` until it succeeds, fails in a way that repeating does
    /// not mend, or was made often enough.
    pub(crate) async fn run<T, Fut>(&self, mut attempt: impl FnMut() -> Fut) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut made = 1;
        loop {
            match attempt().await {
                Err(error) if made < self.attempts && mends(&error) => {
                    tracing::debug!(code = %error.code(), made, "trying again");
                    tokio::time::sleep(self.wait(made, &error)).await;
                    made += 1;
                }
                done => return done,
            }
        }
    }

    /// Between half and all of the doubling wait ("equal jitter"), or what the
    /// server asked for; `longest` at most.
    pub(crate) fn wait(&self, made: u32, error: &Error) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << made.saturating_sub(1).min(16));
        let span = doubled.min(self.longest);
        let jitter = span / 2 + (span / 2).mul_f64(fraction());
        let asked = match error {
            Error::Refused { retry_after_s, .. } => retry_after_s.unwrap_or(0),
            _ => 0,
        };
        jitter
            .max(Duration::from_secs(u64::from(asked)))
            .min(self.longest)
    }
}

/// Whether repeating the same call can mend it.
pub(crate) fn mends(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused { code, .. } => matches!(
            code,
            Code::RateLimited
                | Code::SessionsFull
                | Code::QuoteFailed
                | Code::KeeperUnavailable
                | Code::JobsFull
                | Code::ShuttingDown
                | Code::RequestTimeout
                | Code::StorageFailed
        ),
        _ => false,
    }
}

/// From 0 up to 1; a machine without randomness waits longest.
fn fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn unreachable() -> Error {
        Error::Unreachable {
            call: "test",
            cause: String::new(),
        }
    }

    const QUICK: Retry = Retry {
        attempts: 3,
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
    };

    #[tokio::test]
    async fn attempts_are_bounded_and_only_for_what_mends() {
        let made = AtomicU32::new(0);
        let result: Result<(), Error> = QUICK
            .run(|| async {
                made.fetch_add(1, Ordering::Relaxed);
                Err(unreachable())
            })
            .await;
        assert!(result.is_err());
        assert_eq!(made.swap(0, Ordering::Relaxed), 3);
        let result: Result<(), Error> = QUICK
            .run(|| async {
                made.fetch_add(1, Ordering::Relaxed);
                Err(Error::TlsPin("x"))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_servers_wish_is_heard_within_the_bound() {
        let retry = Retry::default();
        let asks = |seconds| Error::Refused {
            call: "test",
            code: Code::RateLimited,
            detail: None,
            retry_after_s: Some(seconds),
        };
        assert_eq!(retry.wait(1, &asks(7)), Duration::from_secs(7));
        assert_eq!(retry.wait(1, &asks(u32::MAX)), retry.longest);
        assert!(retry.wait(u32::MAX, &unreachable()) <= retry.longest);
        assert!(retry.wait(1, &unreachable()) >= retry.first / 2);
    }
}
