//! The software platform: the very path of [`tdx`](crate::tdx), with the
//! policy's anchor in the place of Intel's. It is evidence of a kind of its
//! own, and nothing turns it into another (invariant 8).

use crate::{
    policy::Policy,
    tdx::{Collateral, Refusal, Verified},
};

/// The first line of every verdict on the software platform.
pub const WARNING: &str =
    "NO HARDWARE PROTECTS ANYTHING: this is the software platform, for development only.";

/// Verifies a quote under the policy's anchor; `None` if it names none.
pub(crate) fn verify(
    quote: &[u8],
    collateral: &Collateral,
    policy: &Policy,
    now_s: u64,
) -> Option<Result<Verified, Refusal>> {
    let anchor = policy.platform.software.as_ref()?;
    Some(crate::tdx::verify_under(
        crate::tdx::Root::Software(anchor.anchor_pem.der()),
        quote,
        collateral,
        now_s,
    ))
}
