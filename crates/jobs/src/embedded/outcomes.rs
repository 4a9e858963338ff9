//! Sealed outcomes. A small one goes into the commit that ends its job; a
//! large one is in a file, durably, before that commit names it.

use super::{
    Embedded, Result, files, jobs, parts,
    rows::{self, int, job_columns, unsigned},
    usage,
    writer::Keep,
};
use crate::{
    error::StoreError,
    store::Source,
    types::{Job, StoredOutcome},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use soundproof_protocol::{
    api::JobState, digest::Digest, id::JobId, outcome::MAX_OUTCOME, sealed::MAX_INLINE,
};
use sqlx::Row as _;

impl Embedded {
    pub(super) async fn take_outcome(
        &self,
        id: &JobId,
        attempt: u32,
        mut body: Source<'_>,
    ) -> Result<StoredOutcome> {
        let mut head = Vec::new();
        while let Some(piece) = body.next().await {
            head.extend_from_slice(&piece?);
            if head.len() > MAX_INLINE {
                return self.outcome_to_file(id, attempt, head, body).await;
            }
        }
        Ok(StoredOutcome {
            digest: Digest::of(&head),
            len: head.len() as u64,
            inline: Some(head.into()),
        })
    }

    async fn outcome_to_file(
        &self,
        id: &JobId,
        attempt: u32,
        head: Vec<u8>,
        rest: Source<'_>,
    ) -> Result<StoredOutcome> {
        let mut staged = self.files.stage(0).await?;
        staged.write(&head).await?;
        let len = head.len() as u64;
        drop(head);
        let len = len
            + staged
                .fill(rest, MAX_OUTCOME as u64 - len.min(MAX_OUTCOME as u64))
                .await?;
        let digest = staged.finish().await?;
        staged
            .place(self.files.outcome(id, attempt, &digest))
            .await?;
        Ok(StoredOutcome {
            digest,
            len,
            inline: None,
        })
    }

    pub(super) async fn end_job(
        &self,
        id: JobId,
        attempt: u32,
        outcome: StoredOutcome,
        now_ms: u64,
    ) -> Result<Option<Job>> {
        let file = outcome
            .inline
            .is_none()
            .then(|| self.files.outcome(&id, attempt, &outcome.digest));
        let ended = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let job = match jobs::find(conn, &id).await? {
                        Some(job) if job.state == JobState::Running && job.attempts == attempt => {
                            job
                        }
                        _ => return Ok(None),
                    };
                    let row = sqlx::query(concat!(
                        "UPDATE jobs SET state = 4, end = 0, ended_ms = ?, outcome_bytes = ?,
                            header = x'', lease_owner = NULL, lease_until_ms = NULL
                         WHERE seq = ? AND state = 3 RETURNING ",
                        job_columns!()
                    ))
                    .bind(int(now_ms))
                    .bind(int(outcome.len))
                    .bind(job.seq)
                    .fetch_one(&mut *conn)
                    .await?;
                    sqlx::query(
                        "INSERT INTO outcomes (job, attempt, digest, len, inline)
                         VALUES (?, ?, ?, ?, ?)",
                    )
                    .bind(job.seq)
                    .bind(attempt)
                    .bind(&outcome.digest.0[..])
                    .bind(int(outcome.len))
                    .bind(outcome.inline.as_deref())
                    .execute(&mut *conn)
                    .await?;
                    let litter = parts::delete_all(conn, job.seq).await?;
                    let bytes = int(outcome.len).saturating_sub(int(job.input_bytes));
                    usage::add(conn, &job.tenant, -1, bytes).await?;
                    Ok(Some((rows::job(&row)?, litter)))
                })
            })
            .await?;
        match ended {
            Some((job, litter)) => {
                self.remove_parts(&id, litter).await;
                Ok(Some(job))
            }
            None => {
                files::remove(file.into_iter().collect()).await;
                Ok(None)
            }
        }
    }

    pub(super) async fn outcome_bytes(&self, id: &JobId, offset: u64, max: u64) -> Result<Bytes> {
        let row = sqlx::query(
            "SELECT o.attempt, o.digest, substr(o.inline, ?, ?)
             FROM outcomes o JOIN jobs j ON j.seq = o.job WHERE j.id = ?",
        )
        .bind(int(offset).saturating_add(1))
        .bind(int(max))
        .bind(&id.0[..])
        .fetch_optional(&self.readers)
        .await?
        .ok_or(StoreError::NoOutcome)?;
        if let Some(bytes) = row.try_get::<Option<Vec<u8>>, _>(2)? {
            return Ok(bytes.into());
        }
        let digest = rows::digest(row.try_get(1)?)?;
        let path = self.files.outcome(id, row.try_get(0)?, &digest);
        files::read_at(path, offset, max)
            .await?
            .ok_or(StoreError::NoOutcome)
    }

    pub(super) async fn held_outcome(&self, id: &JobId) -> Result<Option<(Digest, u64)>> {
        sqlx::query(
            "SELECT o.digest, o.len FROM outcomes o JOIN jobs j ON j.seq = o.job WHERE j.id = ?",
        )
        .bind(&id.0[..])
        .fetch_optional(&self.readers)
        .await?
        .map(|row| Ok((rows::digest(row.try_get(0)?)?, unsigned(row.try_get(1)?)?)))
        .transpose()
    }
}
