//! Whether certificates of a chain were revoked, by what the server stapled:
//! OCSP responses and revocation lists.

use super::{
    device::ALGORITHMS,
    ocsp::{Response, Status},
};
use crate::{
    reason::Reason,
    refusal::Refusal,
    x509::{Certificate, Crl},
};
use soundproof_protocol::cbor::Bytes;

enum Answer {
    Ocsp(Response),
    Crl(Box<Crl>),
}

/// Answers that were read.
pub(super) struct Answers(Vec<Answer>);

/// What is known of a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// None of its certificates is revoked.
    Good,
    /// No answer that holds for these.
    Open(Vec<String>),
}

impl Answers {
    pub(super) fn read(all: &[Bytes]) -> Result<Self, Refusal> {
        let one = |bytes: &Bytes| {
            if let Ok(response) = Response::parse(&bytes.0) {
                return Ok(Answer::Ocsp(response));
            }
            Crl::parse(&bytes.0)
                .map(|list| Answer::Crl(Box::new(list)))
                .map_err(|_| {
                    Refusal::new(
                        Reason::EndorsementsMalformed,
                        "neither an OCSP response nor a revocation list",
                    )
                })
        };
        Ok(Self(all.iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Looks up each certificate of a verified chain but its last, the root,
    /// and its first `skip`.
    pub(super) fn check(
        &self,
        chain: &[Certificate],
        skip: usize,
        at_s: u64,
        max_age_s: u64,
    ) -> Result<Known, Refusal> {
        let mut open = Vec::new();
        for at in skip..chain.len().saturating_sub(1) {
            let (Some(certificate), Some(above)) = (chain.get(at), chain.get(at + 1..)) else {
                break;
            };
            let name = || certificate.common_name().unwrap_or_default();
            match self.of(certificate, above, at_s, max_age_s) {
                Some(Status::Good) => {}
                Some(Status::Revoked) => {
                    return Err(Refusal::new(
                        Reason::CertificateRevoked,
                        format!("{:?} was revoked", name()),
                    ));
                }
                Some(Status::Unknown) | None => open.push(name()),
            }
        }
        Ok(if open.is_empty() {
            Known::Good
        } else {
            Known::Open(open)
        })
    }

    /// The worst that is said of it.
    fn of(
        &self,
        certificate: &Certificate,
        above: &[Certificate],
        at_s: u64,
        max_age_s: u64,
    ) -> Option<Status> {
        let mut best = None;
        for answer in &self.0 {
            let status = match answer {
                Answer::Ocsp(response) => response
                    .status(certificate, above, at_s, max_age_s)
                    .map(|(status, _)| status),
                Answer::Crl(list) => listed(list, certificate, above, at_s, max_age_s),
            };
            match status {
                Some(Status::Revoked) => return status,
                Some(Status::Good) => best = status,
                Some(Status::Unknown) | None => {}
            }
        }
        best
    }
}

fn listed(
    list: &Crl,
    certificate: &Certificate,
    above: &[Certificate],
    at_s: u64,
    max_age_s: u64,
) -> Option<Status> {
    let issuer = above.first()?;
    list.verify(issuer, ALGORITHMS, at_s).ok()?;
    if at_s.saturating_sub(list.window().from_s) > max_age_s {
        return None;
    }
    Some(if list.revokes(certificate) {
        Status::Revoked
    } else {
        Status::Good
    })
}
