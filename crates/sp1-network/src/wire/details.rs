//! `ProofRequest`, the details of a request. The dialects agree up to tag 33
//! and not behind it, so each request is encoded in its own, and a list that
//! may mix them ends at tag 33.

use prost::Message as _;

/// What both dialects read alike.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Common {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub request_id: Vec<u8>,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub vk_hash: Vec<u8>,
    /// `sp1-` and the circuits' version.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Proof mode.
    #[prost(int32, tag = "4")]
    pub mode: i32,
    /// Strategy.
    #[prost(int32, tag = "5")]
    pub strategy: i32,
    /// The program's name here.
    #[prost(string, tag = "6")]
    pub program_uri: String,
    /// The input's name here; of use to nobody but its requester.
    #[prost(string, tag = "7")]
    pub stdin_uri: String,
    /// Seconds since 1970.
    #[prost(uint64, tag = "8")]
    pub deadline: u64,
    /// Cycles at most, as asked for.
    #[prost(uint64, tag = "9")]
    pub cycle_limit: u64,
    /// See [`status`](super::status).
    #[prost(int32, tag = "11")]
    pub fulfillment_status: i32,
    /// See [`status`](super::status).
    #[prost(int32, tag = "12")]
    pub execution_status: i32,
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "13")]
    pub requester: Vec<u8>,
    /// 20 bytes: this server's own address.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub fulfiller: Option<Vec<u8>>,
    /// Seconds since 1970.
    #[prost(uint64, tag = "18")]
    pub created_at: u64,
    /// Seconds since 1970.
    #[prost(uint64, tag = "19")]
    pub updated_at: u64,
    /// Seconds since 1970.
    #[prost(uint64, optional, tag = "20")]
    pub fulfilled_at: Option<u64>,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "21")]
    pub tx_hash: Vec<u8>,
    /// Prover gas at most, as asked for.
    #[prost(uint64, tag = "26")]
    pub gas_limit: u64,
    /// See [`status`](super::status).
    #[prost(int32, tag = "28")]
    pub execute_fail_cause: i32,
    /// Seconds.
    #[prost(uint64, tag = "32")]
    pub min_auction_period: u64,
    /// 20 bytes each.
    #[prost(bytes = "vec", repeated, tag = "33")]
    pub whitelist: Vec<Vec<u8>>,
}

/// What the base dialect has behind tag 33.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BaseTail {
    /// See [`status`](super::status).
    #[prost(int32, tag = "34")]
    pub error: i32,
    /// Whether the input was uploaded as a private one.
    #[prost(bool, tag = "35")]
    pub stdin_private: bool,
}

/// What the auction dialect has behind tag 33.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AuctionTail {
    /// A decimal number.
    #[prost(string, optional, tag = "34")]
    pub base_fee: Option<String>,
    /// A decimal number.
    #[prost(string, optional, tag = "35")]
    pub max_price_per_pgu: Option<String>,
    /// See [`status`](super::status).
    #[prost(int32, tag = "36")]
    pub error: i32,
    /// Whether its owner cancelled it.
    #[prost(bool, tag = "37")]
    pub is_canceled: bool,
    /// Whether the input was uploaded as a private one.
    #[prost(bool, tag = "38")]
    pub stdin_private: bool,
    /// What happened and what to do, in words.
    #[prost(bytes = "vec", optional, tag = "39")]
    pub error_trace: Option<Vec<u8>>,
}

/// What stands behind tag 33.
#[derive(Debug, Clone, PartialEq)]
pub enum Tail {
    /// In the base dialect.
    Base(BaseTail),
    /// In the auction dialect.
    Auction(AuctionTail),
}

/// Details in a dialect: protobuf's fields stand one behind the other, so the
/// tail's encoding goes behind the common one's.
pub fn encode(common: &Common, tail: &Tail) -> Vec<u8> {
    let mut bytes = common.encode_to_vec();
    bytes.extend(match tail {
        Tail::Base(tail) => tail.encode_to_vec(),
        Tail::Auction(tail) => tail.encode_to_vec(),
    });
    bytes
}
