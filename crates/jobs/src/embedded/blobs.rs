//! Program blobs, public, by their SHA-256.

use super::{
    Embedded, Result, files,
    rows::{int, unsigned},
    usage,
    writer::Keep,
};
use crate::{error::StoreError, store::Source, types::Quota};
use bytes::Bytes;
use soundproof_protocol::digest::Digest;

impl Embedded {
    pub(super) async fn take_blob(
        &self,
        tenant: &str,
        quota: Quota,
        digest: Digest,
        max: u64,
        body: Source<'_>,
        now_ms: u64,
    ) -> Result<u64> {
        self.check_room(0).await?;
        let mut conn = self.readers.acquire().await?;
        let left = usage::bytes_left(&mut conn, tenant, quota).await?;
        drop(conn);
        let again = self.held_blob(&digest).await?.is_some();
        let bound = if again { max } else { max.min(left) };
        let mut staged = self.files.stage(self.room.min_free_bytes).await?;
        let len = staged
            .fill(body, bound)
            .await
            .map_err(|error| match error {
                StoreError::TooLarge { .. } if bound < max => StoreError::Quota {
                    what: "stored bytes",
                },
                other => other,
            })?;
        let found = staged.finish().await?;
        if found != digest {
            return Err(StoreError::BlobDigest { found });
        }
        self.check_room(0).await?;
        let gate = self.blob_gate.read().await;
        staged.place(self.files.blob(&digest)).await?;
        let (tenant, room) = (tenant.to_owned(), self.room);
        let put = self
            .writer
            .write(Keep::Durable, move |conn| {
                Box::pin(async move {
                    let again =
                        sqlx::query("UPDATE blobs SET used_ms = MAX(used_ms, ?) WHERE digest = ?")
                            .bind(int(now_ms))
                            .bind(&digest.0[..])
                            .execute(&mut *conn)
                            .await?;
                    if again.rows_affected() == 1 {
                        return Ok(());
                    }
                    usage::check(conn, &tenant, quota, room, 0, len).await?;
                    usage::add(conn, &tenant, 0, int(len)).await?;
                    sqlx::query(
                        "INSERT INTO blobs (digest, len, tenant, used_ms) VALUES (?, ?, ?, ?)",
                    )
                    .bind(&digest.0[..])
                    .bind(int(len))
                    .bind(&tenant)
                    .bind(int(now_ms))
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await;
        drop(gate);
        if put.is_err() {
            self.remove_blob_without_row(&digest).await;
        }
        put.map(|()| len)
    }

    /// Removes the file of a refused blob, unless another sender's row names it.
    async fn remove_blob_without_row(&self, digest: &Digest) {
        let _gate = self.blob_gate.write().await;
        if let Ok(None) = self.held_blob(digest).await {
            files::remove(vec![self.files.blob(digest)]).await;
        }
    }

    pub(super) async fn held_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let len: Option<i64> = sqlx::query_scalar("SELECT len FROM blobs WHERE digest = ?")
            .bind(&digest.0[..])
            .fetch_optional(&self.readers)
            .await?;
        len.map(unsigned).transpose()
    }

    pub(super) async fn blob_bytes(&self, digest: &Digest, offset: u64, max: u64) -> Result<Bytes> {
        files::read_at(self.files.blob(digest), offset, max)
            .await?
            .ok_or(StoreError::BlobMissing(*digest))
    }
}
