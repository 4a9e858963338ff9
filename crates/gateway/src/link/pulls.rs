//! What the keeper pulls, served from the store with bounded memory.

use super::{Incoming, Link, outcomes::Piece};
use crate::{
    app::App,
    problem::{Problem, of_store},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use soundproof_protocol::{
    cbor,
    digest::Digest,
    error::Code,
    id::JobId,
    link::{Frame, GatewayPieces, KeeperPulls, KeeperTells, MAX_PIECE},
};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Pieces of [`MAX_PIECE`] bytes that may be in memory at once.
const PULLS: usize = 6;
/// Outcome pieces that may wait to be stored.
const PIECES: usize = 4;

/// Reads frames until the link closes or says something that it must not.
/// Before the app is there, only answers are due.
pub(crate) async fn serve(link: Link, mut incoming: Incoming, app: oneshot::Receiver<Arc<App>>) {
    let closed = link.closed().clone();
    if read(&link, &mut incoming, app).await.is_none() {
        tracing::error!("the link to the keeper is closed");
    }
    closed.cancel();
}

async fn read(
    link: &Link,
    incoming: &mut Incoming,
    mut app: oneshot::Receiver<Arc<App>>,
) -> Option<()> {
    let app = loop {
        tokio::select! {
            app = &mut app => break app.ok()?,
            frame = incoming.next(link) => match frame? {
                Frame::Answer(number, answer) => link.answered(number, answer),
                _ => return None,
            },
        }
    };
    let permits = Arc::new(Semaphore::new(PULLS));
    let (pieces, queue) = mpsc::channel(PIECES);
    let _lane = AbortOnDropHandle::new(tokio::spawn(take_pieces(link.clone(), app.clone(), queue)));
    loop {
        match incoming.next(link).await? {
            Frame::Answer(number, answer) => link.answered(number, answer),
            Frame::Pull(
                number,
                KeeperPulls::Outcome {
                    job,
                    attempt,
                    offset,
                    bytes,
                    last,
                },
            ) => {
                let piece = Piece {
                    job,
                    attempt,
                    offset,
                    bytes: bytes.0.into(),
                    last,
                };
                pieces.send((number, piece)).await.ok()?;
            }
            Frame::Pull(number, pull) => {
                let permit = permits.clone().acquire_owned().await.ok()?;
                let (link, app) = (link.clone(), app.clone());
                tokio::spawn(async move {
                    let piece = answer(&app, pull).await.unwrap_or_else(|problem| {
                        tracing::warn!(code = %problem.code, "cannot serve the keeper");
                        GatewayPieces::Missing(problem.code)
                    });
                    let _ = link.send(Frame::Piece(number, piece), Some(permit)).await;
                });
            }
            Frame::Tell(KeeperTells::Progress { job, sealed }) => {
                let text = BASE64.encode(cbor::to_vec(&sealed));
                app.hub.progress(job, text.into());
            }
            _ => {
                tracing::error!("the keeper sent a frame that it must not send");
                return None;
            }
        }
    }
}

/// Takes pieces of outcomes in the order in which they came.
async fn take_pieces(link: Link, app: Arc<App>, mut queue: mpsc::Receiver<(u64, Piece)>) {
    while let Some((number, piece)) = queue.recv().await {
        let answer = match app.outcomes.take(piece).await {
            Ok(()) => GatewayPieces::Taken,
            Err(code) => GatewayPieces::Missing(code),
        };
        if link.send(Frame::Piece(number, answer), None).await.is_err() {
            return;
        }
    }
}

async fn answer(app: &App, pull: KeeperPulls) -> Result<GatewayPieces, Problem> {
    match pull {
        KeeperPulls::Chunk { job, index } => chunk(app, &job, index).await,
        KeeperPulls::Blob { digest, offset } => blob(app, &digest, offset).await,
        _ => Err(Code::RequestMalformed.into()),
    }
}

async fn chunk(app: &App, id: &JobId, index: u32) -> Result<GatewayPieces, Problem> {
    let job = app
        .store
        .job(id)
        .await
        .map_err(of_store)?
        .ok_or(Code::JobNotFound)?;
    let layout = job.layout().ok_or(Code::StorageFailed)?;
    let (Some((part, offset)), Some(total)) = (layout.locate(index), layout.chunk_len(index))
    else {
        return Err(Code::PartOutOfRange.into());
    };
    let bytes = app
        .store
        .read_part(id, part, offset, total)
        .await
        .map_err(of_store)?;
    Ok(GatewayPieces::Bytes {
        bytes: bytes.to_vec().into(),
        total,
    })
}

async fn blob(app: &App, digest: &Digest, offset: u64) -> Result<GatewayPieces, Problem> {
    let total = app
        .store
        .blob_len(digest)
        .await
        .map_err(of_store)?
        .ok_or(Code::BlobMissing)?;
    let bytes = app
        .store
        .read_blob(digest, offset, MAX_PIECE as u64)
        .await
        .map_err(of_store)?;
    Ok(GatewayPieces::Bytes {
        bytes: bytes.to_vec().into(),
        total,
    })
}
