//! The keeper's end of the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::wire::{
    FrameKind, HEADER_LEN, Header, MAX_DATA, ToKeeper, ToProver, WireError, decode_header,
    decode_message, encode_header, encode_message,
};

/// Messages and streams. A call that is dropped half way leaves it unusable.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    pub(super) async fn send(&mut self, message: &ToProver) -> Result<(), WireError> {
        self.stream.write_all(&encode_message(message)?).await?;
        Ok(())
    }

    pub(super) async fn send_data(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        for chunk in bytes.chunks(MAX_DATA) {
            self.stream
                .write_all(&encode_header(FrameKind::Data, chunk.len())?)
                .await?;
            self.stream.write_all(chunk).await?;
        }
        Ok(())
    }

    pub(super) async fn receive(&mut self) -> Result<ToKeeper, WireError> {
        let header = self.header().await?;
        match header.kind {
            FrameKind::Message => decode_message(&self.body(header).await?),
            FrameKind::Data => Err(WireError::Order("a message")),
        }
    }

    /// The next piece of a stream of which `left` bytes are to come; none at its
    /// end.
    pub(super) async fn receive_data(
        &mut self,
        left: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        let header = self.header().await?;
        match header.kind {
            FrameKind::Data if header.len as u64 <= left => Ok(Some(self.body(header).await?)),
            FrameKind::Data => Err(WireError::TooLong),
            FrameKind::Message => match decode_message(&self.body(header).await?)? {
                ToKeeper::End if left == 0 => Ok(None),
                _ => Err(WireError::Order("data, or the end of the stream")),
            },
        }
    }

    /// A whole stream of `len` announced bytes, at most `max`. Memory is taken
    /// as bytes arrive, not as they are announced.
    pub(super) async fn receive_stream(
        &mut self,
        len: u64,
        max: u64,
    ) -> Result<Zeroizing<Vec<u8>>, WireError> {
        if len > max {
            return Err(WireError::TooLong);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let mut left = len;
        while let Some(piece) = self.receive_data(left).await? {
            left -= piece.len() as u64; // receive_data made sure
            bytes
                .try_reserve(piece.len())
                .map_err(|_| WireError::Memory)?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn header(&mut self) -> Result<Header, WireError> {
        let mut bytes = [0u8; HEADER_LEN];
        let first = self.stream.read(&mut bytes).await?;
        if first == 0 {
            return Err(WireError::Closed);
        }
        if let Some(rest) = bytes.get_mut(first..) {
            self.stream.read_exact(rest).await?;
        }
        decode_header(&bytes)
    }

    async fn body(&mut self, header: Header) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let mut body = Zeroizing::new(vec![0u8; header.len]);
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }
}
