//! Witness files (`.wtns`, version 2), as circom and snarkjs write them.
//!
//! The whole file is secret. Memory taken: the file's size once more.

use ark_bn254::Fr;
use ark_ff::{BigInt, BigInteger, One, PrimeField};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::container::{Fault, Reader, Sections, limbs};

/// Bytes of an element of BN254's scalar field.
pub(crate) const ELEMENT: usize = 32;

/// Why a witness file was refused. The texts hold no byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WtnsError {
    /// Not a witness file of version 2, or its sections are not those of one.
    #[error("the witness is not a .wtns file of version 2")]
    Malformed,
    /// The file ends before a section does.
    #[error("the witness file is truncated")]
    Truncated,
    /// Its field is not BN254's scalar field.
    #[error("the witness is for another field than BN254's")]
    WrongField,
    /// The number of elements that it claims is not the number that it holds.
    #[error("the witness file claims another number of elements than it holds")]
    SizeClaim,
    /// An element is not below the modulus.
    #[error("an element of the witness is not below the field's modulus")]
    OutOfField,
    /// The first element, which stands for the constant, is not one.
    #[error("the first element of the witness is not one")]
    FirstNotOne,
}

impl WtnsError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "witness_malformed",
            Self::Truncated => "witness_truncated",
            Self::WrongField => "witness_wrong_field",
            Self::SizeClaim => "witness_size_claim",
            Self::OutOfField => "witness_out_of_field",
            Self::FirstNotOne => "witness_first_not_one",
        }
    }
}

impl From<Fault> for WtnsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Truncated => Self::Truncated,
            Fault::Magic | Fault::Version | Fault::Sections | Fault::Missing(_) => Self::Malformed,
        }
    }
}

/// All signals of a circuit, the constant one first, then public outputs and
/// inputs, then private signals. Wiped when dropped.
#[derive(Clone)]
pub struct Witness(Zeroizing<Vec<Fr>>);

impl core::fmt::Debug for Witness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Witness({} elements)", self.0.len())
    }
}

impl Witness {
    /// Reads a witness file.
    ///
    /// # Errors
    /// Whatever makes the file unfit; see [`WtnsError`].
    pub fn from_wtns(bytes: &[u8]) -> Result<Self, WtnsError> {
        let sections = Sections::parse(bytes, b"wtns", 2..=2)?;
        let mut header = Reader(sections.get(1)?);
        let n8 = header.u32().ok_or(WtnsError::Malformed)?;
        if n8 as usize != ELEMENT {
            return Err(WtnsError::WrongField);
        }
        let prime: [u8; ELEMENT] = header.array().ok_or(WtnsError::Malformed)?;
        if limbs(&prime) != Fr::MODULUS {
            return Err(WtnsError::WrongField);
        }
        let count = header.u32().ok_or(WtnsError::Malformed)? as usize;
        if !header.0.is_empty() {
            return Err(WtnsError::Malformed);
        }
        let (elements, rest) = sections.get(2)?.as_chunks::<ELEMENT>();
        if elements.len() != count || !rest.is_empty() {
            return Err(WtnsError::SizeClaim);
        }
        let mut witness = Zeroizing::new(Vec::with_capacity(count));
        for element in elements {
            let element = Fr::from_bigint(limbs(element)).ok_or(WtnsError::OutOfField)?;
            witness.push(element);
        }
        if !witness.first().is_some_and(|first| first.is_one()) {
            return Err(WtnsError::FirstNotOne);
        }
        Ok(Self(witness))
    }

    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &[Fr] {
        &self.0
    }

    /// The file that snarkjs would write.
    #[must_use]
    pub fn to_wtns(&self) -> Zeroizing<Vec<u8>> {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut out = start_file(count);
        for element in self.0.iter() {
            let element = Zeroizing::new(element.into_bigint());
            extend_with(&mut out, &element);
        }
        out
    }
}

/// The bytes of a witness file up to its first element, with room for `count`
/// elements.
pub(crate) fn start_file(count: u32) -> Zeroizing<Vec<u8>> {
    let body = u64::from(count) * ELEMENT as u64;
    let room = usize::try_from(body).unwrap_or(0).saturating_add(76);
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    out.extend_from_slice(b"wtns");
    for word in [2u32, 2, 1] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&(4 + ELEMENT as u64 + 4).to_le_bytes());
    out.extend_from_slice(&(ELEMENT as u32).to_le_bytes());
    out.extend_from_slice(&Fr::MODULUS.to_bytes_le());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&2u32.to_le_bytes());
    out.extend_from_slice(&body.to_le_bytes());
    out
}

fn extend_with(out: &mut Vec<u8>, element: &BigInt<4>) {
    for limb in element.0 {
        out.extend_from_slice(&limb.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Witness, WtnsError};

    const FILE: &[u8] = include_bytes!("../tests/data/small.wtns");
    /// Offsets in a file as snarkjs writes it.
    const N8: usize = 24;
    const PRIME: usize = 28;
    const COUNT: usize = 60;
    const FIRST: usize = 76;

    fn error(edit: impl FnOnce(&mut Vec<u8>)) -> WtnsError {
        let mut bytes = FILE.to_vec();
        edit(&mut bytes);
        Witness::from_wtns(&bytes).unwrap_err()
    }

    #[test]
    fn snarkjs_files_are_read_and_written_byte_by_byte() {
        let witness = Witness::from_wtns(FILE).unwrap();
        assert_eq!(witness.as_slice().len(), 21);
        assert_eq!(witness.to_wtns().as_slice(), FILE);
        assert_eq!(format!("{witness:?}"), "Witness(21 elements)");
    }

    #[test]
    fn unfit_files_are_refused() {
        for cut in 0..FILE.len() {
            let error = Witness::from_wtns(&FILE[..cut]).unwrap_err();
            assert_eq!(error, WtnsError::Truncated);
        }
        assert_eq!(error(|b| b[0] ^= 1), WtnsError::Malformed);
        assert_eq!(error(|b| b[4] = 1), WtnsError::Malformed);
        assert_eq!(error(|b| b.push(0)), WtnsError::Malformed);
        assert_eq!(error(|b| b[N8] = 48), WtnsError::WrongField);
        assert_eq!(error(|b| b[PRIME] ^= 1), WtnsError::WrongField);
        assert_eq!(error(|b| b[COUNT] += 1), WtnsError::SizeClaim);
        assert_eq!(error(|b| b[COUNT + 3] = 0xff), WtnsError::SizeClaim);
        assert_eq!(error(|b| b[FIRST] = 2), WtnsError::FirstNotOne);
        let prime = FILE[PRIME..COUNT].to_vec();
        assert_eq!(
            error(|b| b[FIRST + 32..FIRST + 64].copy_from_slice(&prime)),
            WtnsError::OutOfField
        );
        assert_eq!(
            error(|b| b[FIRST + 32..FIRST + 64].fill(0xff)),
            WtnsError::OutOfField
        );
        assert_eq!(error(Vec::clear), WtnsError::Truncated);
        // No element at all.
        assert_eq!(
            Witness::from_wtns(&super::start_file(0)).unwrap_err(),
            WtnsError::FirstNotOne
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(at in 0..FILE.len(), bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut file = FILE.to_vec();
            let end = (at + bytes.len()).min(file.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
            if let Ok(witness) = Witness::from_wtns(&file) {
                prop_assert_eq!(&*witness.to_wtns(), &file);
            }
        }
    }
}
