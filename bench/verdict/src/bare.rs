//! The crates that verify evidence, used by themselves, as their documentation
//! does: parsed and verified anew each time.

use crate::cases::Case;
use dcap_qvl::{QuoteCollateralV3, verify::QuoteVerifier};

/// dcap-qvl, under Intel's root or the policy's anchor.
pub(crate) fn dcap(case: &Case) -> Box<dyn FnMut()> {
    let quote = case.evidence.statement.0.clone();
    let collateral = case.endorsements.body.0.clone();
    let now_s = case.now_ms / 1000;
    let anchor = case
        .policy
        .as_ref()
        .and_then(|policy| policy.platform.software.as_ref())
        .map(|software| software.anchor_pem.der().to_vec());
    Box::new(move || {
        let collateral: QuoteCollateralV3 = serde_json::from_slice(&collateral).unwrap();
        let verifier = match &anchor {
            Some(der) => QuoteVerifier::new(der.clone()),
            None => QuoteVerifier::new_prod(),
        };
        let report = verifier.verify(&quote, &collateral, now_s).unwrap();
        assert!(!report.status.is_empty());
    })
}
