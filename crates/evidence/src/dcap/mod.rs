//! Intel's DCAP: what is common to every platform whose statement is a TDX or
//! SGX quote. The chain from Intel's root, which is compiled in (invariant 8),
//! over collateral to the quote's last signed byte; then the machine's state,
//! by a policy's [`DcapRules`](crate::policy::DcapRules).

mod collateral;
mod state;
mod verify;

pub use state::DcapFacts;
pub(crate) use state::{apply, observed};
pub(crate) use verify::{INTEL_ROOT_KEY, Verified};

use crate::{module::Case, refusal::Root, verdict::Verdict};

/// Reads the collateral (the endorsements' body) and verifies `quote` by it.
pub(crate) fn examine(
    verdict: &mut Verdict,
    case: &Case<'_>,
    quote: &[u8],
    root: Root<'_>,
) -> Option<Verified> {
    let collateral = match collateral::Collateral::read(&case.endorsements.body.0) {
        Ok(collateral) => collateral,
        Err(refusal) => {
            verdict.refuse("collateral", "DCAP collateral in JSON", refusal);
            return None;
        }
    };
    case.clock
        .check(verdict, "collateral", collateral.from_s, collateral.until_s);
    let now_s = case.clock.at(collateral.from_s);
    let result = verify::verify(root, quote, &collateral, now_s);
    verdict.chain("quote", root, result)
}
