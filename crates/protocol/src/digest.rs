//! SHA-256 digests. Every digest of a structure of ours is taken over a
//! domain tag and its deterministic encoding, so that no two kinds of thing
//! can share a digest.

use crate::cbor::{fixed_bytes, hex_text};
use sha2::{Digest as _, Sha256};

fixed_bytes!(
    /// A SHA-256 digest; its text form is 64 lower-case hex digits.
    Digest, 32
);
hex_text!(Digest);

impl Digest {
    /// SHA-256 of `bytes`, for things that have an identity of their own
    /// (program parts, proofs, public values, public keys).
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of `tag`, a zero byte, and the deterministic encoding of
    /// `value`.
    pub fn tagged<T: minicbor::Encode<()>>(tag: &str, value: &T) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(tag.as_bytes());
        hasher.update([0]);
        hasher.update(crate::cbor::to_vec(value));
        Self(hasher.finalize().into())
    }
}

/// SHA-256 of something that arrives in pieces.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
