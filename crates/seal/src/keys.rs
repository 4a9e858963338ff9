//! The data key, and what HKDF-SHA256 (RFC 5869) makes of it for one job.

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use soundproof_protocol::{
    digest::Digest,
    sealed::Commitment,
    ticket::{AccessSecret, OutcomeKey},
};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

const SALT: &[u8] = b"soundproof/1/data-key";

/// 32 random bytes that the client makes for one job and nothing else.
#[derive(Clone, zeroize::Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Everything derived from a data key for one description, one list of
/// recipients and one length: another of any of these gives other keys.
#[derive(Clone)]
pub struct JobKeys {
    /// Stands in the header; checked before any chunk.
    pub commitment: Commitment,
    /// Encrypts outcome and progress.
    pub outcome: OutcomeKey,
    /// Grants access to the job.
    pub access: AccessSecret,
    pub(crate) stream: StreamKey,
}

/// Key and nonce prefix of the chunks.
#[derive(Clone, zeroize::Zeroize, ZeroizeOnDrop)]
pub(crate) struct StreamKey {
    pub(crate) key: [u8; 32],
    pub(crate) prefix: [u8; 7],
}

impl JobKeys {
    /// Derives them. `description` is the job description's digest,
    /// `recipients` the header's recipients digest, `padded_len` the
    /// plaintext's length.
    pub fn derive(
        data_key: &DataKey,
        description: &Digest,
        recipients: &Digest,
        padded_len: u64,
    ) -> Self {
        let mut context = [0; 72];
        let (head, len) = context.split_at_mut(64);
        head.copy_from_slice(&[description.0, recipients.0].concat());
        len.copy_from_slice(&padded_len.to_be_bytes());
        let hkdf = Hkdf::<Sha256>::new(Some(SALT), data_key.as_bytes());

        let mut stream = StreamKey {
            key: [0; 32],
            prefix: [0; 7],
        };
        let mut okm = Zeroizing::new([0; 39]);
        expand(&hkdf, "stream", &context, okm.as_mut());
        let (key, prefix) = okm.split_at(32);
        stream.key.copy_from_slice(key);
        stream.prefix.copy_from_slice(prefix);

        let mut commitment = Commitment([0; 32]);
        expand(&hkdf, "commitment", &context, &mut commitment.0);
        let mut outcome = OutcomeKey([0; 32]);
        expand(&hkdf, "outcome", &context, &mut outcome.0);
        let mut access = AccessSecret([0; 32]);
        expand(&hkdf, "access", &context, &mut access.0);
        Self {
            commitment,
            outcome,
            access,
            stream,
        }
    }
}

impl core::fmt::Debug for JobKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("JobKeys(…)")
    }
}

/// HKDF-Expand with info = label, 0, context. Output lengths here are below
/// HKDF's bound of 8160 bytes, so that it cannot fail.
pub(crate) fn expand(hkdf: &Hkdf<Sha256>, label: &str, context: &[u8], out: &mut [u8]) {
    let done = hkdf.expand_multi_info(&[label.as_bytes(), &[0], context], out);
    if done.is_err() {
        out.zeroize();
        unreachable!("output of HKDF-Expand is at most 39 bytes here");
    }
}
