//! Values of PCRs: what a quote's digest is compared with.

use super::{Attest, HashAlgorithm};
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Why values are not those of a quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PcrError {
    /// The quote is of other banks than SHA-256's.
    #[error("the quote is of another PCR bank than SHA-256's alone")]
    Bank,
    /// The quote is of other registers than those whose values are there.
    #[error("the quote is of PCRs {quoted:?}, values are there for {given:?}")]
    Registers {
        /// What the quote is of.
        quoted: Vec<u8>,
        /// What values there are.
        given: Vec<u8>,
    },
    /// The values' digest is not the quote's.
    #[error("the PCR values are not those that were quoted")]
    Digest,
}

/// Values of the SHA-256 bank, by register.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PcrValues(pub BTreeMap<u8, [u8; 32]>);

impl PcrValues {
    /// Whether a quote that SHA-256 signed is of these values, all of them and
    /// no others.
    ///
    /// # Errors
    /// [`PcrError`].
    pub fn check(&self, attest: &Attest<'_>) -> Result<(), PcrError> {
        let [selection] = attest.selections.as_slice() else {
            return Err(PcrError::Bank);
        };
        if selection.bank != HashAlgorithm::Sha256 {
            return Err(PcrError::Bank);
        }
        let given: Vec<u8> = self.0.keys().copied().collect();
        if given.is_empty() || given != selection.registers {
            return Err(PcrError::Registers {
                quoted: selection.registers.clone(),
                given,
            });
        }
        let mut hasher = Sha256::new();
        for value in self.0.values() {
            hasher.update(value);
        }
        if hasher.finalize().as_slice() == attest.pcr_digest {
            Ok(())
        } else {
            Err(PcrError::Digest)
        }
    }
}

/// As CBOR: a map from register (0 to 31, ascending) to 32 bytes.
impl<C> Encode<C> for PcrValues {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(self.0.len() as u64)?;
        for (register, value) in &self.0 {
            e.u8(*register)?.bytes(value)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for PcrValues {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let wrong = |what| minicbor::decode::Error::message(what);
        let count = d.map()?.ok_or_else(|| wrong("a map without a length"))?;
        if count > 32 {
            return Err(wrong("too many PCRs"));
        }
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let register = d.u8()?;
            if register > 31 || values.keys().last().is_some_and(|last| *last >= register) {
                return Err(wrong("PCRs are 0 to 31, ascending"));
            }
            let value = d.bytes()?;
            let value = value.try_into().map_err(|_| wrong("a PCR has 32 bytes"))?;
            values.insert(register, value);
        }
        Ok(Self(values))
    }
}
