//! RSA signatures, verified only (RFC 8017): EMSA-PKCS1-v1_5 and EMSA-PSS.
//! No private key and no secret is ever here, so nothing needs constant time
//! or randomness. Moduli of exactly 2048, 3072 and 4096 bits, and the public
//! exponent 65537: what the vendors' chains and TPMs use.

use crypto_bigint::{
    Odd, U64, U2048, U3072, U4096, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use sha2::{Digest, Sha256, Sha384, Sha512};

const EXPONENT: u64 = 65_537;

/// A hash that a signature is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        fn all<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hasher = D::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().to_vec()
        }
        match self {
            Self::Sha256 => all::<Sha256>(parts),
            Self::Sha384 => all::<Sha384>(parts),
            Self::Sha512 => all::<Sha512>(parts),
        }
    }

    /// DER of `DigestInfo` up to the digest (RFC 8017, 9.2, note 1).
    fn digest_info(self) -> [u8; 19] {
        let (number, len) = match self {
            Self::Sha256 => (1, 0x20),
            Self::Sha384 => (2, 0x30),
            Self::Sha512 => (3, 0x40),
        };
        [
            0x30,
            0x11 + len,
            0x30,
            0x0d,
            0x06,
            0x09,
            0x60,
            0x86,
            0x48,
            0x01,
            0x65,
            0x03,
            0x04,
            0x02,
            number,
            0x05,
            0x00,
            0x04,
            len,
        ]
    }
}

/// An RSA public key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Big endian, no leading zero: 256, 384 or 512 bytes.
    modulus: Vec<u8>,
}

impl Key {
    /// From modulus and exponent, big endian, leading zeros allowed; `None` for
    /// a size or an exponent that is not accepted, or an even modulus.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = stripped(modulus);
        let top_bit = modulus.first().is_some_and(|byte| byte & 0x80 != 0);
        let odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        let sized = matches!(modulus.len(), 256 | 384 | 512);
        let usual = stripped(exponent) == [1, 0, 1];
        (top_bit && odd && sized && usual).then(|| Self {
            modulus: modulus.to_vec(),
        })
    }

    /// Bits of the modulus.
    pub(super) fn bits(&self) -> usize {
        8 * self.modulus.len()
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2): the one encoding that a digest has
    /// is made anew and compared, so that nothing in it is parsed.
    pub(super) fn verify_pkcs1(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let digest = hash.of(&[message]);
        let info = hash.digest_info();
        let Some(padding) = self
            .modulus
            .len()
            .checked_sub(3 + info.len() + digest.len())
        else {
            return false;
        };
        let mut expected = vec![0x00, 0x01];
        expected.resize(2 + padding, 0xff);
        expected.push(0x00);
        expected.extend_from_slice(&info);
        expected.extend_from_slice(&digest);
        self.power(signature).is_some_and(|found| found == expected)
    }

    /// RSASSA-PSS (RFC 8017, 8.1.2 and 9.1.2) with MGF1 over the same hash, and
    /// a salt of the hash's length.
    pub(super) fn verify_pss(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        self.power(signature)
            .is_some_and(|encoded| pss(hash, message, encoded).is_some())
    }

    /// signature^65537 mod modulus, as many bytes as the modulus; `None` unless
    /// the signature has that length and is below the modulus.
    fn power(&self, signature: &[u8]) -> Option<Vec<u8>> {
        if signature.len() != self.modulus.len() {
            return None;
        }
        match self.modulus.len() {
            256 => power::<{ U2048::LIMBS }>(&self.modulus, signature),
            384 => power::<{ U3072::LIMBS }>(&self.modulus, signature),
            512 => power::<{ U4096::LIMBS }>(&self.modulus, signature),
            _ => None,
        }
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RSA-{}", self.bits())
    }
}

