//! Frames: a header that is judged first, then a message or data; and blocking
//! reading and writing of them.

use std::io::{self, Read, Write};

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Bytes of a header: length and kind.
pub const HEADER_LEN: usize = 5;
/// Most bytes of a message.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most bytes of data in one frame.
pub const MAX_DATA: usize = 1024 * 1024;
/// Most that a header's length may say.
pub const MAX_FRAME: usize = MAX_DATA + 1;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// One message in deterministic CBOR.
    Message,
    /// Raw bytes of a stream.
    Data,
}

/// A header that was found well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: FrameKind,
    /// Bytes of body: 1 to [`MAX_MESSAGE`] or [`MAX_DATA`].
    pub len: usize,
}

/// One frame, read whole. Either may hold plaintext.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message, not decoded yet.
    Message(Zeroizing<Vec<u8>>),
    /// Bytes of a stream.
    Data(Zeroizing<Vec<u8>>),
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Message(body) => write!(f, "Message({} bytes)", body.len()),
            Self::Data(body) => write!(f, "Data({} bytes)", body.len()),
        }
    }
}

/// What can be wrong on this wire.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The stream broke, or ended inside a frame.
    #[error("the stream between keeper and prover broke")]
    Io(#[from] io::Error),
    /// The other side closed the stream between frames.
    #[error("the stream between keeper and prover was closed")]
    Closed,
    /// A header names an unknown kind.
    #[error("unknown kind of frame")]
    Kind,
    /// A header names more, or less, than a frame of its kind may hold.
    #[error("frame of a length that is not allowed")]
    Length,
    /// A message is not what this protocol's deterministic encoding allows.
    #[error("malformed message")]
    Message,
    /// A message or data where the protocol has another.
    #[error("out of order: expected {0}")]
    Order(&'static str),
    /// A stream is longer than its announcement, or than its receiver takes.
    #[error("stream is longer than allowed")]
    TooLong,
    /// No memory for what was announced.
    #[error("no memory for the stream announced")]
    Memory,
    /// The keeper took back what it began.
    #[error("cut by the keeper")]
    Cut,
}

/// Reads a header.
///
/// # Errors
/// [`WireError::Kind`] and [`WireError::Length`]; never more memory than this.
pub fn decode_header(bytes: &[u8; HEADER_LEN]) -> Result<Header, WireError> {
    let [a, b, c, d, kind] = *bytes;
    let (kind, max) = match kind {
        0 => (FrameKind::Message, MAX_MESSAGE),
        1 => (FrameKind::Data, MAX_DATA),
        _ => return Err(WireError::Kind),
    };
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| WireError::Length)?;
    match len.checked_sub(1) {
        Some(body) if (1..=max).contains(&body) => Ok(Header { kind, len: body }),
        _ => Err(WireError::Length),
    }
}

/// Writes a header.
///
/// # Errors
/// [`WireError::Length`] when `len` is nought or more than the kind allows.
pub fn encode_header(kind: FrameKind, len: usize) -> Result<[u8; HEADER_LEN], WireError> {
    let (tag, max) = match kind {
        FrameKind::Message => (0, MAX_MESSAGE),
        FrameKind::Data => (1, MAX_DATA),
    };
    if !(1..=max).contains(&len) {
        return Err(WireError::Length);
    }
    let [a, b, c, d] = u32::try_from(len + 1)
        .map_err(|_| WireError::Length)?
        .to_be_bytes();
    Ok([a, b, c, d, tag])
}

/// Decodes a message's body.
///
/// # Errors
/// [`WireError::Message`] for anything but the one deterministic encoding.
pub fn decode_message<T>(body: &[u8]) -> Result<T, WireError>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    soundproof_protocol::cbor::from_slice(body, MAX_MESSAGE).map_err(|_| WireError::Message)
}

/// Encodes a message as a whole frame.
///
/// # Errors
/// [`WireError::Length`] when it is larger than [`MAX_MESSAGE`].
pub fn encode_message<T: Encode<()>>(message: &T) -> Result<Zeroizing<Vec<u8>>, WireError> {
    let body = Zeroizing::new(soundproof_protocol::cbor::to_vec(message));
    let header = encode_header(FrameKind::Message, body.len())?;
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER_LEN + body.len()));
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads one frame, blocking.
///
/// # Errors
/// [`WireError::Closed`] at the end of the stream; any other when the frame is
/// malformed or broken off.
pub fn read_frame(reader: &mut impl Read) -> Result<Frame, WireError> {
    let header = read_header(reader)?;
    let mut body = Zeroizing::new(vec![0u8; header.len]);
    reader.read_exact(&mut body)?;
    Ok(match header.kind {
        FrameKind::Message => Frame::Message(body),
        FrameKind::Data => Frame::Data(body),
    })
}

/// Reads the header of the next frame, blocking.
pub(crate) fn read_header(reader: &mut impl Read) -> Result<Header, WireError> {
    let mut bytes = [0u8; HEADER_LEN];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) if have == 0 => return Err(WireError::Closed),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    decode_header(&bytes)
}

/// Writes one message, blocking.
///
/// # Errors
/// When it is too large or the stream broke.
pub fn write_message<T: Encode<()>>(writer: &mut impl Write, message: &T) -> Result<(), WireError> {
    writer.write_all(&encode_message(message)?)?;
    Ok(())
}

/// Writes bytes as data frames, blocking. The header of the stream before it,
/// and the `End` after it, are the caller's.
///
/// # Errors
/// When the stream broke.
pub fn write_data(writer: &mut impl Write, bytes: &[u8]) -> Result<(), WireError> {
    for chunk in bytes.chunks(MAX_DATA) {
        writer.write_all(&encode_header(FrameKind::Data, chunk.len())?)?;
        writer.write_all(chunk)?;
    }
    Ok(())
}
