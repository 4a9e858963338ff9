//! Rates: for each source address, and for each holder of a key.

use crate::Problem;
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock, QuantaInstant},
};
use soundproof_protocol::error::Code;
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// A rate for each source: an IPv4 address, or an IPv6 network of 64 bits.
pub struct PerSource(DefaultKeyedRateLimiter<IpAddr>);

impl PerSource {
    /// So many a second, and `burst` at once; at least one each.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self(RateLimiter::keyed(quota))
    }

    /// Counts one more.
    ///
    /// # Errors
    /// [`Code::RateLimited`], with how long to wait.
    pub fn check(&self, source: IpAddr) -> Result<(), Problem> {
        self.0
            .check_key(&network(source))
            .map_err(|not_until| wait(Code::RateLimited, not_until))
    }

    /// Forgets sources that were quiet.
    pub fn tidy(&self) {
        self.0.retain_recent();
    }
}

/// One rate.
pub struct Rate(DefaultDirectRateLimiter);

impl Rate {
    /// So many a minute, and as many at once.
    pub fn per_minute(count: NonZeroU32) -> Self {
        Self(RateLimiter::direct(Quota::per_minute(count)))
    }

    /// Four thousand million a second.
    pub fn unlimited() -> Self {
        Self(RateLimiter::direct(Quota::per_second(NonZeroU32::MAX)))
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `code`, with how long to wait.
    pub fn check(&self, code: Code) -> Result<(), Problem> {
        self.0.check().map_err(|not_until| wait(code, not_until))
    }
}

/// The source that an address stands for: one host may have a whole IPv6
/// network of 64 bits.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
    }
}

fn wait(code: Code, not_until: NotUntil<QuantaInstant>) -> Problem {
    let wait = not_until.wait_time_from(DefaultClock::default().now());
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    Problem::new(code).after(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_rate_and_is_told_how_long_to_wait() {
        // One in a hundred seconds at the least, however slow this machine is.
        let rates = PerSource(RateLimiter::keyed(
            Quota::with_period(std::time::Duration::from_secs(100))
                .unwrap()
                .allow_burst(const { NonZeroU32::new(2).unwrap() }),
        ));
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        rates.check(one).unwrap();
        rates.check(one).unwrap();
        let problem = rates.check(one).unwrap_err();
        assert_eq!(problem.code, Code::RateLimited);
        assert!((1..=100).contains(&problem.retry_after_s.unwrap()));
        rates.check("192.0.2.2".parse().unwrap()).unwrap();
    }

    #[test]
    fn a_rate_of_nothing_is_one() {
        let rates = PerSource::new(0, 0);
        rates.check([192, 0, 2, 1].into()).unwrap();
    }

    #[test]
    fn a_key_has_a_rate_with_its_own_code() {
        let rate = Rate::per_minute(const { NonZeroU32::new(1).unwrap() });
        rate.check(Code::QuotaExceeded).unwrap();
        let problem = rate.check(Code::QuotaExceeded).unwrap_err();
        assert_eq!(problem.code, Code::QuotaExceeded);
        assert!((1..=60).contains(&problem.retry_after_s.unwrap()));
        Rate::unlimited().check(Code::QuotaExceeded).unwrap();
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
