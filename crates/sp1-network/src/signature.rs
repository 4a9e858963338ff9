//! Who signed: EIP-191 `personal_sign` signatures over secp256k1, as alloy's
//! signers in the SDK make them. A pure function of its input.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use minicbor::{Decode, Encode};
use sha3::{Digest as _, Keccak256};

/// Bytes of a signature: r, s and v.
pub const SIGNATURE_LEN: usize = 65;

/// An Ethereum address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Address(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 20]);

impl Address {
    /// From exactly 20 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From 40 hexadecimal digits, with `0x` or without, in any case: the
    /// mixed-case checksum of EIP-55 is not looked at.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Of a public key: the last 20 bytes of Keccak-256 of its point.
    fn of(key: &VerifyingKey) -> Option<Self> {
        let point = key.to_sec1_point(false);
        let hash = Keccak256::digest(point.as_bytes().get(1..)?);
        Self::from_slice(hash.get(12..)?)
    }
}

impl core::fmt::Display for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A signature that names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 65 bytes.
    #[error("the signature is not 65 bytes long")]
    Length,
    /// The last byte is none of 0, 1, 27, 28, 54 and 55.
    #[error("the signature's recovery id is not one of 0, 1, 27 and 28")]
    RecoveryId,
    /// r or s is out of range, or there is no such point.
    #[error("the signature is not one of secp256k1")]
    Invalid,
}

/// Whose signature of `message` this is (EIP-191, version 0x45). Every
/// well-formed signature is somebody's: the caller compares.
///
/// v may be 27 or 28, or 0 or 1. It may also be 54 or 55: the SDK adds 27
/// twice when it asks for an artifact (`sign_message` in its
/// `network/utils.rs`). High s, which RFC-like verifiers refuse, is
/// normalised.
///
/// # Errors
/// See [`SignatureError`].
pub fn recover(message: &[u8], signature: &[u8]) -> Result<Address, SignatureError> {
    let (rs, v) = match signature.split_at_checked(SIGNATURE_LEN - 1) {
        Some((rs, [v])) => (rs, *v),
        _ => return Err(SignatureError::Length),
    };
    let odd = match v {
        0 | 27 | 54 => false,
        1 | 28 | 55 => true,
        _ => return Err(SignatureError::RecoveryId),
    };
    let signature = Signature::from_slice(rs).map_err(|_| SignatureError::Invalid)?;
    let low = signature.normalize_s();
    let flipped = low != signature;
    let hash = Keccak256::new()
        .chain_update(b"\x19Ethereum Signed Message:\n")
        .chain_update(message.len().to_string())
        .chain_update(message)
        .finalize();
    let id = RecoveryId::new(odd != flipped, false);
    let key =
        VerifyingKey::recover_from_prehash(&hash, &low, id).map_err(|_| SignatureError::Invalid)?;
    Address::of(&key).ok_or(SignatureError::Invalid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k256::ecdsa::SigningKey;

    // secp256k1's order.
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];

    fn sign(message: &[u8]) -> (Address, Vec<u8>) {
        let key = SigningKey::from_slice(&[1; 32]).unwrap();
        let text = [
            b"\x19Ethereum Signed Message:\n".as_slice(),
            message.len().to_string().as_bytes(),
            message,
        ]
        .concat();
        let (signature, id) = key.sign_prehash_recoverable(&Keccak256::digest(text));
        let mut bytes = signature.to_vec();
        bytes.push(id.to_byte());
        (Address::of(key.verifying_key()).unwrap(), bytes)
    }

    #[test]
    fn the_address_of_a_known_key() {
        // The key 0x01…01, that of the SDK's tests.
        let (address, _) = sign(b"");
        assert_eq!(
            address.to_string(),
            "0x1a642f0e3c3af545e7acbd38b07251b3990914f1"
        );
        assert_eq!(Address::from_hex(&address.to_string()), Some(address));
    }

    #[test]
    fn every_form_of_v_names_the_same_signer() {
        let (address, mut signature) = sign(b"create_artifact");
        let parity = signature[64];
        for base in [0, 27, 54] {
            signature[64] = base + parity;
            assert_eq!(recover(b"create_artifact", &signature), Ok(address));
            signature[64] = base + (1 - parity);
            assert_ne!(recover(b"create_artifact", &signature), Ok(address));
        }
        for v in [2, 26, 29, 35, 37, 53, 56, 255] {
            signature[64] = v;
            assert_eq!(
                recover(b"create_artifact", &signature),
                Err(SignatureError::RecoveryId)
            );
        }
    }

    #[test]
    fn a_high_s_names_the_same_signer() {
        let (address, mut signature) = sign(b"message");
        let mut borrow = 0_i32;
        for at in (0..32).rev() {
            let digit = i32::from(N[at]) - i32::from(signature[32 + at]) - borrow;
            borrow = i32::from(digit < 0);
            signature[32 + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
        }
        signature[64] ^= 1;
        assert_eq!(recover(b"message", &signature), Ok(address));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let (address, signature) = sign(b"message");
        assert_ne!(recover(b"massage", &signature), Ok(address));
        for len in [0, 1, 64, 66, 130] {
            let mut bytes = signature.clone();
            bytes.resize(len, 0);
            assert_eq!(recover(b"message", &bytes), Err(SignatureError::Length));
        }
        let mut zero = [0; 65];
        assert_eq!(recover(b"message", &zero), Err(SignatureError::Invalid));
        zero[..32].copy_from_slice(&N);
        zero[32..64].copy_from_slice(&N);
        assert_eq!(recover(b"message", &zero), Err(SignatureError::Invalid));
    }
}
