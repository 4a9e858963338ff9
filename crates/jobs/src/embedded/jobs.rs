//! Rows of jobs: created, found, listed, ended without an outcome, deleted.

use super::{
    Embedded, Result, files, parts,
    rows::{self, end_number, int, job_columns, state_number},
    usage,
    writer::Keep,
};
use crate::{
    error::StoreError,
    types::{Created, Job, JobPage, ListQuery, NewJob},
};
use soundproof_protocol::{
    api::{HostEnd, JobState},
    digest::Digest,
    id::{InstanceId, JobId},
    sealed::MAX_INLINE,
};
use sqlx::{Row as _, SqliteConnection};
use std::path::PathBuf;

/// How long the id of a deleted job is remembered.
const TOMBSTONE_MS: u64 = 30 * 24 * 3600 * 1000;

/// A job by its id.
pub(super) async fn find(conn: &mut SqliteConnection, id: &JobId) -> Result<Option<Job>> {
    sqlx::query(concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs WHERE id = ?"
    ))
    .bind(&id.0[..])
    .fetch_optional(conn)
    .await?
    .map(|row| rows::job(&row))
    .transpose()
}

impl Embedded {
    pub(super) async fn create_job(&self, new: NewJob) -> Result<Created> {
        let input = match &new.input {
            None => None,
            Some(bytes) => {
                let expected = new.layout.part_len(0).filter(|_| new.layout.parts() == 1);
                let found = bytes.len() as u64;
                if expected != Some(found) || bytes.len() > MAX_INLINE {
                    return Err(StoreError::PartLength {
                        expected: expected.unwrap_or(0),
                        found,
                    });
                }
                Some(Digest::of(bytes))
            }
        };
        self.check_room(new.input.as_ref().map_or(0, |bytes| bytes.len() as u64))
            .await?;
        let room = self.room;
        self.writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    if let Some(job) = find(conn, &new.id).await? {
                        return create_again(conn, job, &new, input).await;
                    }
                    let buried: Option<i64> =
                        sqlx::query_scalar("SELECT 1 FROM tombstones WHERE id = ?")
                            .bind(&new.id.0[..])
                            .fetch_optional(&mut *conn)
                            .await?;
                    if buried.is_some() {
                        return Err(StoreError::Replayed);
                    }
                    touch_blobs(conn, &new.blobs, new.now_ms).await?;
                    usage::check(conn, &new.tenant, new.quota, room, 1, new.input_bytes).await?;
                    usage::add(conn, &new.tenant, 1, int(new.input_bytes)).await?;
                    let job = insert(conn, &new).await?;
                    let Some(digest) = input else {
                        return Ok(Created::New(job));
                    };
                    let bytes = new.input.as_deref();
                    parts::insert(conn, &job, 0, &digest, bytes).await?;
                    parts::advance(conn, &job, new.now_ms)
                        .await
                        .map(Created::New)
                })
            })
            .await
    }

    pub(super) async fn list_jobs(&self, query: ListQuery) -> Result<JobPage> {
        let limit = query.limit.max(1);
        let rows = sqlx::query(concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE tenant = ?1 AND (?2 IS NULL OR state = ?2) AND seq < ?3
              ORDER BY seq DESC LIMIT ?4"
        ))
        .bind(query.tenant)
        .bind(query.state.map(state_number))
        .bind(query.before.unwrap_or(i64::MAX))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.readers)
        .await?;
        let mut jobs: Vec<Job> = rows.iter().map(rows::job).collect::<Result<_>>()?;
        let more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next = jobs.last().map(|job| job.seq).filter(|_| more);
        Ok(JobPage { jobs, next })
    }

    pub(super) async fn count_jobs(&self) -> Result<[u64; 5]> {
        let rows = sqlx::query("SELECT state, COUNT(*) FROM jobs GROUP BY state")
            .fetch_all(&self.readers)
            .await?;
        let mut counts = [0; 5];
        for row in rows {
            let state = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            if let Some(count) = counts.get_mut(state) {
                *count = rows::unsigned(row.try_get(1)?)?;
            }
        }
        Ok(counts)
    }

    pub(super) async fn unfinished_jobs(&self) -> Result<Vec<Job>> {
        sqlx::query(concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE state < 4 ORDER BY COALESCE(accepted_ms, created_ms), seq"
        ))
        .fetch_all(&self.readers)
        .await?
        .iter()
        .map(rows::job)
        .collect()
    }

    pub(super) async fn ended_jobs(&self, instance: &InstanceId, limit: u32) -> Result<Vec<JobId>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT id FROM jobs WHERE state = 4 AND instance = ? ORDER BY ended_ms DESC LIMIT ?",
        )
        .bind(&instance.0[..])
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        ids.iter().map(|id| rows::job_id(id)).collect()
    }

    pub(super) async fn end_unrun_job(
        &self,
        id: JobId,
        end: HostEnd,
        now_ms: u64,
    ) -> Result<Option<Job>> {
        let ended = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    match find(conn, &id).await? {
                        Some(job) if !matches!(job.state, JobState::Running | JobState::Ended) => {
                            end_without_outcome(conn, &job, end, now_ms).await.map(Some)
                        }
                        _ => Ok(None),
                    }
                })
            })
            .await?;
        Ok(match ended {
            Some((job, litter)) => {
                self.remove_parts(&job.id, litter).await;
                Some(job)
            }
            None => None,
        })
    }

    pub(super) async fn mark_cancel(&self, id: JobId) -> Result<bool> {
        self.writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let done = sqlx::query("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 3")
                        .bind(&id.0[..])
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    pub(super) async fn delete_job(&self, id: JobId, now_ms: u64) -> Result<()> {
        let outcome = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let job = find(conn, &id).await?.ok_or(StoreError::NoJob)?;
                    if job.state != JobState::Ended {
                        return Err(StoreError::State);
                    }
                    delete_ended(conn, &job, now_ms.saturating_add(TOMBSTONE_MS)).await
                })
            })
            .await?;
        let path = outcome.map(|(attempt, digest)| self.files.outcome(&id, attempt, &digest));
        files::remove(path.into_iter().collect()).await;
        Ok(())
    }

    /// Removes the files of parts whose rows are gone.
    pub(super) async fn remove_parts(&self, id: &JobId, parts: Vec<(u32, Digest)>) {
        let paths: Vec<PathBuf> = parts
            .iter()
            .map(|(part, digest)| self.files.part(id, *part, digest))
            .collect();
        files::remove(paths).await;
    }
}

