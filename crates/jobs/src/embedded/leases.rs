//! Who runs a job. A lease is not worth a flush of the disk: if it is lost,
//! the job is queued, which is where a lost lease leads anyway.

use super::{
    Embedded, Result, jobs,
    rows::{self, int, job_columns},
    writer::Keep,
};
use crate::types::{Job, OwnerId};
use soundproof_protocol::{
    api::{HostEnd, JobState},
    digest::Digest,
    id::JobId,
};
use sqlx::SqliteConnection;

/// Jobs whose leases one transaction looks at.
const BATCH: i64 = 1024;

impl Embedded {
    pub(super) async fn lease_job(
        &self,
        id: JobId,
        owner: OwnerId,
        until_ms: u64,
    ) -> Result<Option<Job>> {
        self.writer
            .write(Keep::Lazy, move |conn| {
                Box::pin(async move {
                    sqlx::query(concat!(
                        "UPDATE jobs SET state = 3, attempts = attempts + 1, lease_owner = ?,
                            lease_until_ms = ?
                         WHERE id = ? AND state = 2 RETURNING ",
                        job_columns!()
                    ))
                    .bind(&owner.0[..])
                    .bind(int(until_ms))
                    .bind(&id.0[..])
                    .fetch_optional(conn)
                    .await?
                    .map(|row| rows::job(&row))
                    .transpose()
                })
            })
            .await
    }

    pub(super) async fn renew_leases(&self, owner: OwnerId, until_ms: u64) -> Result<()> {
        self.writer
            .write(Keep::Lazy, move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "UPDATE jobs SET lease_until_ms = ? WHERE state = 3 AND lease_owner = ?",
                    )
                    .bind(int(until_ms))
                    .bind(&owner.0[..])
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    pub(super) async fn requeue_job(
        &self,
        id: JobId,
        attempt: u32,
        now_ms: u64,
    ) -> Result<Option<Job>> {
        let back = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    match jobs::find(conn, &id).await? {
                        Some(job) if job.state == JobState::Running && job.attempts == attempt => {
                            put_back(conn, &job, now_ms).await.map(Some)
                        }
                        _ => Ok(None),
                    }
                })
            })
            .await?;
        Ok(match back {
            Some((job, litter)) => {
                self.remove_parts(&job.id, litter).await;
                Some(job)
            }
            None => None,
        })
    }

    pub(super) async fn requeue_all(&self, all: bool, now_ms: u64) -> Result<Vec<Job>> {
        let mut back = Vec::new();
        loop {
            let batch = self
                .writer
                .write(Keep::Durable, move |conn| {
                    Box::pin(async move {
                        let rows = sqlx::query(concat!(
                            "SELECT ",
                            job_columns!(),
                            " FROM jobs WHERE state = 3 AND (? OR lease_until_ms < ?) LIMIT ?"
                        ))
                        .bind(all)
                        .bind(int(now_ms))
                        .bind(BATCH)
                        .fetch_all(&mut *conn)
                        .await?;
                        let mut batch = Vec::with_capacity(rows.len());
                        for row in &rows {
                            batch.push(put_back(conn, &rows::job(row)?, now_ms).await?);
                        }
                        Ok(batch)
                    })
                })
                .await?;
            if batch.is_empty() {
                return Ok(back);
            }
            for (job, litter) in batch {
                self.remove_parts(&job.id, litter).await;
                back.push(job);
            }
        }
    }
}

/// Puts a running job back into the queue or, if its client asked to stop it,
/// ends it; also the parts whose files are litter then.
async fn put_back(
    conn: &mut SqliteConnection,
    job: &Job,
    now_ms: u64,
) -> Result<(Job, Vec<(u32, Digest)>)> {
    if job.cancel {
        return jobs::end_without_outcome(conn, job, HostEnd::Cancelled, now_ms).await;
    }
    let row = sqlx::query(concat!(
        "UPDATE jobs SET state = 2, lease_owner = NULL, lease_until_ms = NULL
         WHERE seq = ? AND state = 3 RETURNING ",
        job_columns!()
    ))
    .bind(job.seq)
    .fetch_one(conn)
    .await?;
    Ok((rows::job(&row)?, Vec::new()))
}
