//! Bodies of the HTTP API, `/v1`. What a client checks by digest travels as
//! deterministic CBOR (`application/cbor`); what an operator reads is JSON.
//!
//! | call | body → reply |
//! |---|---|
//! | POST /v1/sessions | [`OpenSession`] → [`SessionOpened`] (CBOR) |
//! | PUT, GET, HEAD /v1/blobs/{sha256} | bytes |
//! | POST /v1/jobs | [`CreateJob`] (CBOR) → [`JobView`] (JSON, 201; 200 if it exists) |
//! | GET /v1/jobs?limit&cursor&state | [`JobList`] |
//! | GET, DELETE /v1/jobs/{id} | [`JobView`] |
//! | PUT /v1/jobs/{id}/input/{part} | ciphertext → [`InputView`] |
//! | GET /v1/jobs/{id}/input | [`InputView`] |
//! | GET /v1/jobs/{id}/events | SSE: `state` ([`JobView`]), `progress` (base64 of [`SealedProgress`](crate::outcome::SealedProgress)) |
//! | GET /v1/jobs/{id}/outcome?wait=seconds | sealed outcome, bytes |
//! | POST /v1/jobs/{id}/cancel | [`JobView`] |
//!
//! Tenants authenticate with `Authorization: Bearer KEY`; a job's own access
//! secret goes in [`ACCESS_HEADER`], lower-case hex.

use crate::{
    attestation::{Endorsements, Evidence},
    cbor::Bytes,
    digest::Digest,
    id::{InstanceId, JobId, Nonce},
    merkle::Path,
};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Header that carries a job's access secret.
pub const ACCESS_HEADER: &str = "soundproof-access";
/// Media type of our messages.
pub const CBOR: &str = "application/cbor";
/// Media type of problem documents (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";
/// Bytes of an [`OpenSession`] at most.
pub const MAX_OPEN_SESSION: usize = 2048;
/// Endorsements that a client may name as held.
pub const MAX_HELD: usize = 16;
/// Bytes of a [`SessionOpened`] at most.
pub const MAX_SESSION_OPENED: usize = 2 * 1024 * 1024;
/// Bytes of a [`CreateJob`] at most, an inline input included.
pub const MAX_CREATE_JOB: usize = 64 * 1024 + crate::sealed::MAX_INLINE;

/// Asks for a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenSession {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// Fresh.
    #[n(1)]
    pub nonce: Nonce,
    /// KEM code points, best first.
    #[n(2)]
    pub suites: Vec<u16>,
    /// Digests of the endorsements that need not be sent again.
    #[n(3)]
    pub held: Vec<Digest>,
}

/// A session, not yet appraised.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionOpened {
    /// Encoded [`Transcript`](crate::transcript::Transcript).
    #[n(0)]
    pub transcript: Bytes,
    /// From its leaf to the root that evidence binds.
    #[n(1)]
    pub path: Path,
    /// Evidence.
    #[n(2)]
    pub evidence: Evidence,
    /// Digest of the endorsements.
    #[n(3)]
    pub endorsements_digest: Digest,
    /// The endorsements, unless the client holds them.
    #[n(4)]
    pub endorsements: Option<Endorsements>,
    /// Encoded [`TrustConfiguration`](crate::trust::TrustConfiguration).
    #[n(5)]
    pub trust: Bytes,
    /// The public key to seal to; its digest is in the transcript.
    #[n(6)]
    pub seal_key: Bytes,
    /// The receipt key, SEC1; likewise.
    #[n(7)]
    pub receipt_key: Bytes,
}

/// Creates a job.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CreateJob {
    /// Encoded [`JobDescription`](crate::description::JobDescription).
    #[n(0)]
    pub description: Bytes,
    /// Encoded [`SealedHeader`](crate::sealed::SealedHeader).
    #[n(1)]
    pub header: Bytes,
    /// Chunks in a part.
    #[n(2)]
    pub part_chunks: u32,
    /// Part 0, if it is the only one and at most
    /// [`MAX_INLINE`](crate::sealed::MAX_INLINE) bytes.
    #[n(3)]
    pub input: Option<Bytes>,
}

/// A job's state, as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
#[non_exhaustive]
pub enum JobState {
    /// Known, no part held.
    #[n(0)]
    Created,
    /// Some parts held.
    #[n(1)]
    Uploading,
    /// All parts held: accepted.
    #[n(2)]
    Queued,
    /// Handed to the keeper.
    #[n(3)]
    Running,
    /// Over; what the end was is in the outcome.
    #[n(4)]
    Ended,
}

impl JobState {
    /// The name in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Uploading => "uploading",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// What the host may say about an end that left no sealed outcome. Nobody but
/// the host vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostEnd {
    /// A sealed outcome is there.
    Sealed,
    /// The keeper that held the job's key is gone.
    KeyLost,
    /// Cancelled before it ran.
    Cancelled,
    /// Its input was not complete in time.
    Expired,
}

impl HostEnd {
    /// The name in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::KeyLost => "key_lost",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// A job, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: JobId,
    /// Where it is.
    pub state: JobState,
    /// Set when it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<HostEnd>,
    /// Digest of its description.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub description: Digest,
    /// The keeper's life that holds its key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub instance: InstanceId,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Likewise, when it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_ms: Option<u64>,
    /// Bytes of the sealed input.
    pub input_bytes: u64,
    /// Bytes of the sealed outcome, once there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome_bytes: Option<u64>,
    /// How often it was handed to the keeper.
    pub attempts: u32,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The page.
    pub jobs: Vec<JobView>,
    /// Give it as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Which parts of an input are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InputView {
    /// The job's state after this call.
    pub state: JobState,
    /// Parts in all.
    pub parts: u32,
    /// Chunks in a part.
    pub part_chunks: u32,
    /// The parts that are held, with the SHA-256 of each, rising.
    pub held: Vec<PartView>,
}

/// A part that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartView {
    /// Its index.
    pub part: u32,
    /// SHA-256 of its ciphertext: a sender that makes a part again compares.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
}

/// A problem document (RFC 9457) with what a job's client needs beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:soundproof:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, the same for every instance of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here; never holds a secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// Stable; see docs.
    pub code: String,
    /// `client`, `program`, `server` or `host`.
    pub fault: String,
    /// Whether trying again can help.
    pub retryable: bool,
    /// What to do.
    pub remedy: String,
    /// Seconds to wait before trying again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_s: Option<u32>,
}
