//! What may never go back. A host can staple collateral that is old but still
//! valid, to hide a TCB recovery; a client that keeps the highest evaluation
//! number it has accepted, and raises its policy to it, is shown an old one
//! once at most. Where to keep it is the caller's to say.

use crate::{
    policy::Policy,
    verdict::{Accepted, Facts},
};
use serde::{Deserialize, Serialize};
use soundproof_protocol::attestation::Platform;
use std::collections::BTreeMap;

/// The highest numbers accepted so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seen {
    /// `tcbEvaluationDataNumber`, by the platform's name.
    pub tcb_evaluation: BTreeMap<String, u32>,
}

impl Seen {
    /// Notes what was accepted. Whether anything rose.
    pub fn note(&mut self, accepted: &Accepted) -> bool {
        let verdict = accepted.verdict();
        let number = verdict.facts.as_deref().and_then(Facts::tcb_evaluation);
        number.is_some_and(|number| self.raise(accepted.platform(), number))
    }

    /// Takes over what another has seen that is higher. Whether anything rose.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut rose = false;
        for (name, number) in &other.tcb_evaluation {
            let platform = Platform::ALL
                .iter()
                .find(|platform| platform.name() == name);
            rose |= platform.is_some_and(|platform| self.raise(*platform, *number));
        }
        rose
    }

    fn raise(&mut self, platform: Platform, number: u32) -> bool {
        let slot = self
            .tcb_evaluation
            .entry(platform.name().to_owned())
            .or_default();
        let rises = number > *slot;
        *slot = number.max(*slot);
        rises
    }
}

impl Policy {
    /// Raises the least evaluation number of each platform to the highest that
    /// was seen of it. Never accepts more by it.
    pub fn raise(&mut self, seen: &Seen) {
        for platform in Platform::ALL {
            if let Some(number) = seen.tcb_evaluation.get(platform.name()) {
                self.platform.raise(*platform, *number);
            }
        }
    }
}
