//! Parts of inputs. The part that completes an input makes its job `queued`
//! in the same commit: from then on the job is kept.

use super::{
    Embedded, Result, files, jobs,
    rows::{self, int, job_columns, unsigned},
    writer::Keep,
};
use crate::{
    error::StoreError,
    store::Source,
    types::{Job, PartPut},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use soundproof_protocol::{
    api::{JobState, PartView},
    digest::{Digest, Hasher},
    id::JobId,
    sealed::MAX_INLINE,
};
use sqlx::{Row as _, SqliteConnection};

impl Embedded {
    pub(super) async fn take_part(
        &self,
        id: JobId,
        part: u32,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<PartPut> {
        let mut conn = self.readers.acquire().await?;
        let job = jobs::find(&mut conn, &id).await?.ok_or(StoreError::NoJob)?;
        let held = digest_of(&mut conn, job.seq, part).await?;
        drop(conn);
        if job.state == JobState::Ended {
            return Err(StoreError::State);
        }
        let layout = job
            .layout()
            .ok_or_else(|| StoreError::Failed("broken layout".into()))?;
        let expected = layout.part_len(part).ok_or(StoreError::PartOutOfRange)?;
        if let Some(held) = held {
            // Sent again: nothing is stored, but other bytes are told apart.
            let found = digest_of_source(body, expected).await?;
            return if found == held {
                Ok(PartPut {
                    job,
                    accepted: false,
                })
            } else {
                Err(StoreError::PartConflict)
            };
        }
        self.check_room(expected).await?;
        if layout.parts() == 1 && expected <= MAX_INLINE as u64 {
            let bytes = gather(body, expected).await?;
            let digest = Digest::of(&bytes);
            return self
                .commit_part(job, part, digest, Some(bytes), now_ms)
                .await;
        }
        let mut staged = self.files.stage(self.room.min_free_bytes).await?;
        let found = staged
            .fill(body, expected)
            .await
            .map_err(|error| match error {
                StoreError::TooLarge { max } => StoreError::PartLength {
                    expected,
                    found: max.saturating_add(1),
                },
                other => other,
            })?;
        if found != expected {
            return Err(StoreError::PartLength { expected, found });
        }
        let digest = staged.finish().await?;
        let path = self.files.part(&id, part, &digest);
        staged.place(path.clone()).await?;
        let put = self.commit_part(job, part, digest, None, now_ms).await;
        if matches!(
            put,
            Err(StoreError::State | StoreError::NoJob | StoreError::PartConflict)
        ) {
            // Refused for good, so no row names this file. (After a failed
            // commit it may be another sender's; it stays until the next start.)
            files::remove(vec![path]).await;
        }
        put
    }

    async fn commit_part(
        &self,
        job: Job,
        part: u32,
        digest: Digest,
        inline: Option<Vec<u8>>,
        now_ms: u64,
    ) -> Result<PartPut> {
        self.writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let job = jobs::find(conn, &job.id).await?.ok_or(StoreError::NoJob)?;
                    match digest_of(conn, job.seq, part).await? {
                        Some(held) if held == digest => {
                            return Ok(PartPut {
                                job,
                                accepted: false,
                            });
                        }
                        Some(_) => return Err(StoreError::PartConflict),
                        None => {}
                    }
                    if !matches!(job.state, JobState::Created | JobState::Uploading) {
                        return Err(StoreError::State);
                    }
                    insert(conn, &job, part, &digest, inline.as_deref()).await?;
                    let job = advance(conn, &job, now_ms).await?;
                    let accepted = job.state == JobState::Queued;
                    Ok(PartPut { job, accepted })
                })
            })
            .await
    }

    pub(super) async fn held_parts(&self, id: &JobId) -> Result<Vec<PartView>> {
        sqlx::query(
            "SELECT p.part, p.digest FROM parts p JOIN jobs j ON j.seq = p.job
             WHERE j.id = ? ORDER BY p.part",
        )
        .bind(&id.0[..])
        .fetch_all(&self.readers)
        .await?
        .iter()
        .map(|row| {
            Ok(PartView {
                part: row.try_get(0)?,
                digest: rows::digest(row.try_get(1)?)?,
            })
        })
        .collect()
    }

    pub(super) async fn part_bytes(
        &self,
        id: &JobId,
        part: u32,
        offset: u64,
        len: u64,
    ) -> Result<Bytes> {
        // substr counts from 1; of NULL it is NULL.
        let row = sqlx::query(
            "SELECT p.digest, substr(p.inline, ?, ?) FROM parts p JOIN jobs j ON j.seq = p.job
             WHERE j.id = ? AND p.part = ?",
        )
        .bind(int(offset).saturating_add(1))
        .bind(int(len))
        .bind(&id.0[..])
        .bind(part)
        .fetch_optional(&self.readers)
        .await?
        .ok_or(StoreError::PartOutOfRange)?;
        if let Some(bytes) = row.try_get::<Option<Vec<u8>>, _>(1)? {
            return Ok(bytes.into());
        }
        let path = self.files.part(id, part, &rows::digest(row.try_get(0)?)?);
        files::read_at(path, offset, len)
            .await?
            .ok_or_else(|| StoreError::Failed("a part's file is gone".into()))
    }
}

