//! The binding: the only bytes that hardware is ever asked to sign.
//!
//! Where each platform carries it (design: *Session*):
//!
//! | platform | field | value |
//! |---|---|---|
//! | Software (TDX layout) | report_data | B |
//! | Intel TDX, AMD SEV-SNP | report_data | B |
//! | dstack `GetQuote` (raw) | report_data | B |
//! | AWS Nitro | user_data (nonce and public_key absent) | B |
//! | NVIDIA GPU | SPDM nonce | SHA-256(its tag, root) |
//! | TPM quote | qualifying data | SHA-256(its tag, root) |
//!
//! A binding has no constructor from bytes: an attester takes this type, so
//! that nothing can make it quote a caller's bytes.

use crate::{
    attestation::{Platform, Role},
    digest::Digest,
};
use minicbor::Encode;
use sha2::{Digest as _, Sha512};

const TAG: &str = "soundproof/1/binding";

/// B = SHA-512(tag, 0, CBOR(platform, role, root, GPU evidence digest or none,
/// runtime quote digest or none)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 64]);

#[derive(Encode)]
#[cbor(map)]
struct Preimage {
    #[n(0)]
    platform: Platform,
    #[n(1)]
    role: Role,
    #[n(2)]
    root: Digest,
    #[n(3)]
    gpu: Explicit,
    #[n(4)]
    runtime: Explicit,
}

/// A digest, or null: none is explicit, not absent.
struct Explicit(Option<Digest>);

impl<C> Encode<C> for Explicit {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl Binding {
    /// Computes it from what it binds.
    pub fn new(
        platform: Platform,
        role: Role,
        root: Digest,
        gpu_evidence: Option<Digest>,
        runtime_quote: Option<Digest>,
    ) -> Self {
        let preimage = Preimage {
            platform,
            role,
            root,
            gpu: Explicit(gpu_evidence),
            runtime: Explicit(runtime_quote),
        };
        let mut hasher = Sha512::new();
        hasher.update(TAG.as_bytes());
        hasher.update([0]);
        hasher.update(crate::cbor::to_vec(&preimage));
        Self(hasher.finalize().into())
    }

    /// The 64 bytes to be carried.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl core::fmt::Debug for Binding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Binding({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_explicit() {
        let preimage = Preimage {
            platform: Platform::Software,
            role: Role::Keeper,
            root: Digest([1; 32]),
            gpu: Explicit(None),
            runtime: Explicit(None),
        };
        let bytes = crate::cbor::to_vec(&preimage);
        assert_eq!(bytes.first(), Some(&0xa5), "five entries");
        assert!(bytes.ends_with(&[3, 0xf6, 4, 0xf6]), "two of them null");
    }

    #[test]
    fn every_ingredient_changes_it() {
        let root = Digest([1; 32]);
        let other = Digest([2; 32]);
        let all = [
            Binding::new(Platform::Software, Role::Keeper, root, None, None),
            Binding::new(Platform::Tdx, Role::Keeper, root, None, None),
            Binding::new(Platform::Software, Role::Worker, root, None, None),
            Binding::new(Platform::Software, Role::Keeper, other, None, None),
            Binding::new(Platform::Software, Role::Keeper, root, Some(other), None),
            Binding::new(Platform::Software, Role::Keeper, root, None, Some(other)),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }
}