fn stripped(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// Both must have exactly the bytes of `LIMBS` limbs.
fn power<const LIMBS: usize>(modulus: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    if modulus.len() != Uint::<LIMBS>::BYTES || base.len() != Uint::<LIMBS>::BYTES {
        return None;
    }
    let modulus = Odd::new(Uint::<LIMBS>::from_be_slice(modulus)).into_option()?;
    let base = Uint::<LIMBS>::from_be_slice(base);
    if base >= *modulus.as_ref() {
        return None;
    }
    let params = FixedMontyParams::new_vartime(modulus);
    let power = FixedMontyForm::new(&base, &params).pow_vartime(&U64::from_u64(EXPONENT));
    Some(power.retrieve().to_be_bytes().as_ref().to_vec())
}

/// EMSA-PSS-VERIFY for a modulus of whole bytes, so emBits = 8 emLen - 1.
fn pss(hash: Hash, message: &[u8], mut encoded: Vec<u8>) -> Option<()> {
    let len = hash.len();
    let salted = encoded.len().checked_sub(len + 1)?;
    let (masked, rest) = encoded.split_at_mut_checked(salted)?;
    let (digest, trailer) = rest.split_at_checked(len)?;
    // The bit above emBits must be clear before it is unmasked.
    if trailer != [0xbc] || masked.first()? & 0x80 != 0 {
        return None;
    }
    mgf1(hash, digest, masked);
    *masked.first_mut()? &= 0x7f;
    let (padding, salt) = masked.split_at_checked(salted.checked_sub(len)?)?;
    let (one, zeros) = padding.split_last()?;
    if *one != 1 || zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let again = hash.of(&[&[0; 8], &hash.of(&[message]), salt]);
    (again == digest).then_some(())
}

/// XORs MGF1(seed) over `data` (RFC 8017, B.2.1).
fn mgf1(hash: Hash, seed: &[u8], data: &mut [u8]) {
    for (counter, block) in (0u32..).zip(data.chunks_mut(hash.len())) {
        let mask = hash.of(&[seed, &counter.to_be_bytes()]);
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usual_keys_are_keys() {
        let mut modulus = vec![0xff; 256];
        assert!(Key::new(&modulus, &[1, 0, 1]).is_some());
        assert!(Key::new(&[&[0], modulus.as_slice()].concat(), &[0, 1, 0, 1]).is_some());
        assert!(Key::new(&modulus, &[3]).is_none(), "a small exponent");
        assert!(Key::new(&modulus, &[]).is_none(), "no exponent");
        assert!(Key::new(&modulus[1..], &[1, 0, 1]).is_none(), "2040 bits");
        modulus[255] = 0xfe;
        assert!(Key::new(&modulus, &[1, 0, 1]).is_none(), "even");
        modulus[255] = 0xff;
        modulus[0] = 0x7f;
        assert!(Key::new(&modulus, &[1, 0, 1]).is_none(), "2047 bits");
        assert!(Key::new(&[], &[1, 0, 1]).is_none());
    }

    #[test]
    fn a_signature_is_below_the_modulus_and_as_long() {
        let key = Key::new(&[0xff; 256], &[1, 0, 1]).unwrap();
        assert_eq!(key.power(&[0; 256]), Some(vec![0; 256]));
        assert_eq!(key.power(&[0xff; 256]), None, "the modulus itself");
        assert_eq!(key.power(&[0; 255]), None);
        assert_eq!(key.power(&[0; 257]), None);
        let mut one = vec![0; 256];
        one[255] = 1;
        assert_eq!(key.power(&one), Some(one.clone()));
    }

    #[test]
    fn trivial_signatures_are_none() {
        let key = Key::new(&[0xff; 512], &[1, 0, 1]).unwrap();
        let mut one = vec![0; 512];
        one[511] = 1;
        for signature in [vec![0; 512], one] {
            for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
                assert!(!key.verify_pss(hash, b"", &signature));
                assert!(!key.verify_pkcs1(hash, b"", &signature));
            }
        }
    }
}
