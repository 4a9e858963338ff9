//! The binding: the only bytes that hardware is ever asked to sign.
//!
//! Where each platform carries it (design: *Session*):
//!
//! | platform | field | value |
//! |---|---|---|
//! | Software (TDX layout) | report_data | B |
//! | Intel TDX, AMD SEV-SNP | report_data | B |
//! | Intel SGX, dstack `GetQuote` (raw) | report_data | B |
//! | AWS Nitro | user_data (nonce and public_key absent) | B |
//! | Azure (TDX, SEV-SNP) | the vTPM quote's extraData | [`TpmNonce`] |
//! | their software kinds | as the platform whose format they have | B |
//! | NVIDIA GPU | SPDM nonce | [`GpuNonce`] |
//! | TPM quote | qualifying data | SHA-256(its tag, root) |
//!
//! A binding has no constructor from bytes: an attester takes this type, so
//! that nothing can make it quote a caller's bytes.

use crate::{
    attestation::{Platform, Role},
    digest::Digest,
};
use minicbor::Encode;
use sha2::{Digest as _, Sha256, Sha512};

const TAG: &str = "soundproof/1/binding";
const GPU_TAG: &str = "soundproof/1/gpu";
const TPM_TAG: &str = "soundproof/1/tpm";

/// B = SHA-512(tag, 0, CBOR(platform, role, root, GPU evidence digest or none,
/// runtime quote digest or none)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    bytes: [u8; 64],
    gpu_nonce: GpuNonce,
    tpm_nonce: TpmNonce,
}

/// What a GPU is asked to sign: SHA-256(tag, 0, root). It comes before the
/// binding, which has the digest of the GPU's evidence in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuNonce([u8; 32]);

impl GpuNonce {
    /// Of the tree of transcripts with this root.
    pub fn new(root: Digest) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(GPU_TAG.as_bytes());
        hasher.update([0]);
        hasher.update(root.0);
        Self(hasher.finalize().into())
    }

    /// The 32 bytes to be carried.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What a virtual TPM is asked to sign: SHA-256(tag, 0, B). B itself does not
/// fit: qualifying data is a TPM2B_DATA, no longer than the longest TPMT_HA
/// that the TPM has (TPM 2.0 Library, Part 2, 10.4.3), 34 to 66 bytes; Azure's
/// takes 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TpmNonce([u8; 32]);

impl TpmNonce {
    fn new(binding: &[u8; 64]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(TPM_TAG.as_bytes());
        hasher.update([0]);
        hasher.update(binding);
        Self(hasher.finalize().into())
    }

    /// The 32 bytes of the qualifying data.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

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
        let bytes = hasher.finalize().into();
        Self {
            bytes,
            tpm_nonce: TpmNonce::new(&bytes),
            gpu_nonce: GpuNonce::new(root),
        }
    }

    /// The 64 bytes to be carried.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.bytes
    }

    /// What a virtual TPM carries in the place of B.
    pub fn tpm_nonce(&self) -> &TpmNonce {
        &self.tpm_nonce
    }

    /// The nonce that GPUs of the same session must carry.
    pub fn gpu_nonce(&self) -> &GpuNonce {
        &self.gpu_nonce
    }
}

impl core::fmt::Debug for Binding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Binding({})", hex::encode(self.bytes))
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
    fn a_virtual_tpm_signs_all_of_it() {
        let root = Digest([1; 32]);
        let binding = Binding::new(Platform::AzureTdx, Role::Keeper, root, None, None);
        let nonce = Sha256::digest([b"soundproof/1/tpm\0", &binding.as_bytes()[..]].concat());
        assert_eq!(binding.tpm_nonce().as_bytes(), nonce.as_slice());
        let gpu = Some(Digest([2; 32]));
        let other = Binding::new(Platform::AzureTdx, Role::Keeper, root, gpu, None);
        assert_ne!(other.tpm_nonce(), binding.tpm_nonce());
        assert_eq!(other.gpu_nonce(), binding.gpu_nonce());
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
