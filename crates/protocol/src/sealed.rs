//! Layout of a sealed input: a header, then chunks of ciphertext, sent in
//! parts of whole chunks. The cryptography is the `seal` crate's.
//!
//! The plaintext is a prologue (true length of the witness, 8 bytes big
//! endian; the client's clock, ms since 1970, 8 bytes; 32 bytes of entropy),
//! the witness, and zeros up to the padded length.

use crate::{
    cbor::{self, Bytes, DecodeError, fixed_bytes},
    description::MAX_RECIPIENTS,
    digest::Digest,
    suite::Suite,
};
use minicbor::{Decode, Encode};

/// Plaintext bytes in every chunk but the last.
pub const CHUNK: usize = 1024 * 1024;
/// Bytes that encryption adds to a chunk.
pub const TAG: usize = 16;
/// Ciphertext bytes in every chunk but the last.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Bytes of the plaintext's prologue.
pub const PROLOGUE: usize = 48;
/// Chunks of one input: 64 GiB, far below STREAM-BE32's 2^32.
pub const MAX_CHUNKS: u32 = 65_536;
/// Bytes of an encoded header at most.
pub const MAX_HEADER: usize = 32 * 1024;
/// Chunks of one part at most.
pub const MAX_PART_CHUNKS: u32 = 64;
/// An input of at most this many ciphertext bytes may go inside the create
/// call.
pub const MAX_INLINE: usize = SEALED_CHUNK;

fixed_bytes!(
    /// Commits to the data key, the description and the recipients (GCM does
    /// not commit).
    Commitment, 32
);
crate::cbor::hex_text!(Commitment);

/// The data key, wrapped for one recipient by HPKE.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WrappedKey {
    /// Digest of the recipient's transcript.
    #[n(0)]
    pub transcript: Digest,
    /// How it was wrapped: a KEM's code point, known or not.
    #[n(1)]
    pub suite: u16,
    /// HPKE's encapsulated key.
    #[n(2)]
    pub encapsulation: Bytes,
    /// HPKE's ciphertext of the 32-byte data key.
    #[n(3)]
    pub ciphertext: Bytes,
}

/// What stands before the chunks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SealedHeader {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// In the order of the description's recipients.
    #[n(1)]
    pub recipients: Vec<WrappedKey>,
    /// Checked before any chunk.
    #[n(2)]
    pub commitment: Commitment,
    /// Plaintext bytes, prologue and padding included.
    #[n(3)]
    pub padded_len: u64,
}

/// Why a header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not the encoding of one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Another protocol version.
    #[error("sealed header of version {0}, this is version {PROTOCOL}", PROTOCOL = crate::PROTOCOL_VERSION)]
    Version(u16),
    /// A suite that is not spoken here.
    #[error("suite 0x{0:04x} is not spoken here")]
    Suite(u16),
    /// A field breaks its rule.
    #[error("sealed header: {0}")]
    Rule(&'static str),
}

impl SealedHeader {
    /// Decodes one and checks lengths.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header: Self = cbor::from_slice(bytes, MAX_HEADER)?;
        if header.version != crate::PROTOCOL_VERSION {
            return Err(HeaderError::Version(header.version));
        }
        if !(1..=MAX_RECIPIENTS).contains(&header.recipients.len()) {
            return Err(HeaderError::Rule("1 to 16 recipients"));
        }
        for key in &header.recipients {
            let suite = Suite::from_code(key.suite).ok_or(HeaderError::Suite(key.suite))?;
            if key.encapsulation.0.len() != suite.encapsulation_len()
                || key.ciphertext.0.len() != 32 + TAG
            {
                return Err(HeaderError::Rule("a wrapped key has the wrong length"));
            }
        }
        if header.padded_len < PROLOGUE as u64 || header.chunks().is_none() {
            return Err(HeaderError::Rule("padded length out of range"));
        }
        Ok(header)
    }

    /// Digest of the recipients' list, an ingredient of every derived key.
    pub fn recipients_digest(&self) -> Digest {
        Digest::tagged("soundproof/1/recipients", &self.recipients)
    }

    /// How many chunks follow; `None` if more than [`MAX_CHUNKS`].
    pub fn chunks(&self) -> Option<u32> {
        u32::try_from(self.padded_len.div_ceil(CHUNK as u64).max(1))
            .ok()
            .filter(|n| *n <= MAX_CHUNKS)
    }

    /// Ciphertext bytes of chunk `index`; `None` past the end.
    pub fn sealed_chunk_len(&self, index: u32) -> Option<usize> {
        let chunks = self.chunks()?;
        if index >= chunks {
            return None;
        }
        if index + 1 < chunks {
            return Some(SEALED_CHUNK);
        }
        let before = u64::from(index) * CHUNK as u64;
        usize::try_from(self.padded_len - before)
            .ok()
            .map(|len| len + TAG)
    }

    /// Ciphertext bytes in all.
    pub fn sealed_len(&self) -> Option<u64> {
        Some(self.padded_len + u64::from(self.chunks()?) * TAG as u64)
    }
}

