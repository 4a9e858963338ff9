//! Asking again, a bounded number of times, an interface that is busy.

use crate::error::{DeviceError, Problem};
use std::time::Duration;

/// How often, and how long to wait between: the pause doubles each time.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries at most; at least one is made.
    pub tries: u32,
    /// Before the second.
    pub first_pause: Duration,
    /// Longest.
    pub longest_pause: Duration,
    /// Time for one answer, of what answers over a connection.
    pub limit: Duration,
}

impl Default for Retry {
    /// Ten tries within about two and a half seconds, and twenty seconds for an
    /// answer: agents wait for the host's quoting service.
    fn default() -> Self {
        Self {
            tries: 10,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(500),
            limit: Duration::from_secs(20),
        }
    }
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails otherwise than by being busy,
    /// or was busy for the last time.
    pub(crate) fn run<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let mut pause = self.first_pause;
        let mut tries = 1;
        loop {
            match attempt() {
                Err(mut error) if matches!(error.problem, Problem::Throttled { .. }) => {
                    if tries >= self.tries {
                        error.problem = Problem::Throttled { tries };
                        return Err(error);
                    }
                }
                other => return other,
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(self.longest_pause);
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Interface;

    fn busy() -> DeviceError {
        let busy = std::io::Error::from(std::io::ErrorKind::ResourceBusy);
        DeviceError::system(Interface::Nsm, "/dev/nsm", busy)
    }

    fn at_once(tries: u32) -> Retry {
        Retry {
            tries,
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            limit: Duration::ZERO,
        }
    }

    #[test]
    fn busy_is_asked_again_and_in_the_end_an_error_that_says_how_often() {
        let mut asked = 0;
        let error = at_once(4)
            .run::<()>(|| {
                asked += 1;
                Err(busy())
            })
            .unwrap_err();
        assert_eq!(asked, 4);
        assert!(matches!(error.problem, Problem::Throttled { tries: 4 }));
        let mut left = 3;
        let done = at_once(4).run(|| {
            left -= 1;
            if left == 0 { Ok(7) } else { Err(busy()) }
        });
        assert_eq!(done.unwrap(), 7);
    }

    #[test]
    fn another_failure_is_told_at_once() {
        let mut asked = 0;
        let error = at_once(4)
            .run::<()>(|| {
                asked += 1;
                Err(DeviceError::new(
                    Interface::Nsm,
                    "/dev/nsm",
                    Problem::NoDevice,
                ))
            })
            .unwrap_err();
        assert_eq!(asked, 1);
        assert!(error.is_absent());
    }
}
