//! Reads bytes from outside front to back, each once. A length that does not
//! fit what is left is an error with the name of its field.

/// A field that the bytes end in, or bytes that are left over after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing(pub(crate) &'static str);

/// What is left to read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Framing> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Framing(what))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<&'a [u8; N], Framing> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Framing(what))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Framing> {
        self.array::<1>(what).map(|[byte]| *byte)
    }

    pub(crate) fn u16_le(&mut self, what: &'static str) -> Result<u16, Framing> {
        self.array(what).map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Three bytes, as SPDM has lengths.
    pub(crate) fn u24_le(&mut self, what: &'static str) -> Result<u32, Framing> {
        self.array(what)
            .map(|[low, middle, high]| u32::from_le_bytes([*low, *middle, *high, 0]))
    }

    pub(crate) fn u16_be(&mut self, what: &'static str) -> Result<u16, Framing> {
        self.array(what).map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(crate) fn u32_be(&mut self, what: &'static str) -> Result<u32, Framing> {
        self.array(what).map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn u64_be(&mut self, what: &'static str) -> Result<u64, Framing> {
        self.array(what).map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A 16-bit big-endian length, at most `max`, and that many bytes.
    pub(crate) fn sized_u16_be(
        &mut self,
        max: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Framing> {
        let len = usize::from(self.u16_be(what)?);
        if len > max {
            return Err(Framing(what));
        }
        self.take(len, what)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self, what: &'static str) -> Result<(), Framing> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Framing(what))
        }
    }
}
