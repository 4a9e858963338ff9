//! May this job's data key be taken? Every check that can be made before the
//! input is there is made here, so that a client hears of it at once.

use crate::{
    custody::{Custody, Job},
    sessions::Sessions,
};
use soundproof_protocol::{
    description::{DescriptionError, Durability, JobDescription},
    digest::Digest,
    error::Code,
    link::Refusal,
    mode::ModeOffer,
    sealed::{HeaderError, SealedHeader},
};
use soundproof_seal::open_header;

/// What jobs may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) modes: Vec<ModeOffer>,
    /// The operator takes no mode that does not hide.
    pub(crate) refuse_not_hiding: bool,
}

pub(crate) fn refusal(code: Code, detail: Option<String>) -> Refusal {
    Refusal { code, detail }
}

fn description_refusal(error: &DescriptionError) -> Refusal {
    let code = match error {
        DescriptionError::Version(_) => Code::VersionUnsupported,
        _ => Code::DescriptionInvalid,
    };
    refusal(code, Some(error.to_string()))
}

fn header_refusal(error: &HeaderError) -> Refusal {
    let code = match error {
        HeaderError::Version(_) => Code::VersionUnsupported,
        HeaderError::Suite(_) => Code::SuiteUnsupported,
        _ => Code::HeaderInvalid,
    };
    refusal(code, Some(error.to_string()))
}

/// Admits a job: opens its data key and takes it into custody. Admitting the
/// same job twice gives the same answer.
///
/// `now_ms` is the host's clock.
pub(crate) fn admit(
    sessions: &Sessions,
    custody: &Custody,
    offers: &Offers,
    description: &[u8],
    header: &[u8],
    now_ms: u64,
) -> Result<Digest, Refusal> {
    let header_digest = Digest::of(header);
    let description =
        JobDescription::from_slice(description).map_err(|error| description_refusal(&error))?;
    let header = SealedHeader::from_slice(header).map_err(|error| header_refusal(&error))?;
    let digest = description.digest();
    if let Some(job) = custody
        .look(&description.job, &digest, &header_digest)
        .map_err(|code| refusal(code, None))?
    {
        return Ok(job.keys.access.digest());
    }
    check_offer(offers, &description)?;
    if description.not_after_ms <= now_ms {
        return Err(refusal(Code::DeadlinePassed, None));
    }
    if !custody.can_remember() {
        return Err(refusal(Code::JobsFull, None));
    }
    let session = description
        .recipients
        .iter()
        .find_map(|transcript| sessions.get(transcript))
        .ok_or_else(|| refusal(Code::SessionUnknown, None))?;
    let keys = open_header(
        &session.recipient,
        &session.transcript,
        &description,
        &header,
    )
    .map_err(|error| refusal(error.code(), Some(error.to_string())))?;
    let job = Job::new(
        description,
        header,
        header_digest,
        keys,
        session.receipt_key.clone(),
        session.evidence,
        session.client_appraises,
    );
    let job = custody.take(job).map_err(|code| refusal(code, None))?;
    Ok(job.keys.access.digest())
}

fn check_offer(offers: &Offers, description: &JobDescription) -> Result<(), Refusal> {
    ModeOffer::admit(&offers.modes, description, offers.refuse_not_hiding)?;
    if description.delegation.is_some() {
        return Err(refusal(Code::DelegationUnavailable, None));
    }
    match description.durability {
        Durability::Forgotten => Ok(()),
        _ => Err(refusal(Code::DurableUnavailable, None)),
    }
}

#[cfg(test)]
mod tests;
