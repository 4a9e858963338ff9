//! Build a sealed header for 1 to 16 recipients, and open one.

use crate::{DataKey, JobKeys, Recipient, SealError, recipient::wrap};
use rand_core::CryptoRng;
use soundproof_protocol::{
    PROTOCOL_VERSION, cbor,
    description::JobDescription,
    digest::{Digest, Hasher},
    sealed::SealedHeader,
    suite::Suite,
};
use subtle::ConstantTimeEq as _;

/// Somebody to seal to: what an accepted session gives.
#[derive(Debug, Clone, Copy)]
pub struct Addressee<'a> {
    /// The session's suite.
    pub suite: Suite,
    /// Its public key; its digest stands in the transcript.
    pub public_key: &'a [u8],
    /// Digest of its transcript.
    pub transcript: &'a Digest,
}

/// Wraps `data_key` for every addressee, in the order of the description's
/// recipients, and derives the job's keys.
///
/// # Errors
/// [`SealError::Recipients`] if addressees and description differ,
/// [`SealError::Malformed`] for a bad public key, [`SealError::TooLong`].
pub fn seal_header(
    rng: &mut impl CryptoRng,
    data_key: &DataKey,
    description: &JobDescription,
    addressees: &[Addressee<'_>],
    padded_len: u64,
) -> Result<(SealedHeader, JobKeys), SealError> {
    if !addressees
        .iter()
        .map(|a| a.transcript)
        .eq(&description.recipients)
    {
        return Err(SealError::Recipients);
    }
    let digest = description.digest();
    let recipients = addressees
        .iter()
        .map(|a| wrap(rng, data_key, a.suite, a.public_key, a.transcript, &digest))
        .collect::<Result<Vec<_>, _>>()?;
    let mut header = SealedHeader {
        version: PROTOCOL_VERSION,
        recipients,
        commitment: soundproof_protocol::sealed::Commitment([0; 32]),
        padded_len,
    };
    header.chunks().ok_or(SealError::TooLong)?;
    let keys = JobKeys::derive(data_key, &digest, &header.recipients_digest(), padded_len);
    header.commitment = keys.commitment;
    Ok((header, keys))
}

/// Opens a header with a session's key. The header must be addressed to
/// exactly the description's recipients, and its commitment must be that of
/// the data key found: a sender that gave two recipients different data keys
/// is found out by at least one of them.
///
/// # Errors
/// [`SealError`].
pub fn open_header(
    recipient: &Recipient,
    transcript: &Digest,
    description: &JobDescription,
    header: &SealedHeader,
) -> Result<JobKeys, SealError> {
    if !header
        .recipients
        .iter()
        .map(|key| &key.transcript)
        .eq(&description.recipients)
    {
        return Err(SealError::Recipients);
    }
    let wrapped = header
        .recipients
        .iter()
        .find(|key| key.transcript == *transcript)
        .ok_or(SealError::Recipients)?;
    let digest = description.digest();
    let data_key = recipient.open(wrapped, transcript, &digest)?;
    let keys = JobKeys::derive(
        &data_key,
        &digest,
        &header.recipients_digest(),
        header.padded_len,
    );
    if bool::from(keys.commitment.0.ct_eq(&header.commitment.0)) {
        Ok(keys)
    } else {
        Err(SealError::Commitment)
    }
}

/// A hasher for the sealed input's digest, fed with the header; add the
/// chunks' ciphertext in order. A receipt names the result.
pub fn sealed_input_hasher(header: &SealedHeader) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(b"soundproof/1/sealed-input\0");
    hasher.update(Digest::of(&cbor::to_vec(header)).as_ref());
    hasher
}
