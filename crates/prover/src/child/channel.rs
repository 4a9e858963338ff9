//! Blocking messages and streams over one stream socket.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use zeroize::Zeroizing;

use crate::wire::{
    self, Frame, FrameKind, MAX_MESSAGE, ToKeeper, ToProver, WireError, decode_message,
    encode_message,
};

/// What were standard input and output, one socket, unbuffered: what passes
/// through it is secret, and the standard library's buffers are never wiped.
#[derive(Debug)]
pub struct Stdio(OwnedFd);

impl Read for Stdio {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buf)?)
    }
}

impl Write for Stdio {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The prover's end of the wire.
#[derive(Debug)]
pub struct Channel<S> {
    stream: S,
}

impl Channel<Stdio> {
    /// Takes the socket that is standard input and output, for itself alone, as
    /// descriptor 3. From then on standard input is at its end, and what some
    /// library prints to standard output goes where standard error goes, instead
    /// of between two messages; no program that is started inherits the socket.
    ///
    /// Whatever else was inherited is closed: to be called first thing in `main`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take_stdio() -> io::Result<Self> {
        crate::sandbox::close_inherited()?;
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let (nothing, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::stdio::dup2_stdin(nothing)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        Ok(Self::new(Stdio(socket)))
    }
}

impl AsFd for Channel<Stdio> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.0.as_fd()
    }
}

impl<S: Read + Write> Channel<S> {
    /// Over any stream.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it is too large or the stream broke.
    pub fn send(&mut self, message: &ToKeeper) -> Result<(), WireError> {
        self.stream.write_all(&encode_message(message)?)?;
        Ok(())
    }

    /// Sends a message that announces a stream, and the stream.
    ///
    /// # Errors
    /// When the stream broke.
    pub fn send_stream(&mut self, announcement: &ToKeeper, bytes: &[u8]) -> Result<(), WireError> {
        self.send(announcement)?;
        wire::write_data(&mut self.stream, bytes)?;
        self.send(&ToKeeper::End)
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// [`WireError::Closed`] when the keeper hung up.
    pub fn receive(&mut self) -> Result<ToProver, WireError> {
        match wire::read_frame(&mut self.stream)? {
            Frame::Message(body) => decode_message(&body),
            Frame::Data(_) => Err(WireError::Order("a message")),
        }
    }

    /// Receives a stream of `len` announced bytes, after its announcement.
    ///
    /// # Errors
    /// [`WireError::TooLong`] for more than `max` bytes and [`WireError::Memory`]
    /// when there is no room for them, in both cases after the stream was read
    /// and thrown away, so that the channel can still be used;
    /// [`WireError::Cut`] likewise. After any other the channel is broken.
    pub fn receive_stream(&mut self, len: u64, max: u64) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let mut bytes = Zeroizing::new(Vec::new());
        let room = if len > max {
            Err(WireError::TooLong)
        } else {
            usize::try_from(len)
                .map_err(|_| WireError::TooLong)
                .and_then(|len| bytes.try_reserve_exact(len).map_err(|_| WireError::Memory))
        };
        let mut left = len;
        loop {
            let header = wire::read_header(&mut self.stream)?;
            match header.kind {
                FrameKind::Data => {
                    left = left
                        .checked_sub(header.len as u64)
                        .ok_or(WireError::Order("End or Cut"))?;
                    if room.is_ok() {
                        let start = bytes.len();
                        bytes.resize(start + header.len, 0); // within what was reserved
                        let body = bytes.get_mut(start..).ok_or(WireError::Memory)?;
                        self.stream.read_exact(body)?;
                    } else {
                        let mut waste = Zeroizing::new(vec![0; header.len]);
                        self.stream.read_exact(&mut waste)?;
                    }
                }
                FrameKind::Message => {
                    let mut body = Zeroizing::new(vec![0; header.len.min(MAX_MESSAGE)]);
                    self.stream.read_exact(&mut body)?;
                    match decode_message(&body)? {
                        ToProver::End if left == 0 => break,
                        ToProver::Cut => return Err(WireError::Cut),
                        _ => return Err(WireError::Order("data, End or Cut")),
                    }
                }
            }
        }
        room.map(|()| bytes)
    }
}
