//! NVIDIA GPUs in confidential computing mode, Hopper and Blackwell: what a GPU
//! signs is verified up to its last byte under NVIDIA's device root, which is
//! compiled in (invariant 8); its measurements are compared with NVIDIA's
//! reference integrity manifests, with tuples that the policy names, or taken
//! as appraised by NVIDIA's attestation service, as the policy says.
//!
//! A GPU is never evidence by itself: the binding that the processor's
//! evidence carries has the digest of the GPUs' in it, and each GPU carries the
//! nonce of the same session.
//!
//! | module | what |
//! |---|---|
//! | [`spdm`], [`opaque`] | the report: SPDM 1.1 messages, NVIDIA's fields in them |
//! | [`device`] | the chain of certificates, and which GPU it is |
//! | [`rim`] | reference integrity manifests: signed XML |
//! | [`ocsp`], `revocation` | whether certificates were revoked |
//! | [`nras`] | results of NVIDIA's remote attestation service |
//! | [`Needs`] | for who fetches endorsements: which |

pub mod device;
mod dice;
mod judge;
mod needs;
pub mod nras;
pub mod ocsp;
pub mod opaque;
mod reference;
mod revocation;
pub mod rim;
pub mod spdm;
mod xml;

pub use judge::GpuFacts;
pub(crate) use judge::{Tables, explain, judge};
pub use needs::Needs;
pub use opaque::{Mode, Opaque};
pub use rim::{Rim, RimError};
pub use spdm::{Report, ReportError};

use minicbor::{Decode, Encode};
use soundproof_protocol::{
    attestation::{MAX_ENDORSEMENTS, MAX_EVIDENCE},
    cbor::{self, Bytes, DecodeError},
};

/// NVIDIA's roots: of devices and of manifests.
pub(crate) const ROOT_KEYS: [[u8; 48]; 2] = [
    device::NVIDIA_DEVICE_ROOT_KEY,
    reference::NVIDIA_RIM_ROOT_KEY,
];

/// Whether NVIDIA signed a manifest.
pub(crate) fn is_nvidias(rim: Rim, at_s: u64) -> bool {
    reference::Signed::verify(rim, crate::refusal::Root::Vendor, at_s, None).is_ok()
}

/// GPUs in one session at most.
pub const MAX_GPUS: usize = 16;
/// Manifests, revocation answers or tokens at most, each.
pub const MAX_ENDORSED: usize = 128;

/// Whose format, and under whose root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[non_exhaustive]
pub enum GpuKind {
    /// NVIDIA.
    #[n(0)]
    Nvidia,
    /// A software GPU in NVIDIA's format: no protection at all.
    #[n(16)]
    SoftwareNvidia,
}

impl GpuKind {
    /// The name in verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::SoftwareNvidia => "software-nvidia",
        }
    }
}

/// Evidence of one GPU.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Gpu {
    /// Whose format.
    #[n(0)]
    pub kind: GpuKind,
    /// Request and response, as the driver gives them.
    #[n(1)]
    pub report: Bytes,
    /// Certificates in PEM, leaf first, as the driver gives them.
    #[n(2)]
    pub chain: Bytes,
}

/// Evidence of a session's GPUs: the field `gpu` of
/// [`Evidence`](soundproof_protocol::attestation::Evidence).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GpuEvidence {
    /// Each of them; 1 to [`MAX_GPUS`].
    #[n(0)]
    pub gpus: Vec<Gpu>,
}

impl GpuEvidence {
    /// Decodes it.
    ///
    /// # Errors
    /// [`DecodeError`], also for no GPU or too many.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        let evidence: Self = cbor::from_slice(bytes, MAX_EVIDENCE)?;
        if (1..=MAX_GPUS).contains(&evidence.gpus.len()) {
            Ok(evidence)
        } else {
            Err(DecodeError::Malformed {
                what: "GPU evidence",
            })
        }
    }
}

/// What NVIDIA endorses GPUs with: the field `gpu` of
/// [`Endorsements`](soundproof_protocol::attestation::Endorsements).
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct GpuEndorsements {
    /// Reference integrity manifests, XML.
    #[n(0)]
    pub manifests: Vec<Bytes>,
    /// OCSP responses and revocation lists, DER.
    #[n(1)]
    pub revocation: Vec<Bytes>,
    /// Answers of NVIDIA's remote attestation service, JSON.
    #[n(2)]
    pub results: Vec<Bytes>,
}

impl GpuEndorsements {
    /// Decodes them.
    ///
    /// # Errors
    /// [`DecodeError`], also for too many of a kind.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        let endorsements: Self = cbor::from_slice(bytes, MAX_ENDORSEMENTS)?;
        let lists = [
            &endorsements.manifests,
            &endorsements.revocation,
            &endorsements.results,
        ];
        if lists.iter().all(|list| list.len() <= MAX_ENDORSED) {
            Ok(endorsements)
        } else {
            Err(DecodeError::Malformed {
                what: "GPU endorsements",
            })
        }
    }
}
