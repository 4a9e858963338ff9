//! Outcomes on their way from the keeper into the store: in order, in pieces,
//! never whole in memory unless they are small.

use bytes::Bytes;
use futures_util::stream;
use soundproof_jobs::{SourceError, Store, StoreError, StoredOutcome};
use soundproof_protocol::{error::Code, id::JobId, link::MAX_PIECE, outcome::MAX_OUTCOME};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// One piece.
pub(crate) struct Piece {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
}

/// The outcomes of the jobs that run.
pub(crate) struct Outcomes {
    store: Arc<dyn Store>,
    open: Mutex<HashMap<JobId, Open>>,
}

/// One job's. Taken out of the map while a piece of it is being stored.
struct Open {
    attempt: u32,
    state: State,
}

enum State {
    Nothing,
    // Dropped in this order: an outcome that breaks off must not look whole.
    Some {
        received: u64,
        task: Task,
        pieces: mpsc::Sender<Result<Bytes, SourceError>>,
    },
    Whole(StoredOutcome),
}

type Task = AbortOnDropHandle<Result<StoredOutcome, StoreError>>;

impl Outcomes {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            open: Mutex::default(),
        }
    }

    fn put(&self, job: JobId, open: Open) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job, open);
    }

    fn remove(&self, job: &JobId) -> Option<Open> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(job)
    }

    /// An attempt begins; what another one left is dropped.
    pub(crate) fn expect(&self, job: JobId, attempt: u32) {
        self.put(
            job,
            Open {
                attempt,
                state: State::Nothing,
            },
        );
    }

    /// The attempt is over: its outcome, if it is whole.
    pub(crate) fn close(&self, job: &JobId, attempt: u32) -> Option<StoredOutcome> {
        match self.remove(job) {
            Some(Open {
                attempt: open,
                state: State::Whole(outcome),
            }) if open == attempt => Some(outcome),
            _ => None,
        }
    }

    /// Takes a piece; the last one only when all are durable or small enough
    /// to go into the commit that ends the job. Called for one piece at a time.
    pub(super) async fn take(&self, piece: Piece) -> Result<(), Code> {
        if piece.bytes.len() > MAX_PIECE {
            return Err(Code::BodyTooLarge);
        }
        let Some(open) = self.remove(&piece.job) else {
            return Err(Code::JobNotFound);
        };
        if open.attempt != piece.attempt {
            self.put(piece.job, open);
            return Err(Code::JobNotFound);
        }
        let (job, attempt) = (piece.job, piece.attempt);
        let result = self.extend(open.state, piece).await;
        let (state, answer) = match result {
            Ok(state) => (state, Ok(())),
            // The keeper may start over at 0.
            Err(code) => (State::Nothing, Err(code)),
        };
        self.put(job, Open { attempt, state });
        answer
    }

    async fn extend(&self, state: State, piece: Piece) -> Result<State, Code> {
        let (received, pieces, task) = match state {
            State::Some {
                received,
                pieces,
                task,
            } if piece.offset > 0 => (received, pieces, task),
            _ if piece.offset == 0 => self.begin(piece.job, piece.attempt),
            _ => return Err(Code::RequestMalformed),
        };
        if piece.offset != received {
            return Err(Code::RequestMalformed);
        }
        let received = received + piece.bytes.len() as u64;
        if received > MAX_OUTCOME as u64 {
            return Err(Code::BodyTooLarge);
        }
        // The task ends early only by failing, which the join below tells.
        let alive = pieces.send(Ok(piece.bytes)).await.is_ok();
        if alive && !piece.last {
            return Ok(State::Some {
                received,
                task,
                pieces,
            });
        }
        if alive {
            drop(pieces);
        }
        match task.await {
            Ok(Ok(outcome)) => Ok(State::Whole(outcome)),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot store an outcome");
                Err(error.code())
            }
            Err(_) => Err(Code::Internal),
        }
    }

    fn begin(
        &self,
        job: JobId,
        attempt: u32,
    ) -> (u64, mpsc::Sender<Result<Bytes, SourceError>>, Task) {
        let (pieces, mut queue) = mpsc::channel(1);
        let store = self.store.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let source = stream::poll_fn(move |cx| queue.poll_recv(cx));
            store.put_outcome(&job, attempt, Box::pin(source)).await
        }));
        (0, pieces, task)
    }
}
