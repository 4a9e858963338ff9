//! The sealed outcome: magic, a fresh salt, then chunks under a key of the
//! salt's own. Padded so that its size does not tell failure from success.

use crate::{
    SealError,
    keys::{StreamKey, expand},
    plaintext::padme,
};
use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;
use soundproof_protocol::{
    cbor,
    digest::Digest,
    outcome::{ENVELOPE_HEADER, ENVELOPE_MAGIC, MAX_OUTCOME, MIN_OUTCOME_PLAINTEXT, Outcome, Salt},
    sealed::{CHUNK, SEALED_CHUNK, TAG},
    ticket::OutcomeKey,
};
use zeroize::Zeroizing;

pub(crate) fn envelope_key(
    key: &OutcomeKey,
    description: &Digest,
    salt: &Salt,
    label: &str,
) -> StreamKey {
    let hkdf = Hkdf::<Sha256>::new(Some(&salt.0), &key.0);
    let mut okm = Zeroizing::new([0; 39]);
    expand(&hkdf, label, description.as_ref(), okm.as_mut());
    let mut derived = StreamKey {
        key: [0; 32],
        prefix: [0; 7],
    };
    let (key, prefix) = okm.split_at(32);
    derived.key.copy_from_slice(key);
    derived.prefix.copy_from_slice(prefix);
    derived
}

fn cipher(key: &OutcomeKey, description: &Digest, salt: &Salt) -> StreamBE32<Aes256Gcm> {
    let derived = envelope_key(key, description, salt, "outcome");
    StreamBE32::from_aead(Aes256Gcm::new(&derived.key.into()), &derived.prefix.into())
}

/// Seals an outcome. `salt` must be fresh and random: it makes the key.
///
/// # Errors
/// [`SealError::TooLong`].
pub fn seal(
    key: &OutcomeKey,
    description: &Digest,
    salt: Salt,
    outcome: &Outcome,
) -> Result<Vec<u8>, SealError> {
    let body = Zeroizing::new(cbor::to_vec(outcome));
    let len = u64::try_from(body.len()).map_err(|_| SealError::TooLong)?;
    let padded = padme(len + 8)
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| *len <= MAX_OUTCOME / 2)
        .ok_or(SealError::TooLong)?
        .max(MIN_OUTCOME_PLAINTEXT);
    let mut plaintext = Zeroizing::new(Vec::with_capacity(padded));
    plaintext.extend_from_slice(&len.to_be_bytes());
    plaintext.extend_from_slice(&body);
    plaintext.resize(padded, 0);

    let cipher = cipher(key, description, &salt);
    let chunks = plaintext.chunks(CHUNK);
    let last = chunks.len().saturating_sub(1);
    let mut sealed = Vec::with_capacity(ENVELOPE_HEADER + padded + chunks.len() * TAG);
    sealed.extend_from_slice(&ENVELOPE_MAGIC);
    sealed.extend_from_slice(&salt.0);
    for (index, chunk) in chunks.enumerate() {
        let mut buffer = Vec::with_capacity(chunk.len() + TAG);
        buffer.extend_from_slice(chunk);
        let position = u32::try_from(index).map_err(|_| SealError::TooLong)?;
        cipher
            .encrypt_in_place(position, index == last, &[], &mut buffer)
            .map_err(|_| SealError::TooLong)?;
        sealed.extend_from_slice(&buffer);
    }
    Ok(sealed)
}

/// Opens an outcome: only whoever opened the witness can have made it.
///
/// # Errors
/// [`SealError::Outcome`].
pub fn open(key: &OutcomeKey, description: &Digest, sealed: &[u8]) -> Result<Outcome, SealError> {
    if sealed.len() > MAX_OUTCOME {
        return Err(SealError::TooLong);
    }
    let (magic, rest) = sealed.split_first_chunk::<4>().ok_or(SealError::Outcome)?;
    let (salt, body) = rest.split_first_chunk::<32>().ok_or(SealError::Outcome)?;
    if *magic != ENVELOPE_MAGIC || body.is_empty() {
        return Err(SealError::Outcome);
    }
    let cipher = cipher(key, description, &Salt(*salt));
    let chunks = body.chunks(SEALED_CHUNK);
    let last = chunks.len().saturating_sub(1);
    let mut plaintext = Zeroizing::new(Vec::with_capacity(body.len()));
    for (index, chunk) in chunks.enumerate() {
        let mut buffer = Zeroizing::new(chunk.to_vec());
        let position = u32::try_from(index).map_err(|_| SealError::Outcome)?;
        cipher
            .decrypt_in_place(position, index == last, &[], &mut *buffer)
            .map_err(|_| SealError::Outcome)?;
        plaintext.extend_from_slice(&buffer);
    }
    let (len, rest) = plaintext.split_first_chunk().ok_or(SealError::Outcome)?;
    let len = usize::try_from(u64::from_be_bytes(*len)).map_err(|_| SealError::Outcome)?;
    let body = rest.get(..len).ok_or(SealError::Outcome)?;
    cbor::from_slice(body, MAX_OUTCOME).map_err(|_| SealError::Outcome)
}
