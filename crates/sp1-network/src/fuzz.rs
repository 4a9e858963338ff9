//! Entry points for fuzzing: every parser of outside bytes in this crate.
//! They return what they return; none may panic, hang or take memory out of
//! proportion to its input.

use crate::{
    elf::{self, ElfError},
    signature::{Address, SignatureError, recover},
    wire::{
        AuctionBody, BaseBody, CancelBody, CreateProgramBody, Dialect, Malformed, RequestBody,
        Signed,
    },
};
use bytes::Bytes;
use prost::Message;

/// A signed wrapper and the bodies that stand in one.
pub fn signed(bytes: &[u8]) -> bool {
    let Ok(signed) = Signed::decode(bytes) else {
        return false;
    };
    let body = signed.body.as_deref().unwrap_or_default();
    survives::<CreateProgramBody>(body);
    survives::<CancelBody>(body);
    let _ = recover(body, &signed.signature);
    RequestBody::decode(body).is_ok()
}

/// `RequestProof`'s body in both dialects.
///
/// # Errors
/// It is of neither.
pub fn request_body(bytes: &[u8]) -> Result<RequestBody, Malformed> {
    survives::<BaseBody>(bytes);
    survives::<AuctionBody>(bytes);
    let body = RequestBody::decode(bytes)?;
    assert_eq!(
        body.dialect == Dialect::Auction,
        body.prices.is_some(),
        "only the auction has prices"
    );
    Ok(body)
}

/// A program's upload, for a program of 1 MiB at most.
///
/// # Errors
/// It is none.
pub fn elf(bytes: &[u8]) -> Result<Bytes, ElfError> {
    let elf = elf::decode(&Bytes::copy_from_slice(bytes), 1 << 20)?;
    assert!(elf.len() <= 1 << 20, "a bound is a bound");
    Ok(elf)
}

/// A signature, the first 65 bytes, over the rest.
///
/// # Errors
/// It is nobody's.
pub fn signature(bytes: &[u8]) -> Result<Address, SignatureError> {
    let (signature, message) = bytes.split_at(bytes.len().min(crate::SIGNATURE_LEN));
    recover(message, signature)
}

/// What decodes must decode as itself after being encoded.
fn survives<T: Message + Default + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = T::decode(bytes) {
        let again = T::decode(value.encode_to_vec().as_slice());
        assert_eq!(again.ok(), Some(value), "a message must survive");
    }
}
