//! The link to the gateway: its questions answered, our pulls asked. When the
//! socket closes everything that ran for it is abandoned; keys stay.

use crate::keeper::Keeper;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use soundproof_protocol::link::{
    Frame, GatewayPieces, KeeperAnswers, KeeperPulls, KeeperTells, MAX_FRAME,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

/// Questions that are worked on at once; more wait in the socket.
const MAX_ASKS: usize = 8192;
/// Frames that wait to be written.
const MAX_WAITING: usize = 64;

/// The link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Our way to ask the gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peer {
    frames: mpsc::Sender<Frame>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<GatewayPieces>>>>,
    next: Arc<AtomicU64>,
    /// The gateway is gone.
    pub(crate) gone: CancellationToken,
}

impl Peer {
    /// Asks for, or hands over, a piece.
    pub(crate) async fn pull(&self, pull: KeeperPulls) -> Result<GatewayPieces, Closed> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, piece) = oneshot::channel();
        self.lock().insert(number, sender);
        let asked = async {
            self.frames
                .send(Frame::Pull(number, pull))
                .await
                .map_err(|_| Closed)?;
            piece.await.map_err(|_| Closed)
        };
        let result = tokio::select! {
            result = asked => result,
            () = self.gone.cancelled() => Err(Closed),
        };
        self.lock().remove(&number);
        result
    }

    /// Tells; what does not fit at once is dropped, for it is progress only.
    pub(crate) fn tell(&self, tell: KeeperTells) {
        let _ = self.frames.try_send(Frame::Tell(tell));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<GatewayPieces>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME)
        .new_codec()
}

/// Serves one gateway until its socket closes or it says what no gateway says.
/// Returns when all that was done for it has ended.
pub(crate) async fn serve(keeper: Arc<Keeper>, socket: UnixStream) {
    let (read, write) = socket.into_split();
    let mut source = FramedRead::new(read, codec());
    let mut sink = FramedWrite::new(write, codec());
    let (frames, mut outgoing) = mpsc::channel::<Frame>(MAX_WAITING);
    let gone = CancellationToken::new();
    let peer = Peer {
        frames: frames.clone(),
        waiting: Arc::default(),
        next: Arc::default(),
        gone: gone.clone(),
    };
    let writer_gone = gone.clone();
    let writer = tokio::spawn(async move {
        while let Some(frame) = outgoing.recv().await {
            if sink.send(Bytes::from(frame.to_vec())).await.is_err() {
                break;
            }
        }
        writer_gone.cancel();
    });

    let room = Arc::new(Semaphore::new(MAX_ASKS));
    let mut work = JoinSet::new();
    loop {
        let bytes = tokio::select! {
            frame = source.next() => frame,
            () = gone.cancelled() => None,
            Some(done) = work.join_next() => match done {
                Ok(()) => continue,
                // A question that nobody answers would hold its slot for ever.
                Err(_) => break,
            },
        };
        let Some(Ok(bytes)) = bytes else { break };
        match Frame::from_slice(&bytes) {
            Ok(Frame::Ask(number, ask)) => {
                let Ok(room) = room.clone().acquire_owned().await else {
                    break;
                };
                let (keeper, peer, frames) = (keeper.clone(), peer.clone(), frames.clone());
                work.spawn(async move {
                    let answer = keeper.answer(ask, &peer).await;
                    drop(room);
                    if let Some(answer) = answer {
                        let _ = frames.send(Frame::Answer(number, answer)).await;
                    }
                });
            }
            Ok(Frame::Piece(number, piece)) => {
                if let Some(waiting) = peer.lock().remove(&number) {
                    let _ = waiting.send(piece);
                }
            }
            Ok(_) | Err(_) => {
                tracing::error!("the gateway broke the link's protocol");
                break;
            }
        }
    }
    gone.cancel();
    while work.join_next().await.is_some() {}
    writer.abort();
}

/// An answer, unless the asker is gone and none is due.
pub(crate) type Answer = Option<KeeperAnswers>;
