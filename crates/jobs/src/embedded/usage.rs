//! What each tenant has in the store, as sums that are kept in the same
//! transactions as what they sum.

use super::{
    Result, Room,
    rows::{int, unsigned},
};
use crate::{error::StoreError, types::Quota};
use sqlx::{Row as _, SqliteConnection};

/// Adds to a tenant's sums.
pub(super) async fn add(
    conn: &mut SqliteConnection,
    tenant: &str,
    jobs: i64,
    bytes: i64,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO usage (tenant, jobs, bytes) VALUES (?1, ?2, ?3)
         ON CONFLICT (tenant) DO UPDATE SET jobs = jobs + ?2, bytes = bytes + ?3",
    )
    .bind(tenant)
    .bind(jobs)
    .bind(bytes)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many jobs have not ended.
pub(super) async fn unfinished(conn: &mut SqliteConnection) -> Result<u64> {
    let all: i64 = sqlx::query_scalar("SELECT COALESCE(SUM(jobs), 0) FROM usage")
        .fetch_one(conn)
        .await?;
    unsigned(all)
}

/// How many bytes a tenant may still store.
pub(super) async fn bytes_left(
    conn: &mut SqliteConnection,
    tenant: &str,
    quota: Quota,
) -> Result<u64> {
    let has: Option<i64> = sqlx::query_scalar("SELECT bytes FROM usage WHERE tenant = ?")
        .bind(tenant)
        .fetch_optional(conn)
        .await?;
    Ok(quota.bytes.saturating_sub(unsigned(has.unwrap_or(0))?))
}

/// Whether a tenant may have `jobs` jobs and `bytes` bytes more, and the store
/// has granted room for them.
pub(super) async fn check(
    conn: &mut SqliteConnection,
    tenant: &str,
    quota: Quota,
    room: Room,
    jobs: u64,
    bytes: u64,
) -> Result<()> {
    let row = sqlx::query("SELECT jobs, bytes FROM usage WHERE tenant = ?")
        .bind(tenant)
        .fetch_optional(&mut *conn)
        .await?;
    let (has_jobs, has_bytes) = match row {
        Some(row) => (unsigned(row.try_get(0)?)?, unsigned(row.try_get(1)?)?),
        None => (0, 0),
    };
    if jobs > 0 && has_jobs.saturating_add(jobs) > quota.jobs {
        return Err(StoreError::Quota {
            what: "jobs that have not ended",
        });
    }
    if has_bytes.saturating_add(bytes) > quota.bytes {
        return Err(StoreError::Quota {
            what: "stored bytes",
        });
    }
    let all: i64 = sqlx::query_scalar("SELECT COALESCE(SUM(bytes), 0) FROM usage")
        .fetch_one(conn)
        .await?;
    if all.saturating_add(int(bytes)) > int(room.max_bytes) {
        return Err(StoreError::Full);
    }
    Ok(())
}
