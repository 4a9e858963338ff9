//! Which machines: every platform whose evidence names one asks here.

use crate::{reason::Reason, vector::Claim, verdict::Verdict};

/// A policy must say which machines it accepts, or that it accepts every one
/// on earth; a list that is there counts. `listed`: the policy names this one; `expected`: those that it
/// names, empty if none.
pub(crate) fn check(
    verdict: &mut Verdict,
    any_machine: bool,
    listed: bool,
    expected: String,
    found: String,
) {
    const NAME: &str = "machine";
    if listed {
        verdict.vector.note(Claim::InstanceIdentity, 2);
        verdict.pass(NAME, expected, found);
    } else if !expected.is_empty() {
        verdict.fail(NAME, Reason::MachineRefused, expected, found);
    } else if any_machine {
        verdict.pass(NAME, "any machine", found);
    } else {
        verdict.fail(
            NAME,
            Reason::MachineUnspecified,
            "machines in the policy, or any_machine = true",
            found,
        );
    }
}
