//! `RequestProof`'s body in both dialects. They share tags 1 to 11; tag 12 is
//! a flag in one and bytes in the other.

use super::Malformed;
use crate::signature::Address;
use prost::{
    Message as _,
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, skip_field},
};

/// Addresses in a whitelist at most.
const MAX_WHITELIST: usize = 256;
/// Bytes of a text at most.
const MAX_TEXT: usize = 256;

/// Which of the SDK's two sets of protos a request was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Reserved and hosted mode.
    Base,
    /// Mainnet mode.
    Auction,
}

/// A body as the base dialect has it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BaseBody {
    /// From `GetNonce`.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub vk_hash: Vec<u8>,
    /// `sp1-` and the circuits' version.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Proof mode.
    #[prost(int32, tag = "4")]
    pub mode: i32,
    /// Hosted 1, reserved 2, auction 3.
    #[prost(int32, tag = "5")]
    pub strategy: i32,
    /// From `CreateArtifact`.
    #[prost(string, tag = "6")]
    pub stdin_uri: String,
    /// Seconds since 1970, by the client's clock.
    #[prost(uint64, tag = "7")]
    pub deadline: u64,
    /// Cycles at most.
    #[prost(uint64, tag = "8")]
    pub cycle_limit: u64,
    /// Prover gas at most.
    #[prost(uint64, tag = "9")]
    pub gas_limit: u64,
    /// Seconds.
    #[prost(uint64, tag = "10")]
    pub min_auction_period: u64,
    /// 20 bytes each.
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub whitelist: Vec<Vec<u8>>,
    /// Whether the input was uploaded as a private one.
    #[prost(bool, tag = "12")]
    pub stdin_private: bool,
}

/// A body as the auction dialect has it: tags 1 to 11 as in [`BaseBody`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AuctionBody {
    /// From `GetNonce`.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub vk_hash: Vec<u8>,
    /// `sp1-` and the circuits' version.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Proof mode.
    #[prost(int32, tag = "4")]
    pub mode: i32,
    /// Hosted 1, reserved 2, auction 3.
    #[prost(int32, tag = "5")]
    pub strategy: i32,
    /// From `CreateArtifact`.
    #[prost(string, tag = "6")]
    pub stdin_uri: String,
    /// Seconds since 1970, by the client's clock.
    #[prost(uint64, tag = "7")]
    pub deadline: u64,
    /// Cycles at most.
    #[prost(uint64, tag = "8")]
    pub cycle_limit: u64,
    /// Prover gas at most.
    #[prost(uint64, tag = "9")]
    pub gas_limit: u64,
    /// Seconds.
    #[prost(uint64, tag = "10")]
    pub min_auction_period: u64,
    /// 20 bytes each.
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub whitelist: Vec<Vec<u8>>,
    /// From `GetProofRequestParams`, as are the addresses.
    #[prost(bytes = "vec", tag = "12")]
    pub domain: Vec<u8>,
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "13")]
    pub auctioneer: Vec<u8>,
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "14")]
    pub executor: Vec<u8>,
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "15")]
    pub verifier: Vec<u8>,
    /// Of the client's own execution.
    #[prost(bytes = "vec", optional, tag = "16")]
    pub public_values_hash: Option<Vec<u8>>,
    /// A decimal number.
    #[prost(string, tag = "17")]
    pub base_fee: String,
    /// A decimal number.
    #[prost(string, tag = "18")]
    pub max_price_per_pgu: String,
    /// `REQUEST` is 0.
    #[prost(int32, tag = "19")]
    pub variant: i32,
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "20")]
    pub treasury: Vec<u8>,
    /// Whether the input was uploaded as a private one.
    #[prost(bool, tag = "21")]
    pub stdin_private: bool,
}

