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

/// sev: the chain of certificates, then the report's signature.
pub(crate) fn sev(case: &Case) -> Box<dyn FnMut()> {
    use sev::{
        certs::snp::{Certificate, Chain, Verifiable, ca},
        firmware::guest::AttestationReport,
        parser::ByteParser as _,
    };
    use soundproof_evidence::snp::SnpCollateral;
    use soundproof_protocol::{attestation::MAX_ENDORSEMENTS, cbor};

    let report = case.evidence.statement.0.clone();
    let collateral: SnpCollateral =
        cbor::from_slice(&case.endorsements.body.0, MAX_ENDORSEMENTS).unwrap();
    Box::new(move || {
        let read = |der: &[u8]| Certificate::from_der(der).unwrap();
        let mut above = collateral.chain.iter().map(|der| read(&der.0));
        let chain = Chain {
            ca: ca::Chain {
                ask: above.next().unwrap(),
                ark: above.next().unwrap(),
            },
            vek: read(&collateral.certificate.0),
        };
        let report = AttestationReport::from_bytes(&report).unwrap();
        (&chain, &report).verify().unwrap();
    })
}
