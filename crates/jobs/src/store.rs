//! What the gateway needs of a store, whatever it is built on.
//!
//! Every call that changes something is durable when it returns `Ok`, unless
//! its documentation says that a crash may undo it.

use crate::{
    error::{SourceError, StoreError},
    types::{
        Created, Job, JobPage, ListQuery, NewJob, OwnerId, PartPut, Quota, Retention,
        StoredOutcome, Swept,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use soundproof_protocol::{
    api::{HostEnd, PartView},
    digest::Digest,
    id::{InstanceId, JobId},
};

type Result<T, E = StoreError> = core::result::Result<T, E>;

/// Bytes on their way in, piece by piece.
pub type Source<'a> = BoxStream<'a, Result<Bytes, SourceError>>;

/// A source of bytes that are at hand.
pub fn source_of(bytes: Bytes) -> Source<'static> {
    stream::once(async move { Ok(bytes) }).boxed()
}

/// See the module.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // === Jobs ===

    /// Creates a job, or finds the same one. With its whole input it is
    /// `queued` at once, in one commit. Idempotent by id, tenant, digests and
    /// layout.
    ///
    /// # Errors
    /// `Conflict`, `Replayed`, `BlobMissing`, `Quota`, `Full`, `PartConflict`,
    /// `PartLength`.
    async fn create(&self, job: NewJob) -> Result<Created>;

    /// A job.
    async fn job(&self, id: &JobId) -> Result<Option<Job>>;

    /// A page of a tenant's jobs.
    async fn list(&self, query: ListQuery) -> Result<JobPage>;

    /// How many jobs are in each state, in the order of `JobState`.
    async fn counts(&self) -> Result<[u64; 5]>;

    /// How many jobs have not ended; cheap.
    async fn unfinished_count(&self) -> Result<u64>;

    /// Ends a job that is not running and has no outcome. `None` if it is
    /// running, has ended, or is unknown.
    async fn end_unrun(&self, id: &JobId, end: HostEnd, now_ms: u64) -> Result<Option<Job>>;

    /// Notes that a running job is to be stopped, so that it ends as
    /// cancelled should it be requeued. `false` if it is not running.
    async fn request_cancel(&self, id: &JobId) -> Result<bool>;

    /// Removes an ended job and its outcome; its id is remembered.
    ///
    /// # Errors
    /// `State` if it has not ended; `NoJob`.
    async fn delete(&self, id: &JobId, now_ms: u64) -> Result<()>;

    // === Inputs ===

    /// Takes a part. Idempotent for the same bytes.
    ///
    /// # Errors
    /// `NoJob`, `State` (the input is complete and the part is not one it
    /// has), `PartOutOfRange`, `PartLength`, `PartConflict`, `Full`, `Source`.
    async fn put_part(
        &self,
        id: &JobId,
        part: u32,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<PartPut>;

    /// The parts held, rising. None once the job has ended.
    async fn parts(&self, id: &JobId) -> Result<Vec<PartView>>;

    /// At most `len` bytes of a part from `offset` on.
    async fn read_part(&self, id: &JobId, part: u32, offset: u64, len: u64) -> Result<Bytes>;

    // === Blobs ===

    /// Takes a blob of at most `max` bytes and checks its digest. An existing
    /// one is replaced, so that a corrupt one can be repaired.
    ///
    /// # Errors
    /// `BlobDigest`, `TooLarge`, `Quota`, `Full`, `Source`.
    async fn put_blob(
        &self,
        tenant: &str,
        quota: Quota,
        digest: &Digest,
        max: u64,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<u64>;

    /// Length of a blob, if it is held.
    async fn blob_len(&self, digest: &Digest) -> Result<Option<u64>>;

    /// At most `max` bytes of a blob from `offset` on. Not checked against the
    /// digest: who uses them hashes what it got.
    ///
    /// # Errors
    /// `BlobMissing`.
    async fn read_blob(&self, digest: &Digest, offset: u64, max: u64) -> Result<Bytes>;

    // === Leases ===

    /// Makes a queued job `running` for `owner`. `None` if it is not queued. A
    /// crash may undo it, which leaves the job queued.
    async fn lease(&self, id: &JobId, owner: OwnerId, until_ms: u64) -> Result<Option<Job>>;

    /// Prolongs all leases of `owner`; likewise.
    async fn renew(&self, owner: OwnerId, until_ms: u64) -> Result<()>;

    /// Puts a running job back, or ends it if its client asked to stop it.
    /// `None` if it is not running this attempt.
    async fn requeue(&self, id: &JobId, attempt: u32, now_ms: u64) -> Result<Option<Job>>;

    /// Puts back every running job whose lease is over or, with `all`, every
    /// one: for when there can be no other owner.
    async fn requeue_lapsed(&self, all: bool, now_ms: u64) -> Result<Vec<Job>>;

    /// All jobs that have not ended, oldest first.
    async fn unfinished(&self) -> Result<Vec<Job>>;

    /// Ids of the jobs of `instance` that ended last, newest first.
    async fn lately_ended(&self, instance: &InstanceId, limit: u32) -> Result<Vec<JobId>>;

    // === Outcomes ===

    /// Takes the bytes of the outcome that an attempt made. No job has it
    /// until [`end`](Self::end).
    async fn put_outcome(
        &self,
        id: &JobId,
        attempt: u32,
        body: Source<'_>,
    ) -> Result<StoredOutcome>;

    /// Ends a running job with its outcome, exactly once; its input goes.
    /// `None` if it is not running this attempt.
    async fn end(
        &self,
        id: &JobId,
        attempt: u32,
        outcome: StoredOutcome,
        now_ms: u64,
    ) -> Result<Option<Job>>;

    /// At most `max` bytes of a job's outcome from `offset` on.
    ///
    /// # Errors
    /// `NoOutcome`.
    async fn read_outcome(&self, id: &JobId, offset: u64, max: u64) -> Result<Bytes>;

    /// SHA-256 and length of a job's outcome.
    async fn outcome(&self, id: &JobId) -> Result<Option<(Digest, u64)>>;

    // === Upkeep ===

    /// Ends and removes what is past its time, a bounded number of each.
    async fn sweep(&self, retention: Retention, now_ms: u64) -> Result<Swept>;

    /// Whether it answers, and has room.
    async fn check(&self) -> Result<()>;

    /// Waits for what is under way and closes it.
    async fn close(&self);
}
