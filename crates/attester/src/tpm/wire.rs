//! How commands and answers are written (TCG, TPM 2.0 Library, part 1,
//! chapter 18), and the device that takes them.

use crate::Device;
use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

/// `TPM_ST_NO_SESSIONS`
const NO_SESSIONS: u16 = 0x8001;
/// `TPM_ST_SESSIONS`
const SESSIONS: u16 = 0x8002;
/// Tag, size, code.
const HEADER: usize = 10;
/// Bytes of an answer at most: what Linux's driver buffers.
const MAX_ANSWER: usize = 4096;

/// `/dev/tpmrm0`.
#[derive(Debug)]
pub struct TpmDevice(PathBuf);

impl TpmDevice {
    /// The device at `path`: one with the kernel's resource manager.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Device for TpmDevice {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut device = OpenOptions::new().read(true).write(true).open(&self.0)?;
        // One write is one command, and the next read its whole answer.
        if device.write(request)? != request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut answer = vec![0; MAX_ANSWER];
        let read = device.read(&mut answer)?;
        answer.truncate(read);
        Ok(answer)
    }
}

/// A command being written.
pub(super) struct Command(Vec<u8>);

impl Command {
    /// One whose handles need no authorization.
    pub(super) fn new(code: u32, handles: &[u32]) -> Self {
        Self::start(NO_SESSIONS, code, handles)
    }

    /// One whose first handle is authorized by an empty password.
    pub(super) fn with_password(code: u32, handles: &[u32]) -> Self {
        let mut command = Self::start(SESSIONS, code, handles);
        // Nine bytes: TPM_RS_PW, no nonce, no attributes, no password.
        command.u32(9).u32(0x4000_0009).u16(0).u8(0).u16(0);
        command
    }

    fn start(tag: u16, code: u32, handles: &[u32]) -> Self {
        let mut command = Self(Vec::new());
        command.u16(tag).u32(0).u32(code);
        for handle in handles {
            command.u32(*handle);
        }
        command
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A TPM2B of 32 bytes.
    pub(super) fn sized(&mut self, value: &[u8; 32]) -> &mut Self {
        self.u16(32).raw(value)
    }

    pub(super) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// The command, with its size in its place.
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let size = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if let Some(field) = self.0.get_mut(2..6) {
            field.copy_from_slice(&size.to_be_bytes());
        }
        self.0.clone()
    }
}

/// Code and body of an answer whose size is what it says.
pub(super) fn answer(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader::new(bytes);
    let (tag, size, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
    if size as usize != bytes.len() || !matches!(tag, NO_SESSIONS | SESSIONS) {
        return None;
    }
    // A refusal is a header and nothing else.
    if code != 0 && bytes.len() != HEADER {
        return None;
    }
    Some((code, reader.rest()))
}

/// An answer being read.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|b| u16::from_be_bytes(*b))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|b| u32::from_be_bytes(*b))
    }

    /// A TPM2B's content.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The parameters of an answer with sessions, and over what follows them:
    /// no nonce, one byte of attributes, no acknowledgement.
    pub(super) fn parameters(&mut self) -> Option<Self> {
        let length = self.u32()?;
        let parameters = self.take(length as usize)?;
        let (nonce, _attributes, proof) = (self.sized()?, self.u8()?, self.sized()?);
        (nonce.is_empty() && proof.is_empty()).then_some(Self(parameters))
    }
}
