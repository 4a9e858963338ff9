//! What every platform's module does, in the same way.

use crate::{
    policy::{Policy, Rules},
    reason::Reason,
    refusal::Root,
    verdict::{Verdict, date},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence},
    binding::Binding,
};

/// All that is judged.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) endorsements: &'a Endorsements,
    /// None when evidence is explained only.
    pub(crate) expected: Option<&'a Binding>,
    pub(crate) clock: Clock,
}

/// One platform's module: it reads evidence, verifies it, and judges it by a
/// policy's table.
pub(crate) trait Judge: Sized {
    /// The policy's table for the platform; its default is the strictest.
    type Rules: Rules + Default;
    /// A complete tuple of measurements, as a policy's `[[release]]` names it.
    type Release;
    /// What people call the platform.
    const NAME: &'static str;
    /// Whether its evidence may carry an event log.
    const EVENT_LOG: bool = false;

    /// Reads the evidence, verifies the chain from `root` to its last byte
    /// ([`Verdict::chain`]), says what it says ([`Verdict::facts`]) and makes
    /// every check that no policy can change. None if it cannot be read; what
    /// is wrong is a failed check.
    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self>;

    /// The checks that the policy's table decides, one line each. What was
    /// not verified is not to be judged: its chain has failed already.
    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &Self::Rules);

    /// Names of the fields in which what runs differs from a release: none if
    /// it is that release.
    fn differences(&self, release: &Self::Release) -> Vec<&'static str>;

    /// The bytes in the field that carries the binding.
    fn carried(&self) -> &[u8];

    /// What must be in it.
    fn expected(binding: &Binding) -> &[u8] {
        binding.as_bytes()
    }

    /// Rules and a release that accept exactly this, to begin a policy with.
    fn observed(&self) -> (Self::Rules, Self::Release);

    /// Raises the least TCB evaluation number, where the platform has one.
    fn raise(_rules: &mut Self::Rules, _tcb_evaluation: u32) {}
}

/// The judge's own time, and how far it may be behind that of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) now_ms: u64,
    pub(crate) skew_s: u64,
}

impl Clock {
    pub(crate) const fn now_s(self) -> u64 {
        self.now_ms / 1000
    }

    /// The time, in seconds since 1970, to judge at something that is valid
    /// from `from_s` on: now; or, if now lies before that by no more than the
    /// clocks may differ, then. Never earlier than now, so that nothing lasts
    /// longer by it.
    pub(crate) const fn at(self, from_s: u64) -> u64 {
        let now = self.now_s();
        if now < from_s && from_s - now <= self.skew_s {
            from_s
        } else {
            now
        }
    }

    /// Checks that now lies in a window, both ends included; seconds since
    /// 1970.
    pub(crate) fn check(
        self,
        verdict: &mut Verdict,
        name: &'static str,
        from_s: u64,
        until_s: u64,
    ) {
        let window = format!("from {} until {}", date(from_s), date(until_s));
        let now = format!("now {}", date(self.now_s()));
        let at = self.at(from_s);
        if at < from_s {
            verdict.fail(name, Reason::CollateralNotYetValid, window, now);
        } else if at > until_s {
            verdict.fail(name, Reason::CollateralExpired, window, now);
        } else {
            verdict.pass(name, window, now);
        }
    }

    /// For a policy's; the default without one.
    pub(crate) fn of(policy: Option<&Policy>, now_ms: u64) -> Self {
        let skew_s = policy.map_or(crate::policy::DEFAULT_CLOCK_SKEW_S, |policy| {
            policy.freshness.clock_skew_s
        });
        Self { now_ms, skew_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken if skew ever made something last longer, or began it earlier
    /// than it allows.
    #[test]
    fn skew_moves_the_beginning_only() {
        let clock = |now_s: u64| Clock {
            now_ms: now_s * 1000,
            skew_s: 10,
        };
        assert_eq!(clock(100).at(100), 100);
        assert_eq!(clock(90).at(100), 100);
        assert_eq!(clock(89).at(100), 89);
        assert_eq!(clock(200).at(100), 200);
        assert_eq!(clock(0).at(u64::MAX), 0);
    }
}
