//! The embedded store: one SQLite database and one folder, for one machine
//! and one gateway process at a time.
//!
//! ```text
//! DIR/lock         held while a process has the store open
//! DIR/jobs.sqlite  rows; small inputs and outcomes too, so that accepting and
//!                  ending a small job take one commit each
//! DIR/blobs/       by SHA-256
//! DIR/parts/       JOB.PART.SHA256
//! DIR/outcomes/    JOB.ATTEMPT.SHA256
//! DIR/tmp/         what is being written; emptied at start
//! ```
//! A file is written under `tmp`, synced, renamed, its folder synced, and only
//! then named by a committed row. A file that no row names is litter of a
//! crash and goes at the next start.

mod blobs;
mod files;
mod jobs;
mod leases;
mod outcomes;
mod parts;
mod rows;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod writer;

use crate::{
    error::StoreError,
    store::{Source, Store},
    types::{
        Created, Job, JobPage, ListQuery, NewJob, OwnerId, PartPut, Quota, Retention,
        StoredOutcome, Swept,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use files::Files;
use soundproof_protocol::{
    api::{HostEnd, PartView},
    digest::Digest,
    id::{InstanceId, JobId},
};
use sqlx::{
    SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use std::{path::Path, time::Duration};
use tokio::sync::RwLock;
use writer::Writer;

type Result<T, E = StoreError> = core::result::Result<T, E>;

/// Bounds on what the store may take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of inputs, outcomes and blobs in all.
    pub max_bytes: u64,
    /// Bytes of the disk that new jobs, parts and blobs leave free, so that
    /// jobs which were accepted can still end.
    pub min_free_bytes: u64,
}

/// See the module.
pub struct Embedded {
    writer: Writer,
    readers: SqlitePool,
    files: Files,
    room: Room,
    /// Held shared from a blob's renaming to its row's commit, and exclusively
    /// from a row's removal to its file's.
    blob_gate: RwLock<()>,
    checkpoints: tokio::task::JoinHandle<()>,
}

impl core::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in `dir`, made if it is not there, brings its schema up
    /// to date, and clears the litter of a crash.
    ///
    /// # Errors
    /// `InUse`, `Newer`, `Full`, `Failed`.
    pub async fn open(dir: &Path, room: Room) -> Result<Self> {
        let files = Files::open(dir).await?;
        let options = SqliteConnectOptions::new()
            .filename(dir.join("jobs.sqlite"))
            .create_if_missing(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(10))
            // Checkpoints are made beside the commits, not in them.
            .pragma("wal_autocheckpoint", "0")
            .pragma("journal_size_limit", "67108864");
        let writer = Writer::open(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options.clone().pragma("query_only", "1"))
            .await?;
        let checkpoints = writer::checkpoint_beside(options, dir.join("jobs.sqlite-wal")).await?;
        let store = Self {
            writer,
            readers,
            files,
            room,
            blob_gate: RwLock::new(()),
            checkpoints,
        };
        store.clear_litter().await?;
        Ok(store)
    }

    /// Whether `len` more bytes leave enough of the disk free.
    async fn check_room(&self, len: u64) -> Result<()> {
        self.files
            .check_free(self.room.min_free_bytes.saturating_add(len))
            .await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.checkpoints.abort();
    }
}

#[async_trait]
impl Store for Embedded {
    async fn create(&self, job: NewJob) -> Result<Created> {
        self.create_job(job).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>> {
        jobs::find(&mut *self.readers.acquire().await?, id).await
    }

    async fn list(&self, query: ListQuery) -> Result<JobPage> {
        self.list_jobs(query).await
    }

    async fn counts(&self) -> Result<[u64; 5]> {
        self.count_jobs().await
    }

    async fn unfinished_count(&self) -> Result<u64> {
        usage::unfinished(&mut *self.readers.acquire().await?).await
    }

    async fn end_unrun(&self, id: &JobId, end: HostEnd, now_ms: u64) -> Result<Option<Job>> {
        self.end_unrun_job(*id, end, now_ms).await
    }

    async fn request_cancel(&self, id: &JobId) -> Result<bool> {
        self.mark_cancel(*id).await
    }

    async fn delete(&self, id: &JobId, now_ms: u64) -> Result<()> {
        self.delete_job(*id, now_ms).await
    }

    async fn put_part(
        &self,
        id: &JobId,
        part: u32,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<PartPut> {
        self.take_part(*id, part, body, now_ms).await
    }

    async fn parts(&self, id: &JobId) -> Result<Vec<PartView>> {
        self.held_parts(id).await
    }

    async fn read_part(&self, id: &JobId, part: u32, offset: u64, len: u64) -> Result<Bytes> {
        self.part_bytes(id, part, offset, len).await
    }

    async fn put_blob(
        &self,
        tenant: &str,
        quota: Quota,
        digest: &Digest,
        max: u64,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<u64> {
        self.take_blob(tenant, quota, *digest, max, body, now_ms)
            .await
    }

    async fn blob_len(&self, digest: &Digest) -> Result<Option<u64>> {
        self.held_blob(digest).await
    }

    async fn read_blob(&self, digest: &Digest, offset: u64, max: u64) -> Result<Bytes> {
        self.blob_bytes(digest, offset, max).await
    }

    async fn lease(&self, id: &JobId, owner: OwnerId, until_ms: u64) -> Result<Option<Job>> {
        self.lease_job(*id, owner, until_ms).await
    }

    async fn renew(&self, owner: OwnerId, until_ms: u64) -> Result<()> {
        self.renew_leases(owner, until_ms).await
    }

    async fn requeue(&self, id: &JobId, attempt: u32, now_ms: u64) -> Result<Option<Job>> {
        self.requeue_job(*id, attempt, now_ms).await
    }

    async fn requeue_lapsed(&self, all: bool, now_ms: u64) -> Result<Vec<Job>> {
        self.requeue_all(all, now_ms).await
    }

    async fn unfinished(&self) -> Result<Vec<Job>> {
        self.unfinished_jobs().await
    }

    async fn lately_ended(&self, instance: &InstanceId, limit: u32) -> Result<Vec<JobId>> {
        self.ended_jobs(instance, limit).await
    }

    async fn put_outcome(
        &self,
        id: &JobId,
        attempt: u32,
        body: Source<'_>,
    ) -> Result<StoredOutcome> {
        self.take_outcome(id, attempt, body).await
    }

    async fn end(
        &self,
        id: &JobId,
        attempt: u32,
        outcome: StoredOutcome,
        now_ms: u64,
    ) -> Result<Option<Job>> {
        self.end_job(*id, attempt, outcome, now_ms).await
    }

    async fn read_outcome(&self, id: &JobId, offset: u64, max: u64) -> Result<Bytes> {
        self.outcome_bytes(id, offset, max).await
    }

    async fn outcome(&self, id: &JobId) -> Result<Option<(Digest, u64)>> {
        self.held_outcome(id).await
    }

    async fn sweep(&self, retention: Retention, now_ms: u64) -> Result<Swept> {
        self.sweep_all(retention, now_ms).await
    }

    async fn check(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        self.check_room(0).await
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.checkpoints.abort();
    }
}
