//! The database's schema, as migrations: version n is the first n of them.

use crate::error::StoreError;
use sqlx::{Connection as _, SqliteConnection};

/// Numbers in `jobs.state` and `jobs.end` are those of [`super::rows`]; times
/// are milliseconds since 1970; ids and digests are raw bytes.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        description BLOB NOT NULL,
        description_digest BLOB NOT NULL,
        header BLOB NOT NULL,
        header_digest BLOB NOT NULL,
        part_chunks INTEGER NOT NULL,
        input_bytes INTEGER NOT NULL,
        access BLOB NOT NULL,
        instance BLOB NOT NULL,
        state INTEGER NOT NULL,
        end INTEGER,
        created_ms INTEGER NOT NULL,
        accepted_ms INTEGER,
        ended_ms INTEGER,
        outcome_bytes INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        cancel INTEGER NOT NULL DEFAULT 0,
        lease_owner BLOB,
        lease_until_ms INTEGER
    );
    CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
    CREATE INDEX jobs_unfinished ON jobs (state, created_ms) WHERE state < 4;
    CREATE INDEX jobs_ended ON jobs (ended_ms) WHERE state = 4;

    -- Ids of deleted jobs, so that they are not taken again.
    CREATE TABLE tombstones (id BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX tombstones_by_time ON tombstones (until_ms);

    -- inline: the bytes; NULL: they are in the folder.
    CREATE TABLE parts (
        job INTEGER NOT NULL,
        part INTEGER NOT NULL,
        digest BLOB NOT NULL,
        inline BLOB,
        UNIQUE (job, part)
    );
    CREATE TABLE outcomes (
        job INTEGER PRIMARY KEY,
        attempt INTEGER NOT NULL,
        digest BLOB NOT NULL,
        len INTEGER NOT NULL,
        inline BLOB
    );
    CREATE TABLE blobs (
        digest BLOB PRIMARY KEY,
        len INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        used_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX blobs_by_use ON blobs (used_ms);

    -- Sums over the above, kept in the same transactions.
    CREATE TABLE usage (
        tenant TEXT PRIMARY KEY,
        jobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) WITHOUT ROWID;
"];

/// Brings the schema up to date.
///
/// # Errors
/// `Newer` for a database that a later version wrote.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *conn)
        .await?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, sql) in (1i64..)
        .zip(MIGRATIONS)
        .skip_while(|(version, _)| *version <= found)
    {
        let mut transaction = conn.begin().await?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        // A pragma takes no parameters; the value is a number of ours.
        let bump = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(bump).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
