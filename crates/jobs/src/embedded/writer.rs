//! All writes go through one connection, in batches: calls that arrive while
//! a commit is under way share the next one, and with it the disk's one flush.

use super::{Result, schema};
use crate::error::StoreError;
use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{path::PathBuf, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// Calls that one commit may serve.
const BATCH: usize = 64;
/// The write-ahead log is copied into the database when it is this long.
const CHECKPOINT_BYTES: u64 = 8 * 1024 * 1024;
/// And emptied, if need be holding writers up, when it is this long.
const TRUNCATE_BYTES: u64 = 256 * 1024 * 1024;

/// Whether a write must be on disk when its caller hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It must.
    Durable,
    /// The death of the machine may undo it.
    Lazy,
}

pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

enum Request {
    Call(Keep, Box<dyn Call>),
    Close(oneshot::Sender<()>),
}

/// A write with its result's type forgotten.
trait Call: Send {
    /// Runs it; whether it succeeded.
    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Tells its caller: what it returned, or why the commit failed.
    fn finish(self: Box<Self>, committed: Result<()>);
}

struct Typed<F, T> {
    body: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Call for Typed<F, T>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send,
    T: Send,
{
    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            let Some(body) = self.body.take() else {
                return false;
            };
            let result = body(conn).await;
            let good = result.is_ok();
            self.result = Some(result);
            good
        })
    }

    fn finish(self: Box<Self>, committed: Result<()>) {
        let result = match (self.result, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(shared)) => Err(shared),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Failed("a write was not run".into())),
        };
        // Who does not wait any more does not hear.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self> {
        let mut conn = SqliteConnection::connect_with(options).await?;
        schema::migrate(&mut conn).await?;
        let (queue, requests) = mpsc::channel(BATCH * 4);
        tokio::spawn(serve(conn, requests));
        Ok(Self { queue })
    }

    /// Runs `body` in a transaction that it may share with others; what it did
    /// is undone if it fails. Returns after the commit.
    pub(super) async fn write<T, F>(&self, keep: Keep, body: F) -> Result<T>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call = Typed {
            body: Some(body),
            result: None,
            reply,
        };
        let closed = |_| StoreError::Failed("the store is closed".into());
        self.queue
            .send(Request::Call(keep, Box::new(call)))
            .await
            .map_err(|_| StoreError::Failed("the store is closed".into()))?;
        answer.await.map_err(closed)?
    }

    /// Waits for all writes so far and closes the connection.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Request::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

async fn serve(mut conn: SqliteConnection, mut requests: mpsc::Receiver<Request>) {
    let mut durable = true; // as the connection was opened
    let mut closing = None;
    while closing.is_none() {
        let Some(first) = requests.recv().await else {
            break;
        };
        let mut batch = Vec::new();
        let mut keep = Keep::Lazy;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Call(wants, call) => {
                    if wants == Keep::Durable {
                        keep = Keep::Durable;
                    }
                    batch.push(call);
                }
                Request::Close(done) => closing = Some(done),
            }
            next = if batch.len() < BATCH && closing.is_none() {
                requests.try_recv().ok()
            } else {
                None
            };
        }
        if batch.is_empty() {
            continue;
        }
        let wants = keep == Keep::Durable;
        if wants != durable && set_synchronous(&mut conn, wants).await.is_ok() {
            durable = wants;
        }
        let committed = if wants && !durable {
            Err(StoreError::Failed(
                "cannot make the database durable".into(),
            ))
        } else {
            run_batch(&mut conn, &mut batch).await
        };
        if let Err(error) = &committed {
            tracing::error!(%error, calls = batch.len(), "commit failed");
            // SQLite may have rolled back by itself already.
            let _ = sqlx::query("ROLLBACK").execute(&mut conn).await;
        }
        for call in batch {
            call.finish(committed.clone());
        }
    }
    let _ = conn.close().await;
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

async fn set_synchronous(conn: &mut SqliteConnection, full: bool) -> Result<()> {
    let pragma = if full {
        "PRAGMA synchronous = FULL"
    } else {
        "PRAGMA synchronous = NORMAL"
    };
    sqlx::query(pragma).execute(conn).await?;
    Ok(())
}

async fn run_batch(conn: &mut SqliteConnection, batch: &mut [Box<dyn Call>]) -> Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    if let [only] = batch {
        let end = if only.run(conn).await {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        sqlx::query(end).execute(&mut *conn).await?;
        return Ok(());
    }
    for call in batch {
        sqlx::query("SAVEPOINT one").execute(&mut *conn).await?;
        if !call.run(conn).await {
            sqlx::query("ROLLBACK TO one").execute(&mut *conn).await?;
        }
        sqlx::query("RELEASE one").execute(&mut *conn).await?;
    }
    sqlx::query("COMMIT").execute(&mut *conn).await?;
    Ok(())
}

/// Starts the task that copies the write-ahead log into the database, on a
/// connection of its own so that commits do not wait for it.
pub(super) async fn checkpoint_beside(
    options: SqliteConnectOptions,
    wal: PathBuf,
) -> Result<tokio::task::JoinHandle<()>> {
    let mut conn = SqliteConnection::connect_with(&options).await?;
    Ok(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut done = 0; // length at which all was copied last
        loop {
            ticks.tick().await;
            let len = tokio::fs::metadata(&wal).await.map_or(0, |meta| meta.len());
            let pragma = match len {
                TRUNCATE_BYTES.. => "PRAGMA wal_checkpoint(TRUNCATE)",
                CHECKPOINT_BYTES.. if len != done => "PRAGMA wal_checkpoint(PASSIVE)",
                _ => continue,
            };
            done = len;
            if let Err(error) = sqlx::query(pragma).execute(&mut conn).await {
                tracing::warn!(%error, "checkpoint failed");
            }
        }
    }))
}
