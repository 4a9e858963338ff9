//! A job's input on its way in: chunks are pulled from the gateway, hashed as
//! received, opened, and handed on without prologue and padding.

use crate::{custody::Job, link::Peer};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use soundproof_protocol::{
    digest::{Digest, Hasher},
    error::{Code, Failure},
    link::{GatewayPieces, KeeperPulls},
    sealed::PROLOGUE,
};
use soundproof_seal::{Opener, Prologue, header::sealed_input_hasher};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// Chunks that are pulled ahead of the one in use.
const AHEAD: usize = 2;

/// A job's plaintext.
pub(crate) struct Input {
    pub(crate) prologue: Prologue,
    /// The witness, in pieces.
    pub(crate) pieces: BoxStream<'static, Result<Zeroizing<Vec<u8>>, Failure>>,
    /// Digest of the sealed input; there once the last piece was taken.
    pub(crate) digest: Arc<OnceLock<Digest>>,
}

struct Reader {
    chunks: BoxStream<'static, Result<Vec<u8>, Failure>>,
    next: u32,
    count: u32,
    opener: Opener,
    hasher: Option<Hasher>,
    /// Witness bytes that have not been handed on.
    left: u64,
    digest: Arc<OnceLock<Digest>>,
}

impl Input {
    /// Pulls and opens the first chunk, and reads the prologue.
    pub(crate) async fn open(job: Arc<Job>, peer: Peer) -> Result<Self, Failure> {
        let failed = |error: soundproof_seal::SealError| Failure::new(error.code(), "");
        let count = job.header.chunks().unwrap_or(0);
        let id = job.description.job;
        let chunks = stream::iter(0..count)
            .map(move |index| {
                let peer = peer.clone();
                async move { pull_chunk(&peer, id, index).await }
            })
            .buffered(AHEAD)
            .boxed();
        let digest = Arc::new(OnceLock::new());
        let mut reader = Reader {
            chunks,
            next: 0,
            count,
            opener: Opener::new(&job.keys, &job.header).map_err(failed)?,
            hasher: Some(sealed_input_hasher(&job.header)),
            left: 0,
            digest: digest.clone(),
        };
        let mut first = reader.chunk().await?;
        let prologue = Prologue::read(&first, job.header.padded_len).map_err(failed)?;
        let prologue_len = PROLOGUE.min(first.len());
        first.drain(..prologue_len);
        reader.left = prologue.witness_len;
        let first = reader.cut(first).await?;
        let pieces = stream::try_unfold((reader, Some(first)), |(mut reader, ready)| async move {
            if let Some(piece) = ready {
                return Ok(Some((piece, (reader, None))));
            }
            if reader.left == 0 {
                return Ok(None);
            }
            let chunk = reader.chunk().await?;
            let piece = reader.cut(chunk).await?;
            Ok(Some((piece, (reader, None))))
        })
        .boxed();
        Ok(Self {
            prologue,
            pieces,
            digest,
        })
    }
}

impl Reader {
    /// The next chunk's plaintext.
    async fn chunk(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let missing = || Failure::new(Code::ChunkInvalid, "the input ends early");
        let sealed = self.chunks.next().await.ok_or_else(missing)??;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&sealed);
        }
        let index = self.next;
        self.next += 1;
        self.opener
            .open(index, sealed)
            .map_err(|error| Failure::new(error.code(), format!("chunk {index}")))
    }

    /// Cuts a piece to what is left of the witness. Before the last piece is
    /// given, the padding is pulled, opened and hashed too.
    async fn cut(&mut self, mut piece: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let len = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        piece.truncate(len);
        self.left -= len as u64;
        if self.left == 0 {
            while self.next < self.count {
                self.chunk().await?;
            }
            if let Some(hasher) = self.hasher.take() {
                let _ = self.digest.set(hasher.finish());
            }
        }
        Ok(piece)
    }
}

async fn pull_chunk(
    peer: &Peer,
    job: soundproof_protocol::id::JobId,
    index: u32,
) -> Result<Vec<u8>, Failure> {
    match peer.pull(KeeperPulls::Chunk { job, index }).await {
        Ok(GatewayPieces::Bytes { bytes, .. }) => Ok(bytes.0),
        Ok(GatewayPieces::Missing(code)) => Err(Failure::new(code, format!("chunk {index}"))),
        _ => Err(Failure::new(
            Code::KeeperUnavailable,
            "the gateway went away",
        )),
    }
}
