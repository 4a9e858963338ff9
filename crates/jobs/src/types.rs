//! What goes into a store and comes out of it.

use bytes::Bytes;
use soundproof_protocol::{
    api::{HostEnd, JobState, JobView},
    digest::Digest,
    id::{InstanceId, JobId},
    sealed::PartLayout,
};

/// One life of one gateway: the owner of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerId(pub [u8; 16]);

/// What a tenant may have in the store; checked in the transaction that would
/// exceed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Jobs that have not ended.
    pub jobs: u64,
    /// Bytes of inputs, outcomes and blobs.
    pub bytes: u64,
}

impl Quota {
    /// No bound but the disk's.
    pub const UNLIMITED: Self = Self {
        jobs: i64::MAX as u64,
        bytes: i64::MAX as u64,
    };
}

/// A job to create.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Made by the client.
    pub id: JobId,
    /// Whose it is; empty where nobody authenticates.
    pub tenant: String,
    /// Encoded job description.
    pub description: Vec<u8>,
    /// Its digest.
    pub description_digest: Digest,
    /// Encoded sealed header.
    pub header: Vec<u8>,
    /// SHA-256 of the header's bytes.
    pub header_digest: Digest,
    /// How the input is cut.
    pub layout: PartLayout,
    /// Chunks in a part.
    pub part_chunks: u32,
    /// Ciphertext bytes of the input.
    pub input_bytes: u64,
    /// SHA-256 of the access secret.
    pub access: Digest,
    /// The keeper's life that holds its key.
    pub instance: InstanceId,
    /// Blobs that it names; all must be held.
    pub blobs: Vec<Digest>,
    /// The whole input, where it is one part and came with the call.
    pub input: Option<Bytes>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// What its tenant may have.
    pub quota: Quota,
}

/// What creating led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New(Job),
    /// The same job was there already; untouched but for an input that came
    /// with this call and was missing.
    Existing {
        /// It.
        job: Job,
        /// This call completed its input.
        accepted: bool,
    },
}

/// A job as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Rises with every job created; the listing's cursor.
    pub seq: i64,
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: String,
    /// Digest of its description.
    pub description: Digest,
    /// SHA-256 of its header's bytes.
    pub header: Digest,
    /// Chunks in a part.
    pub part_chunks: u32,
    /// Ciphertext bytes of the input.
    pub input_bytes: u64,
    /// SHA-256 of the access secret.
    pub access: Digest,
    /// The keeper's life that holds its key.
    pub instance: InstanceId,
    /// Where it is.
    pub state: JobState,
    /// Set when it ended.
    pub end: Option<HostEnd>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// When its input was complete.
    pub accepted_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Bytes of the sealed outcome.
    pub outcome_bytes: Option<u64>,
    /// How often it was leased.
    pub attempts: u32,
    /// Its client asked to stop it while it ran.
    pub cancel: bool,
}

impl Job {
    /// As clients see it.
    pub fn view(&self) -> JobView {
        JobView {
            id: self.id,
            state: self.state,
            end: self.end,
            description: self.description,
            instance: self.instance,
            created_ms: self.created_ms,
            ended_ms: self.ended_ms,
            input_bytes: self.input_bytes,
            outcome_bytes: self.outcome_bytes,
            attempts: self.attempts,
        }
    }

    /// How its input is cut; `None` only if the row was tampered with.
    pub fn layout(&self) -> Option<PartLayout> {
        PartLayout::from_sealed_len(self.input_bytes, self.part_chunks)
    }
}

/// What putting a part led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPut {
    /// The job after it.
    pub job: Job,
    /// This part completed the input: from now on the job is kept.
    pub accepted: bool,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Whose.
    pub tenant: String,
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only those created before this one.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<Job>,
    /// `before` of the next page, if there is one.
    pub next: Option<i64>,
}

/// A sealed outcome whose bytes are taken, but which no job has yet.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    pub(crate) digest: Digest,
    pub(crate) len: u64,
    /// The bytes, where they are few enough to go into the job's last
    /// transaction; else they are in the backend already, durably.
    pub(crate) inline: Option<Bytes>,
}

impl StoredOutcome {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing, which no sealed outcome does.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl core::fmt::Debug for StoredOutcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "StoredOutcome({} bytes)", self.len)
    }
}

/// How long things are kept, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A job whose input is not complete, since it was created.
    pub upload_ms: u64,
    /// An ended job with its outcome.
    pub outcome_ms: u64,
    /// The id of a deleted job, so that it is not taken again.
    pub tombstone_ms: u64,
    /// A blob since it was last put or named by a job.
    pub blob_ms: u64,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that ended because their input was not complete in time.
    pub expired: Vec<Job>,
    /// Ended jobs that were removed.
    pub removed: u64,
    /// Blobs that were removed.
    pub blobs: u64,
}
