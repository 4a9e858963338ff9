//! Rates for each source. They are checked before anything costs the keeper
//! work.

use crate::{config, problem::Problem};
use soundproof_http::rates::PerSource;
use std::net::IpAddr;

/// See the module.
pub(crate) struct Rates {
    requests: PerSource,
    sessions: PerSource,
}

impl Rates {
    pub(crate) fn new(config: &config::Rates) -> Self {
        Self {
            requests: PerSource::new(config.requests, config.requests_burst),
            sessions: PerSource::new(config.sessions, config.sessions_burst),
        }
    }

    pub(crate) fn request(&self, source: IpAddr) -> Result<(), Problem> {
        self.requests.check(source)
    }

    pub(crate) fn session(&self, source: IpAddr) -> Result<(), Problem> {
        self.sessions.check(source)
    }

    /// Forgets sources that were quiet.
    pub(crate) fn tidy(&self) {
        self.requests.tidy();
        self.sessions.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_protocol::error::Code;

    #[test]
    fn sessions_and_requests_are_counted_apart() {
        let config = config::Rates {
            sessions: 1,
            sessions_burst: 2,
            ..config::Rates::default()
        };
        let rates = Rates::new(&config);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        rates.session(one).unwrap();
        rates.session(one).unwrap();
        let problem = rates.session(one).unwrap_err();
        assert_eq!(
            (problem.code, problem.retry_after_s),
            (Code::RateLimited, Some(1))
        );
        rates.session("192.0.2.2".parse().unwrap()).unwrap();
        rates.request(one).unwrap();
    }
}
