//! What time takes: inputs that were never completed, old outcomes,
//! tombstones, unused blobs; and at the start, litter of a crash.

use super::{
    Embedded, Result, files, jobs,
    rows::{self, int, job_columns},
    usage,
    writer::Keep,
};
use crate::types::{Job, Retention, Swept};
use soundproof_protocol::{api::HostEnd, digest::Digest};
use sqlx::{Row as _, SqliteConnection};
use std::{collections::HashSet, path::PathBuf};

/// Things of each kind that one sweep takes.
const BATCH: i64 = 256;

impl Embedded {
    pub(super) async fn sweep_all(&self, retention: Retention, now_ms: u64) -> Result<Swept> {
        let mut swept = Swept::default();

        let before = int(now_ms.saturating_sub(retention.upload_ms));
        let expired = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let late = late_jobs(
                        conn,
                        concat!(
                            "SELECT ",
                            job_columns!(),
                            " FROM jobs WHERE state < 2 AND created_ms < ? LIMIT ?"
                        ),
                        before,
                    )
                    .await?;
                    let mut ended = Vec::with_capacity(late.len());
                    for job in &late {
                        let end = HostEnd::Expired;
                        ended.push(jobs::end_without_outcome(conn, job, end, now_ms).await?);
                    }
                    Ok(ended)
                })
            })
            .await?;
        for (job, litter) in expired {
            self.remove_parts(&job.id, litter).await;
            swept.expired.push(job);
        }

        let before = int(now_ms.saturating_sub(retention.outcome_ms));
        let until = now_ms.saturating_add(retention.tombstone_ms);
        let removed = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let late = late_jobs(
                        conn,
                        concat!(
                            "SELECT ",
                            job_columns!(),
                            " FROM jobs WHERE state = 4 AND ended_ms < ? LIMIT ?"
                        ),
                        before,
                    )
                    .await?;
                    let mut removed = Vec::with_capacity(late.len());
                    for job in late {
                        let outcome = jobs::delete_ended(conn, &job, until).await?;
                        removed.push((job.id, outcome));
                    }
                    sqlx::query("DELETE FROM tombstones WHERE until_ms < ?")
                        .bind(int(now_ms))
                        .execute(&mut *conn)
                        .await?;
                    sqlx::query("PRAGMA incremental_vacuum(1024)")
                        .execute(conn)
                        .await?;
                    Ok(removed)
                })
            })
            .await?;
        swept.removed = removed.len() as u64;
        let outcomes: Vec<PathBuf> = removed
            .iter()
            .filter_map(|(id, outcome)| {
                outcome.map(|(attempt, digest)| self.files.outcome(id, attempt, &digest))
            })
            .collect();
        files::remove(outcomes).await;

        swept.blobs = self
            .sweep_blobs(int(now_ms.saturating_sub(retention.blob_ms)))
            .await?;
        Ok(swept)
    }

    /// A job touches its blobs when it is created. So a blob untouched since
    /// `before` is needed only by jobs created before, and if all of these
    /// have ended, by none.
    async fn sweep_blobs(&self, before: i64) -> Result<u64> {
        let _gate = self.blob_gate.write().await;
        let unused = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let rows = sqlx::query(
                        "DELETE FROM blobs WHERE digest IN (
                            SELECT digest FROM blobs WHERE used_ms < ?1
                             AND NOT EXISTS
                                (SELECT 1 FROM jobs WHERE state < 4 AND created_ms < ?1)
                            LIMIT ?2)
                         RETURNING digest, len, tenant",
                    )
                    .bind(before)
                    .bind(BATCH)
                    .fetch_all(&mut *conn)
                    .await?;
                    let mut digests = Vec::with_capacity(rows.len());
                    for row in rows {
                        let len: i64 = row.try_get(1)?;
                        usage::add(conn, row.try_get(2)?, 0, -len).await?;
                        digests.push(rows::digest(row.try_get(0)?)?);
                    }
                    Ok(digests)
                })
            })
            .await?;
        files::remove(
            unused
                .iter()
                .map(|digest| self.files.blob(digest))
                .collect(),
        )
        .await;
        Ok(unused.len() as u64)
    }

    /// Removes files that no row names.
    pub(super) async fn clear_litter(&self) -> Result<()> {
        let blobs: Vec<Vec<u8>> = sqlx::query_scalar("SELECT digest FROM blobs")
            .fetch_all(&self.readers)
            .await?;
        let mut named: HashSet<PathBuf> = HashSet::new();
        for digest in blobs {
            named.insert(self.files.blob(&rows::digest(&digest)?));
        }
        for (sql, part) in [
            (
                "SELECT j.id, p.part, p.digest FROM parts p JOIN jobs j ON j.seq = p.job
                 WHERE p.inline IS NULL",
                true,
            ),
            (
                "SELECT j.id, o.attempt, o.digest FROM outcomes o JOIN jobs j ON j.seq = o.job
                 WHERE o.inline IS NULL",
                false,
            ),
        ] {
            for row in sqlx::query(sql).fetch_all(&self.readers).await? {
                let id = rows::job_id(row.try_get(0)?)?;
                let digest: Digest = rows::digest(row.try_get(2)?)?;
                let number = row.try_get(1)?;
                named.insert(if part {
                    self.files.part(&id, number, &digest)
                } else {
                    self.files.outcome(&id, number, &digest)
                });
            }
        }
        let mut litter = Vec::new();
        for folder in ["blobs", "parts", "outcomes"] {
            for path in self.files.list(folder).await? {
                if !named.contains(&path) {
                    litter.push(path);
                }
            }
        }
        if !litter.is_empty() {
            tracing::info!(files = litter.len(), "removing files that a crash left");
        }
        files::remove(litter).await;
        Ok(())
    }
}

async fn late_jobs(
    conn: &mut SqliteConnection,
    sql: &'static str,
    before: i64,
) -> Result<Vec<Job>> {
    sqlx::query(sql)
        .bind(before)
        .bind(BATCH)
        .fetch_all(conn)
        .await?
        .iter()
        .map(rows::job)
        .collect()
}
