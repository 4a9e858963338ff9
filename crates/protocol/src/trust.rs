//! The trust configuration: whatever the operator could set that decides who
//! may see a secret. Sent in full, digested in the transcript, judged by the
//! client's policy. What cannot affect secrecy (addresses, quotas, tenants)
//! stays out of it.

use crate::{cbor, digest::Digest};
use minicbor::{Decode, Encode};

/// Bytes of an encoded trust configuration at most.
pub const MAX_TRUST: usize = 16 * 1024;

/// A prover's executable that may see a job's plaintext.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProverIdentity {
    /// Proof system, as in a job description: `groth16`.
    #[n(0)]
    pub system: String,
    /// SHA-256 of the executable that is run.
    #[n(1)]
    pub executable: Digest,
    /// Its version, as it says in its hello; for people.
    #[n(2)]
    pub version: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TrustConfiguration {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// By system, then executable.
    #[n(1)]
    pub provers: Vec<ProverIdentity>,
    /// Sandbox layers that every prover process has reached, sorted by name.
    #[n(2)]
    pub sandbox: Vec<String>,
    /// Digest of the policy by which workers are admitted; none: no key
    /// leaves the instance.
    #[n(3)]
    pub delegation: Option<Digest>,
    /// Scope of the key that durable jobs are wrapped under; none: not offered.
    #[n(4)]
    pub durable_scope: Option<String>,
    /// Whether secrets may be put on a GPU.
    #[n(5)]
    pub gpu: bool,
    /// Where traces and metrics are sent, sorted.
    #[n(6)]
    pub telemetry: Vec<String>,
    /// Every `danger` option that is on, sorted.
    #[n(7)]
    pub danger: Vec<String>,
    /// Whether the system had swap when the keeper started.
    #[n(8)]
    pub swap: bool,
    /// Whether SP1's own clients are served straight, their inputs sealed only
    /// on arrival. What other clients sealed does not pass there.
    #[n(9)]
    pub sp1_direct: bool,
}

impl TrustConfiguration {
    /// As it stands in the transcript.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/trust", self)
    }

    /// Decodes one; an unknown key is an error.
    ///
    /// # Errors
    /// [`cbor::DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, cbor::DecodeError> {
        cbor::from_slice(bytes, MAX_TRUST)
    }
}
