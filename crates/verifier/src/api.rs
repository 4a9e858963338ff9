//! What is asked and answered: JSON, bytes in base64 (RFC 4648, section 4).

use serde::{Deserialize, Serialize};

/// Bytes of a request's body at most: evidence, endorsements and trust
/// configuration in base64.
pub const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// POST /v1/appraise. Either a session as a server answered it, or evidence
/// with the root that it must bind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AppraiseRequest {
    /// Name of the policy to judge by.
    pub policy: String,
    /// Who will rely on the answer; 1 to 256 characters.
    pub audience: String,
    /// 16 to 64 bytes, hexadecimal: whoever asks makes them fresh, and finds
    /// them in the answer. With a session: those that the session was opened
    /// with, which its transcript must carry.
    pub nonce: String,
    /// A session's evidence: `SessionEvidence`, deterministic CBOR. The
    /// binding is computed from its transcript and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Evidence alone: `Evidence`, deterministic CBOR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// With `evidence`: `Endorsements`, deterministic CBOR. Fetched if left
    /// out, where this service does that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endorsements: Option<String>,
    /// With `evidence`: `TrustConfiguration`, deterministic CBOR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// With `evidence`: the root of the tree of transcripts that it must bind,
    /// 64 hexadecimal digits. The binding is computed from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The 64 bytes that the evidence is expected to carry, hexadecimal, as
    /// whoever asks computed them. What is computed here must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
}

/// The answer, whether or not the evidence is accepted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AppraiseAnswer {
    /// Whether the policy accepts it for the expected binding.
    pub accepted: bool,
    /// The policy's name.
    pub policy: String,
    /// Digest of the policy, hexadecimal.
    pub policy_digest: String,
    /// The nonce that was sent.
    pub nonce: String,
    /// The binding that was expected, hexadecimal.
    pub binding: String,
    /// When it was judged, by this service's clock; ms since 1970.
    pub judged_at_ms: u64,
    /// Every check, with what was expected, what was found, and what to do.
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub verdict: soundproof_evidence::Verdict,
    /// The same as an attestation result (EAR): a JWT that this service signs,
    /// with nonce, audience, end and the policy's digest. Relying on it is
    /// trusting whoever runs the service.
    pub ear: String,
}

/// GET /v1/keys: a JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeySet {
    /// The one key that answers are signed with.
    pub keys: Vec<Key>,
}

/// A key of ES256.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Key {
    /// `EC`.
    pub kty: &'static str,
    /// `P-256`.
    pub crv: &'static str,
    /// `ES256`.
    pub alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    pub purpose: &'static str,
    /// Its name in tokens.
    pub kid: String,
    /// base64url.
    pub x: String,
    /// base64url.
    pub y: String,
}

/// GET /v1/policies.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PolicyList {
    /// In the order of their names.
    pub policies: Vec<PolicyView>,
}

/// One policy.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its digest, hexadecimal.
    pub digest: String,
}
