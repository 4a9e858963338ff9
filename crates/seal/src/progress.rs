//! Sealed progress: one AES-256-GCM message an event, all of one length, under
//! a key of the attempt's own salt, with the event's number as nonce.

use crate::{SealError, outcome::envelope_key};
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use soundproof_protocol::{
    cbor,
    digest::Digest,
    outcome::{PROGRESS_PLAINTEXT, Progress, Salt, SealedProgress},
    sealed::TAG,
    ticket::OutcomeKey,
};
use zeroize::Zeroizing;

fn cipher(key: &OutcomeKey, description: &Digest, salt: &Salt) -> Aes256Gcm {
    Aes256Gcm::new(&envelope_key(key, description, salt, "progress").key.into())
}

fn nonce(sequence: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&sequence.to_be_bytes());
    nonce
}

/// Seals one attempt's events.
pub struct Sealer {
    cipher: Aes256Gcm,
    salt: Salt,
    next: u32,
}

impl Sealer {
    /// `salt` must be fresh and random for every attempt.
    pub fn new(key: &OutcomeKey, description: &Digest, salt: Salt) -> Self {
        Self {
            cipher: cipher(key, description, &salt),
            salt,
            next: 0,
        }
    }

    /// Seals the next event; `None` if it does not fit, or after 2^32 events.
    pub fn seal(&mut self, progress: &Progress) -> Option<SealedProgress> {
        let body = cbor::to_vec(progress);
        let len = u16::try_from(body.len()).ok()?;
        if body.len() + 2 > PROGRESS_PLAINTEXT {
            return None;
        }
        let mut buffer = Vec::with_capacity(PROGRESS_PLAINTEXT + TAG);
        buffer.extend_from_slice(&len.to_be_bytes());
        buffer.extend_from_slice(&body);
        buffer.resize(PROGRESS_PLAINTEXT, 0);
        let sequence = self.next;
        self.next = self.next.checked_add(1)?;
        self.cipher
            .encrypt_in_place(&nonce(sequence).into(), &[], &mut buffer)
            .ok()?;
        Some(SealedProgress {
            salt: self.salt,
            sequence,
            ciphertext: buffer.into(),
        })
    }
}

/// Opens one event.
///
/// # Errors
/// [`SealError::Outcome`] if it was not sealed for this job.
pub fn open(
    key: &OutcomeKey,
    description: &Digest,
    sealed: &SealedProgress,
) -> Result<Progress, SealError> {
    if sealed.ciphertext.0.len() != PROGRESS_PLAINTEXT + TAG {
        return Err(SealError::Outcome);
    }
    let mut buffer = Zeroizing::new(sealed.ciphertext.0.clone());
    cipher(key, description, &sealed.salt)
        .decrypt_in_place(&nonce(sealed.sequence).into(), &[], &mut *buffer)
        .map_err(|_| SealError::Outcome)?;
    let (len, rest) = buffer.split_first_chunk().ok_or(SealError::Outcome)?;
    let body = rest
        .get(..usize::from(u16::from_be_bytes(*len)))
        .ok_or(SealError::Outcome)?;
    cbor::from_slice(body, PROGRESS_PLAINTEXT).map_err(|_| SealError::Outcome)
}