async fn insert(conn: &mut SqliteConnection, new: &NewJob) -> Result<Job> {
    let row = sqlx::query(concat!(
        "INSERT INTO jobs (id, tenant, description, description_digest, header, header_digest,
            part_chunks, input_bytes, access, instance, state, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) RETURNING ",
        job_columns!()
    ))
    .bind(&new.id.0[..])
    .bind(&new.tenant)
    .bind(&new.description)
    .bind(&new.description_digest.0[..])
    .bind(&new.header)
    .bind(&new.header_digest.0[..])
    .bind(new.part_chunks)
    .bind(int(new.input_bytes))
    .bind(&new.access.0[..])
    .bind(&new.instance.0[..])
    .bind(int(new.now_ms))
    .fetch_one(conn)
    .await?;
    rows::job(&row)
}

/// The id is taken: by the same job, or another.
async fn create_again(
    conn: &mut SqliteConnection,
    job: Job,
    new: &NewJob,
    input: Option<Digest>,
) -> Result<Created> {
    let same = job.tenant == new.tenant
        && job.description == new.description_digest
        && job.header == new.header_digest
        && job.part_chunks == new.part_chunks
        && job.input_bytes == new.input_bytes;
    if !same {
        return Err(StoreError::Conflict);
    }
    let Some(digest) = input.filter(|_| job.state != JobState::Ended) else {
        return Ok(Created::Existing {
            job,
            accepted: false,
        });
    };
    match parts::digest_of(conn, job.seq, 0).await? {
        Some(held) if held == digest => Ok(Created::Existing {
            job,
            accepted: false,
        }),
        Some(_) => Err(StoreError::PartConflict),
        None => {
            parts::insert(conn, &job, 0, &digest, new.input.as_deref()).await?;
            let job = parts::advance(conn, &job, new.now_ms).await?;
            Ok(Created::Existing {
                job,
                accepted: true,
            })
        }
    }
}

/// Checks that all blobs are held, and notes that they were needed.
async fn touch_blobs(conn: &mut SqliteConnection, blobs: &[Digest], now_ms: u64) -> Result<()> {
    for digest in blobs {
        let done = sqlx::query("UPDATE blobs SET used_ms = MAX(used_ms, ?) WHERE digest = ?")
            .bind(int(now_ms))
            .bind(&digest.0[..])
            .execute(&mut *conn)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::BlobMissing(*digest));
        }
    }
    Ok(())
}

/// Ends a job of any unended state without an outcome; also the parts whose
/// files are litter once this is committed.
pub(super) async fn end_without_outcome(
    conn: &mut SqliteConnection,
    job: &Job,
    end: HostEnd,
    now_ms: u64,
) -> Result<(Job, Vec<(u32, Digest)>)> {
    let row = sqlx::query(concat!(
        "UPDATE jobs SET state = 4, end = ?, ended_ms = ?, header = x'', lease_owner = NULL,
            lease_until_ms = NULL
         WHERE seq = ? AND state < 4 RETURNING ",
        job_columns!()
    ))
    .bind(end_number(end))
    .bind(int(now_ms))
    .bind(job.seq)
    .fetch_one(&mut *conn)
    .await?;
    let litter = parts::delete_all(conn, job.seq).await?;
    usage::add(conn, &job.tenant, -1, -int(job.input_bytes)).await?;
    Ok((rows::job(&row)?, litter))
}

/// Deletes an ended job; also its outcome's attempt and digest, if it was in
/// a file.
pub(super) async fn delete_ended(
    conn: &mut SqliteConnection,
    job: &Job,
    until_ms: u64,
) -> Result<Option<(u32, Digest)>> {
    let outcome =
        sqlx::query("DELETE FROM outcomes WHERE job = ? RETURNING attempt, digest, inline IS NULL")
            .bind(job.seq)
            .fetch_optional(&mut *conn)
            .await?;
    sqlx::query("DELETE FROM jobs WHERE seq = ?")
        .bind(job.seq)
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO tombstones (id, until_ms) VALUES (?, ?)")
        .bind(&job.id.0[..])
        .bind(int(until_ms))
        .execute(&mut *conn)
        .await?;
    usage::add(conn, &job.tenant, 0, -int(job.outcome_bytes.unwrap_or(0))).await?;
    match outcome {
        Some(row) if row.try_get::<i64, _>(2)? != 0 => {
            Ok(Some((row.try_get(0)?, rows::digest(row.try_get(1)?)?)))
        }
        _ => Ok(None),
    }
}