/// Digest of a part that is held.
pub(super) async fn digest_of(
    conn: &mut SqliteConnection,
    job: i64,
    part: u32,
) -> Result<Option<Digest>> {
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT digest FROM parts WHERE job = ? AND part = ?")
            .bind(job)
            .bind(part)
            .fetch_optional(conn)
            .await?;
    bytes.map(|bytes| rows::digest(&bytes)).transpose()
}

/// Notes a part, with its bytes or, without them, in its file.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    job: &Job,
    part: u32,
    digest: &Digest,
    inline: Option<&[u8]>,
) -> Result<()> {
    sqlx::query("INSERT INTO parts (job, part, digest, inline) VALUES (?, ?, ?, ?)")
        .bind(job.seq)
        .bind(part)
        .bind(&digest.0[..])
        .bind(inline)
        .execute(conn)
        .await?;
    Ok(())
}

/// Moves the job on to `uploading` or, with all parts held, `queued`.
pub(super) async fn advance(conn: &mut SqliteConnection, job: &Job, now_ms: u64) -> Result<Job> {
    let held: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM parts WHERE job = ?")
        .bind(job.seq)
        .fetch_one(&mut *conn)
        .await?;
    let parts = job.layout().map(|layout| layout.parts());
    let complete = parts.is_some_and(|parts| unsigned(held) == Ok(u64::from(parts)));
    let row = sqlx::query(concat!(
        "UPDATE jobs SET state = ?, accepted_ms = ? WHERE seq = ? RETURNING ",
        job_columns!()
    ))
    .bind(if complete { 2 } else { 1 })
    .bind(complete.then_some(int(now_ms)))
    .bind(job.seq)
    .fetch_one(conn)
    .await?;
    rows::job(&row)
}

/// Deletes a job's parts; those whose bytes were in files.
pub(super) async fn delete_all(
    conn: &mut SqliteConnection,
    job: i64,
) -> Result<Vec<(u32, Digest)>> {
    sqlx::query("DELETE FROM parts WHERE job = ? RETURNING part, digest, inline IS NULL")
        .bind(job)
        .fetch_all(conn)
        .await?
        .iter()
        .filter(|row| !matches!(row.try_get::<i64, _>(2), Ok(0)))
        .map(|row| Ok((row.try_get(0)?, rows::digest(row.try_get(1)?)?)))
        .collect()
}

async fn gather(mut source: Source<'_>, expected: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = source.next().await {
        bytes.extend_from_slice(&piece?);
        check_len(bytes.len() as u64, expected)?;
    }
    let found = bytes.len() as u64;
    if found != expected {
        return Err(StoreError::PartLength { expected, found });
    }
    Ok(bytes)
}

async fn digest_of_source(mut source: Source<'_>, expected: u64) -> Result<Digest> {
    let (mut hasher, mut found) = (Hasher::new(), 0u64);
    while let Some(piece) = source.next().await {
        let piece = piece?;
        found = found.saturating_add(piece.len() as u64);
        check_len(found, expected)?;
        hasher.update(&piece);
    }
    if found != expected {
        return Err(StoreError::PartLength { expected, found });
    }
    Ok(hasher.finish())
}

fn check_len(found: u64, expected: u64) -> Result<()> {
    if found > expected {
        Err(StoreError::PartLength { expected, found })
    } else {
        Ok(())
    }
}
