//! Rates: for each source address, and for each tenant. They are checked
//! before anything costs the keeper work.

use crate::{config, problem::Problem};
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock, QuantaInstant},
};
use soundproof_protocol::error::Code;
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// Rates for each source.
pub(crate) struct Rates {
    requests: DefaultKeyedRateLimiter<IpAddr>,
    sessions: DefaultKeyedRateLimiter<IpAddr>,
}

impl Rates {
    pub(crate) fn new(config: &config::Rates) -> Self {
        Self {
            requests: RateLimiter::keyed(quota(config.requests, config.requests_burst)),
            sessions: RateLimiter::keyed(quota(config.sessions, config.sessions_burst)),
        }
    }

    pub(crate) fn request(&self, source: IpAddr) -> Result<(), Problem> {
        self.requests.check_key(&network(source)).map_err(wait)
    }

    pub(crate) fn session(&self, source: IpAddr) -> Result<(), Problem> {
        self.sessions.check_key(&network(source)).map_err(wait)
    }

    /// Forgets sources that were quiet.
    pub(crate) fn tidy(&self) {
        self.requests.retain_recent();
        self.sessions.retain_recent();
    }
}

/// A rate of one tenant's.
pub(crate) struct Rate(DefaultDirectRateLimiter);

impl Rate {
    pub(crate) fn per_minute(count: NonZeroU32) -> Self {
        Self(RateLimiter::direct(Quota::per_minute(count)))
    }

    pub(crate) fn unlimited() -> Self {
        Self(RateLimiter::direct(Quota::per_second(NonZeroU32::MAX)))
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        self.0.check().map_err(|not_until| Problem {
            code: Code::QuotaExceeded,
            ..wait(not_until)
        })
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

/// One host may have a whole IPv6 network of 64 bits.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
    }
}

fn wait(not_until: NotUntil<QuantaInstant>) -> Problem {
    let wait = not_until.wait_time_from(DefaultClock::default().now());
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    Problem::new(Code::RateLimited).after(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_rate_and_is_told_how_long_to_wait() {
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

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
