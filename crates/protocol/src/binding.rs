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
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha512};

const TAG: &str = "soundproof/1/binding";

/// B = SHA-512(tag, 0, CBOR(platform, role, root, GPU evidence digest or none,
/// runtime quote digest or none)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 64]);

#[derive(Encode, Decode)]
#[cbor(map)]
struct Preimage {
    #[n(0)]
    platform: Platform,
    #[n(1)]
    role: Role,
    #[n(2)]
    root: Digest,
    // Written as null when there is none: explicit, not absent.
    #[n(3)]
    #[cbor(encode_with = "explicit", decode_with = "read_explicit")]
    gpu: Option<Digest>,
    #[n(4)]
    #[cbor(encode_with = "explicit", decode_with = "read_explicit")]
    runtime: Option<Digest>,
}

fn explicit<C, W: minicbor::encode::Write>(
    value: &Option<Digest>,
    e: &mut minicbor::Encoder<W>,
    ctx: &mut C,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    value.encode(e, ctx)
}

fn read_explicit<'b, C>(
    d: &mut minicbor::Decoder<'b>,
    ctx: &mut C,
) -> Result<Option<Digest>, minicbor::decode::Error> {
    Option::<Digest>::decode(d, ctx)
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
            gpu: gpu_evidence,
            runtime: runtime_quote,
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
