//! Reads bytes from the front, little endian, and never past the end.

/// What was read when the bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short(pub(crate) &'static str);

/// See the module.
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Short(what))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Short> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Short(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Short> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Short> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Short> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Short> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 32-bit length and that many bytes.
    pub(crate) fn sized_u32(&mut self, what: &'static str) -> Result<Self, Short> {
        let len = self.u32(what)?;
        let len = usize::try_from(len).map_err(|_| Short(what))?;
        self.take(len, what).map(Cursor)
    }

    /// A 64-bit count of units of `unit` bytes, and they.
    pub(crate) fn counted_u64(
        &mut self,
        count: u64,
        unit: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Short> {
        let len = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(unit))
            .ok_or(Short(what))?;
        self.take(len, what)
    }
}
