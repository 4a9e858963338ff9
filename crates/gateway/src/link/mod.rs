//! The one connection to the keeper. The gateway asks and is answered; the
//! keeper pulls ciphertext and blobs, pushes outcomes, and tells progress.
//!
//! When it closes, or the keeper does not answer, the gateway is of no use and
//! ends; the keeper starts another.

mod outcomes;
mod pulls;

pub(crate) use outcomes::Outcomes;

use crate::problem::Problem;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use soundproof_protocol::{
    error::Code,
    link::{Frame, GatewayAsks, KeeperAnswers, MAX_FRAME},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
};
use tokio_util::{
    codec::{Framed, LengthDelimitedCodec},
    sync::CancellationToken,
};

pub(crate) use pulls::serve;

/// How long a question may take that costs the keeper a quote at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keeper cannot be asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<Gone> for Problem {
    fn from(Gone: Gone) -> Self {
        Code::KeeperUnavailable.into()
    }
}

/// A frame on its way out, with the permit that its memory is counted by.
pub(crate) struct Outgoing(Vec<u8>, Option<OwnedSemaphorePermit>);

/// The asking half.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<KeeperAnswers>>>,
    frames: mpsc::Sender<Outgoing>,
    closed: CancellationToken,
}

/// The half that [`serve`] reads.
pub(crate) struct Incoming {
    frames: futures_util::stream::SplitStream<Framed<UnixStream, LengthDelimitedCodec>>,
}

impl Incoming {
    /// The next frame; `None` when the link is closed, breaks, or carries
    /// what is no frame.
    async fn next(&mut self, link: &Link) -> Option<Frame> {
        let bytes = tokio::select! {
            bytes = self.frames.next() => bytes?,
            () = link.closed().cancelled() => return None,
        };
        let bytes = bytes
            .inspect_err(|error| tracing::error!(%error, "the link to the keeper broke"))
            .ok()?;
        Frame::from_slice(&bytes)
            .inspect_err(|error| tracing::error!(%error, "the keeper sent no frame"))
            .ok()
    }
}

impl Link {
    /// Starts writing to `stream`; what arrives is for [`serve`].
    pub(crate) fn new(stream: UnixStream) -> (Self, Incoming) {
        let codec = LengthDelimitedCodec::builder()
            .max_frame_length(MAX_FRAME)
            .new_codec();
        let (mut sink, source) = Framed::new(stream, codec).split();
        let (frames, mut queue) = mpsc::channel::<Outgoing>(64);
        let closed = CancellationToken::new();
        let over = closed.clone();
        tokio::spawn(async move {
            while let Some(Outgoing(frame, permit)) = queue.recv().await {
                if sink.send(Bytes::from(frame)).await.is_err() {
                    break;
                }
                drop(permit);
            }
            over.cancel();
        });
        let shared = Shared {
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            frames,
            closed,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            Incoming { frames: source },
        )
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<KeeperAnswers>>> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and waits for as long as it takes.
    pub(crate) async fn ask_patiently(&self, ask: GatewayAsks) -> Result<KeeperAnswers, Gone> {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.waiting().insert(number, reply);
        let _forget = Forget { link: self, number };
        self.send(Frame::Ask(number, ask), None).await?;
        tokio::select! {
            answer = answer => answer.map_err(|_| Gone),
            () = self.shared.closed.cancelled() => Err(Gone),
        }
    }

    /// Asks what is answered soon.
    pub(crate) async fn ask(&self, ask: GatewayAsks) -> Result<KeeperAnswers, Gone> {
        tokio::time::timeout(PATIENCE, self.ask_patiently(ask))
            .await
            .unwrap_or(Err(Gone))
    }

    async fn send(&self, frame: Frame, permit: Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        self.shared
            .frames
            .send(Outgoing(frame.to_vec(), permit))
            .await
            .map_err(|_| Gone)
    }

    fn answered(&self, number: u64, answer: KeeperAnswers) {
        let waiting = self.waiting().remove(&number);
        match waiting {
            // Who asked may have given up.
            Some(reply) => drop(reply.send(answer)),
            None => tracing::debug!(number, "an answer that nobody waits for"),
        }
    }

    /// When this is cancelled, the link is closed.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.shared.closed
    }
}

/// Takes a question off the list, however its wait ends.
struct Forget<'a> {
    link: &'a Link,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.waiting().remove(&self.number);
    }
}
