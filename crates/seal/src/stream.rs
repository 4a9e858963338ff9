//! Chunks of a sealed input: STREAM-BE32 (Hoang, Reyhanitabar, Rogaway and
//! Vizár, CRYPTO 2015) over AES-256-GCM. Chunk i has nonce (prefix, i, last?),
//! so that none can be dropped, moved, repeated, or cut off at the end.
//!
//! A (key, index) pair must never encrypt two plaintexts. [`Sealer`] cannot
//! know what it sealed in another life: whoever makes a chunk again compares
//! digests, and starts over with a new data key when they differ.

use crate::{JobKeys, SealError, keys::StreamKey};
use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use soundproof_protocol::sealed::{CHUNK, SealedHeader, TAG};
use zeroize::Zeroizing;

fn cipher(key: &StreamKey) -> StreamBE32<Aes256Gcm> {
    StreamBE32::from_aead(Aes256Gcm::new(&key.key.into()), &key.prefix.into())
}

struct Shape {
    chunks: u32,
    padded_len: u64,
}

impl Shape {
    fn new(header: &SealedHeader) -> Result<Self, SealError> {
        let chunks = header.chunks().ok_or(SealError::TooLong)?;
        Ok(Self {
            chunks,
            padded_len: header.padded_len,
        })
    }

    /// Plaintext length of chunk `index`, and whether it is the last.
    fn chunk(&self, index: u32) -> Option<(usize, bool)> {
        let last = index.checked_add(1)? == self.chunks;
        if index >= self.chunks {
            return None;
        }
        let before = u64::from(index) * CHUNK as u64;
        Some((
            usize::try_from((self.padded_len - before).min(CHUNK as u64)).ok()?,
            last,
        ))
    }
}

/// Encrypts chunks, in any order.
pub struct Sealer {
    cipher: StreamBE32<Aes256Gcm>,
    shape: Shape,
}

impl Sealer {
    /// For the job whose keys and header these are.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn new(keys: &JobKeys, header: &SealedHeader) -> Result<Self, SealError> {
        Ok(Self {
            cipher: cipher(&keys.stream),
            shape: Shape::new(header)?,
        })
    }

    /// Encrypts chunk `index` in place; the buffer must hold exactly its
    /// plaintext and grows by 16 bytes.
    ///
    /// # Errors
    /// [`SealError::Chunk`] if index or length are not the header's.
    pub fn seal(&self, index: u32, buffer: &mut Vec<u8>) -> Result<(), SealError> {
        let (len, last) = self.shape.chunk(index).ok_or(SealError::Chunk)?;
        if buffer.len() != len {
            return Err(SealError::Chunk);
        }
        // Growing would leave a copy of the plaintext behind.
        if buffer.capacity() < len + TAG {
            let mut roomy = Vec::with_capacity(len + TAG);
            roomy.extend_from_slice(buffer);
            drop(Zeroizing::new(core::mem::replace(buffer, roomy)));
        }
        self.cipher
            .encrypt_in_place(index, last, &[], buffer)
            .map_err(|_| SealError::Chunk)
    }
}

/// Decrypts chunks, in any order.
pub struct Opener {
    cipher: StreamBE32<Aes256Gcm>,
    shape: Shape,
}

impl Opener {
    /// For the job whose keys and header these are.
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn new(keys: &JobKeys, header: &SealedHeader) -> Result<Self, SealError> {
        Ok(Self {
            cipher: cipher(&keys.stream),
            shape: Shape::new(header)?,
        })
    }

    /// Decrypts chunk `index`.
    ///
    /// # Errors
    /// [`SealError::Chunk`] for any other bytes than those that were sealed
    /// as this chunk.
    pub fn open(&self, index: u32, sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (len, last) = self.shape.chunk(index).ok_or(SealError::Chunk)?;
        if sealed.len() != len + TAG {
            return Err(SealError::Chunk);
        }
        let mut buffer = Zeroizing::new(sealed);
        self.cipher
            .decrypt_in_place(index, last, &[], &mut *buffer)
            .map_err(|_| SealError::Chunk)?;
        Ok(buffer)
    }
}
