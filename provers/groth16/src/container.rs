//! The container that zkey and wtns files share: a magic word, a version, and
//! sections of (id, length, bytes), in any order.
//!
//! Memory taken: one slice a section, and no more than [`MAX_SECTIONS`].

/// snarkjs writes two sections in a wtns and ten in a zkey.
const MAX_SECTIONS: u32 = 64;

/// What is wrong with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Other first four bytes.
    Magic,
    /// Another version.
    Version,
    /// It ends before a section does, or a length says more than there is.
    Truncated,
    /// More sections than any real file has, one twice, or bytes after the last.
    Sections,
    /// No section of this id.
    Missing(u32),
}

/// Slices of the file, by section.
pub(crate) struct Sections<'a>(Vec<(u32, &'a [u8])>);

impl<'a> Sections<'a> {
    pub(crate) fn parse(
        bytes: &'a [u8],
        magic: &[u8; 4],
        versions: core::ops::RangeInclusive<u32>,
    ) -> Result<Self, Fault> {
        let mut rest = Reader(bytes);
        if rest.array::<4>().ok_or(Fault::Truncated)? != *magic {
            return Err(Fault::Magic);
        }
        if !versions.contains(&rest.u32().ok_or(Fault::Truncated)?) {
            return Err(Fault::Version);
        }
        let count = rest.u32().ok_or(Fault::Truncated)?;
        if count > MAX_SECTIONS {
            return Err(Fault::Sections);
        }
        let mut sections: Vec<(u32, &[u8])> = Vec::new();
        for _ in 0..count {
            let id = rest.u32().ok_or(Fault::Truncated)?;
            let len = rest.u64().ok_or(Fault::Truncated)?;
            let len = usize::try_from(len).map_err(|_| Fault::Truncated)?;
            let body = rest.take(len).ok_or(Fault::Truncated)?;
            if sections.iter().any(|(other, _)| *other == id) {
                return Err(Fault::Sections);
            }
            sections.push((id, body));
        }
        if !rest.0.is_empty() {
            return Err(Fault::Sections);
        }
        Ok(Self(sections))
    }

    pub(crate) fn get(&self, id: u32) -> Result<&'a [u8], Fault> {
        self.0
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, body)| *body)
            .ok_or(Fault::Missing(id))
    }
}

/// Takes little-endian numbers off the front of a slice.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Four little-endian words of 64 bits, as arkworks holds a 256-bit number.
pub(crate) fn limbs(bytes: &[u8; 32]) -> ark_ff::BigInt<4> {
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    ark_ff::BigInt(limbs)
}

#[cfg(test)]
mod tests {
    use super::{Fault, Sections};

    fn file(sections: &[(u32, u64, &[u8])]) -> Vec<u8> {
        let mut out = b"test".to_vec();
        out.extend(1u32.to_le_bytes());
        out.extend((sections.len() as u32).to_le_bytes());
        for (id, len, body) in sections {
            out.extend(id.to_le_bytes());
            out.extend(len.to_le_bytes());
            out.extend(*body);
        }
        out
    }

    fn fault(bytes: &[u8]) -> Fault {
        Sections::parse(bytes, b"test", 1..=2).err().unwrap()
    }

    #[test]
    fn sections_come_in_any_order_and_are_found_by_id() {
        let bytes = file(&[(7, 2, b"xy"), (1, 0, b""), (3, 1, b"z")]);
        let sections = Sections::parse(&bytes, b"test", 1..=2).unwrap();
        assert_eq!(sections.get(3), Ok(b"z".as_slice()));
        assert_eq!(sections.get(7), Ok(b"xy".as_slice()));
        assert_eq!(sections.get(1), Ok(b"".as_slice()));
        assert_eq!(sections.get(2), Err(Fault::Missing(2)));
    }

    #[test]
    fn every_length_is_held_against_the_file() {
        let bytes = file(&[(1, 2, b"xy"), (2, 3, b"abc")]);
        for cut in 0..bytes.len() {
            assert_eq!(fault(&bytes[..cut]), Fault::Truncated, "{cut}");
        }
        for claim in [4, 1 << 32, 1 << 60, u64::MAX] {
            assert_eq!(fault(&file(&[(1, claim, b"abc")])), Fault::Truncated);
        }
        let mut more = bytes.clone();
        more.push(0);
        assert_eq!(fault(&more), Fault::Sections);
    }

    #[test]
    fn the_rest_is_refused() {
        assert_eq!(fault(&file(&[(1, 0, b""), (1, 0, b"")])), Fault::Sections);
        assert_eq!(fault(b"tesT\x01\0\0\0\0\0\0\0"), Fault::Magic);
        assert_eq!(fault(b"test\x03\0\0\0\0\0\0\0"), Fault::Version);
        assert_eq!(fault(b"test\x01\0\0\0\xff\xff\xff\xff"), Fault::Sections);
    }
}
