//! Endorsements in the files in which vendors hand them out.

use crate::{
    snp::SnpCollateral,
    x509::{Certificate, Crl, MAX_CHAIN, read_pem},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, Platform},
    cbor::{self, Bytes},
};

/// Puts together the endorsements of `evidence` from files: endorsements as a
/// server sends them; DCAP collateral in JSON; for SEV-SNP certificates in DER
/// or PEM (the signing key's and those above it, in any order and any number of
/// files) and AMD's revocation list, beside what the evidence came with
/// (`beside`). `None` if they are none of these. Nothing is verified.
pub fn endorsements(
    evidence: &Evidence,
    beside: Option<&Endorsements>,
    files: &[Vec<u8>],
) -> Option<Endorsements> {
    let platform = evidence.platform;
    if let [file] = files {
        if let Ok(sent) = cbor::from_slice(file, MAX_ENDORSEMENTS) {
            return Some(sent);
        }
        if !is_amd(platform) {
            return Some(Endorsements::new(platform, file.clone()));
        }
    }
    if !is_amd(platform) {
        return None;
    }
    let beside: Option<SnpCollateral> =
        beside.and_then(|beside| cbor::from_slice(&beside.body.0, MAX_ENDORSEMENTS).ok());
    let mut certificates = Vec::new();
    let mut crl = beside.as_ref().and_then(|beside| beside.crl.clone());
    for file in files {
        if let Ok(list) = read_pem(file, MAX_CHAIN) {
            certificates.extend(list);
        } else if let Ok(certificate) = Certificate::parse(file) {
            certificates.push(certificate);
        } else if Crl::parse(file).is_ok() {
            crl = Some(Bytes(file.clone()));
        } else {
            return None;
        }
    }
    let named = beside.into_iter().flat_map(|beside| {
        let all = [beside.certificate].into_iter().chain(beside.chain);
        all.filter_map(|der| Certificate::parse(&der.0).ok())
    });
    certificates.extend(named);
    let mut chain = chain(&certificates)?.into_iter();
    let collateral = SnpCollateral {
        certificate: chain.next()?,
        chain: chain.collect(),
        crl,
    };
    Some(Endorsements::new(platform, collateral.to_vec()))
}

const fn is_amd(platform: Platform) -> bool {
    matches!(
        platform,
        Platform::Snp | Platform::AzureSnp | Platform::SoftwareSnp | Platform::SoftwareAzureSnp
    )
}

/// From the one certificate that is no authority's up to one that is its own
/// issuer.
fn chain(certificates: &[Certificate]) -> Option<Vec<Bytes>> {
    let mut at = certificates.iter().find(|one| one.authority().is_none())?;
    let mut chain = vec![at];
    while at.issuer() != at.subject() && chain.len() < MAX_CHAIN {
        match certificates
            .iter()
            .find(|other| other.subject() == at.issuer())
        {
            Some(issuer) => at = issuer,
            None => break,
        }
        chain.push(at);
    }
    Some(chain.iter().map(|c| Bytes(c.der().to_vec())).collect())
}