/// A body, of whichever dialect, its lengths checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestBody {
    /// What it was made with.
    pub dialect: Dialect,
    /// From `GetNonce`.
    pub nonce: u64,
    /// Which program.
    pub vk_hash: [u8; 32],
    /// `sp1-` and the circuits' version.
    pub version: String,
    /// Proof mode, as it came.
    pub mode: i32,
    /// Strategy, as it came.
    pub strategy: i32,
    /// Which input.
    pub stdin_uri: String,
    /// Seconds since 1970, by the client's clock.
    pub deadline: u64,
    /// Cycles at most.
    pub cycle_limit: u64,
    /// Prover gas at most.
    pub gas_limit: u64,
    /// Seconds.
    pub min_auction_period: u64,
    /// Provers whom the client named.
    pub whitelist: Vec<Address>,
    /// Whether the input was uploaded as a private one.
    pub stdin_private: bool,
    /// What the client would pay at least and at most; auction only.
    pub prices: Option<(String, String)>,
}

impl RequestBody {
    /// From the bytes that were signed.
    ///
    /// # Errors
    /// They are of neither dialect, or a field has not its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let broken = |_| Malformed("the request's body does not decode");
        match Dialect::of(bytes)? {
            Dialect::Base => Self::from_base(BaseBody::decode(bytes).map_err(broken)?),
            Dialect::Auction => Self::from_auction(AuctionBody::decode(bytes).map_err(broken)?),
        }
    }

    fn from_base(body: BaseBody) -> Result<Self, Malformed> {
        Ok(Self {
            dialect: Dialect::Base,
            nonce: body.nonce,
            vk_hash: vk_hash(&body.vk_hash)?,
            version: text(body.version)?,
            mode: body.mode,
            strategy: body.strategy,
            stdin_uri: text(body.stdin_uri)?,
            deadline: body.deadline,
            cycle_limit: body.cycle_limit,
            gas_limit: body.gas_limit,
            min_auction_period: body.min_auction_period,
            whitelist: whitelist(&body.whitelist)?,
            stdin_private: body.stdin_private,
            prices: None,
        })
    }

    fn from_auction(body: AuctionBody) -> Result<Self, Malformed> {
        Ok(Self {
            dialect: Dialect::Auction,
            nonce: body.nonce,
            vk_hash: vk_hash(&body.vk_hash)?,
            version: text(body.version)?,
            mode: body.mode,
            strategy: body.strategy,
            stdin_uri: text(body.stdin_uri)?,
            deadline: body.deadline,
            cycle_limit: body.cycle_limit,
            gas_limit: body.gas_limit,
            min_auction_period: body.min_auction_period,
            whitelist: whitelist(&body.whitelist)?,
            stdin_private: body.stdin_private,
            prices: Some((text(body.base_fee)?, text(body.max_price_per_pgu)?)),
        })
    }
}

impl Dialect {
    /// Tells by tag 12, bytes in the one and a flag in the other, and by tags
    /// from 13 on, which only the auction has. A body with none of these is a
    /// base body whose flag is off: an auction body always has addresses.
    fn of(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let broken = |_| Malformed("the request's body is not protobuf");
        let (mut base, mut auction) = (false, false);
        while bytes.has_remaining() {
            let (tag, wire) = decode_key(&mut bytes).map_err(broken)?;
            match (tag, wire) {
                (12, WireType::Varint) => base = true,
                (12, WireType::LengthDelimited) | (13..=21, _) => auction = true,
                _ => {}
            }
            skip_field(wire, tag, &mut bytes, DecodeContext::default()).map_err(broken)?;
        }
        match (base, auction) {
            (true, true) => Err(Malformed("the request's body mixes two dialects")),
            (_, false) => Ok(Self::Base),
            (false, true) => Ok(Self::Auction),
        }
    }
}

fn vk_hash(bytes: &[u8]) -> Result<[u8; 32], Malformed> {
    bytes
        .try_into()
        .map_err(|_| Malformed("the verifying key's hash is not 32 bytes long"))
}

fn text(text: String) -> Result<String, Malformed> {
    if text.len() > MAX_TEXT {
        return Err(Malformed("a text in the request's body is too long"));
    }
    Ok(text)
}

fn whitelist(list: &[Vec<u8>]) -> Result<Vec<Address>, Malformed> {
    if list.len() > MAX_WHITELIST {
        return Err(Malformed("the whitelist is too long"));
    }
    list.iter()
        .map(|address| {
            Address::from_slice(address).ok_or(Malformed(
                "an address in the whitelist is not 20 bytes long",
            ))
        })
        .collect()
}