/// How the chunks are cut into parts: part p holds chunks
/// `p * part_chunks ..`, up to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLayout {
    chunks: u32,
    part_chunks: u32,
    sealed_len: u64,
}

impl PartLayout {
    /// `part_chunks` from 1 to [`MAX_PART_CHUNKS`]; else `None`.
    pub fn new(header: &SealedHeader, part_chunks: u32) -> Option<Self> {
        (1..=MAX_PART_CHUNKS).contains(&part_chunks).then_some(())?;
        Some(Self {
            chunks: header.chunks()?,
            part_chunks,
            sealed_len: header.sealed_len()?,
        })
    }

    /// From the length of the ciphertext, which gives the number of chunks: for
    /// who has no header at hand. `None` for a length that no header gives.
    pub fn from_sealed_len(sealed_len: u64, part_chunks: u32) -> Option<Self> {
        (1..=MAX_PART_CHUNKS).contains(&part_chunks).then_some(())?;
        let chunks = u32::try_from(sealed_len.div_ceil(SEALED_CHUNK as u64)).ok()?;
        let last =
            sealed_len.checked_sub(u64::from(chunks.checked_sub(1)?) * SEALED_CHUNK as u64)?;
        (chunks <= MAX_CHUNKS && last > TAG as u64).then_some(Self {
            chunks,
            part_chunks,
            sealed_len,
        })
    }

    /// Ciphertext bytes of chunk `chunk`; `None` past the end.
    pub fn chunk_len(&self, chunk: u32) -> Option<u64> {
        let before = u64::from(chunk) * SEALED_CHUNK as u64;
        (chunk < self.chunks).then(|| (SEALED_CHUNK as u64).min(self.sealed_len - before))
    }

    /// How many parts there are.
    pub fn parts(&self) -> u32 {
        self.chunks.div_ceil(self.part_chunks)
    }

    /// Ciphertext bytes of part `index`; `None` past the end.
    pub fn part_len(&self, index: u32) -> Option<u64> {
        if index >= self.parts() {
            return None;
        }
        let whole = u64::from(self.part_chunks) * SEALED_CHUNK as u64;
        Some(whole.min(self.sealed_len - u64::from(index) * whole))
    }

    /// Part that holds chunk `chunk`, and the chunk's byte offset in it.
    pub fn locate(&self, chunk: u32) -> Option<(u32, u64)> {
        (chunk < self.chunks).then(|| {
            (
                chunk / self.part_chunks,
                u64::from(chunk % self.part_chunks) * SEALED_CHUNK as u64,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(padded_len: u64) -> SealedHeader {
        SealedHeader {
            version: 1,
            recipients: vec![],
            commitment: Commitment([0; 32]),
            padded_len,
        }
    }

    proptest! {
        #[test]
        fn parts_and_chunks_add_up(padded_len in 48u64..400 * CHUNK as u64, part_chunks in 1u32..=64) {
            let header = header(padded_len);
            let layout = PartLayout::new(&header, part_chunks).unwrap();
            let chunks: u64 = (0..header.chunks().unwrap()).map(|i| header.sealed_chunk_len(i).unwrap() as u64).sum();
            let parts: u64 = (0..layout.parts()).map(|i| layout.part_len(i).unwrap()).sum();
            prop_assert_eq!(chunks, header.sealed_len().unwrap());
            prop_assert_eq!(parts, header.sealed_len().unwrap());
            prop_assert_eq!(layout.part_len(layout.parts()), None);
            prop_assert!(layout.locate(header.chunks().unwrap()).is_none());
            prop_assert_eq!(PartLayout::from_sealed_len(header.sealed_len().unwrap(), part_chunks), Some(layout));
            for i in 0..=header.chunks().unwrap() {
                prop_assert_eq!(layout.chunk_len(i), header.sealed_chunk_len(i).map(|n| n as u64));
            }
        }
    }

    #[test]
    fn a_length_beyond_the_bound_has_no_chunks() {
        assert_eq!(header(u64::MAX).chunks(), None);
        assert_eq!(
            header(u64::from(MAX_CHUNKS) * CHUNK as u64).chunks(),
            Some(MAX_CHUNKS)
        );
        assert_eq!(
            header(u64::from(MAX_CHUNKS) * CHUNK as u64 + 1).chunks(),
            None
        );
    }
}
