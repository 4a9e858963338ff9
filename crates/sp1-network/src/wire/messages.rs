//! `network.ProverNetwork`: messages whose tags are the same in both
//! dialects, or that only one of them has (the SDK's `proto/*/types.rs`).
//!
//! A signed message's body is kept as the bytes that came, since those are
//! what was signed; on the wire that is the same.

/// A body and whose it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Signed {
    /// [`FORMAT_BINARY`](super::FORMAT_BINARY).
    #[prost(int32, tag = "1")]
    pub format: i32,
    /// EIP-191 over `body`.
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
    /// The encoded body.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub body: Option<Vec<u8>>,
}

/// The answer to a signed message whose reply has an empty body.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignedReply {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub tx_hash: Vec<u8>,
    /// Nothing.
    #[prost(message, optional, tag = "2")]
    pub body: Option<Empty>,
}

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

/// Asks for a nonce.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetNonceRequest {
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub address: Vec<u8>,
}

/// A nonce.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GetNonceResponse {
    /// To be signed with the next body.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
}

/// Asks for a balance.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetBalanceRequest {
    /// 20 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub address: Vec<u8>,
}

/// A balance.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetBalanceResponse {
    /// A decimal number.
    #[prost(string, tag = "1")]
    pub amount: String,
}

/// Asks whether a program is registered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetProgramRequest {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub vk_hash: Vec<u8>,
}

/// It is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetProgramResponse {
    /// The program.
    #[prost(message, optional, tag = "1")]
    pub program: Option<Program>,
}

/// A registered program.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Program {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub vk_hash: Vec<u8>,
    /// bincode of `SP1VerifyingKey`, as it was registered; for its owner only.
    #[prost(bytes = "vec", tag = "2")]
    pub vk: Vec<u8>,
    /// Its name here.
    #[prost(string, tag = "3")]
    pub program_uri: String,
    /// Not given.
    #[prost(string, optional, tag = "4")]
    pub name: Option<String>,
    /// Not given: who registered it is nobody else's business.
    #[prost(bytes = "vec", tag = "5")]
    pub owner: Vec<u8>,
    /// Seconds since 1970.
    #[prost(uint64, tag = "6")]
    pub created_at: u64,
}

/// Registers a program.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreateProgramBody {
    /// From `GetNonce`.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub vk_hash: Vec<u8>,
    /// bincode of `SP1VerifyingKey`.
    #[prost(bytes = "vec", tag = "3")]
    pub vk: Vec<u8>,
    /// From `CreateArtifact`.
    #[prost(string, tag = "4")]
    pub program_uri: String,
}

/// The answer to `RequestProof`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RequestProofReply {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub tx_hash: Vec<u8>,
    /// The id, in a message of its own.
    #[prost(message, optional, tag = "2")]
    pub body: Option<GetRequest>,
}

/// A request's id: asks for its status or details, and answers
/// `RequestProof`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetRequest {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub request_id: Vec<u8>,
}

/// A request's status.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetStatusResponse {
    /// See [`status`](super::status).
    #[prost(int32, tag = "1")]
    pub fulfillment_status: i32,
    /// See [`status`](super::status).
    #[prost(int32, tag = "2")]
    pub execution_status: i32,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub request_tx_hash: Vec<u8>,
    /// Seconds since 1970.
    #[prost(uint64, tag = "4")]
    pub deadline: u64,
    /// Not given.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub fulfill_tx_hash: Option<Vec<u8>>,
    /// Where to GET the proof, once it is there.
    #[prost(string, optional, tag = "6")]
    pub proof_uri: Option<String>,
    /// Not given.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub public_values_hash: Option<Vec<u8>>,
    /// Not given.
    #[prost(string, optional, tag = "8")]
    pub proof_public_uri: Option<String>,
}

/// A request's details, encoded in its own dialect.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetDetailsResponse {
    /// See [`details`](super::details).
    #[prost(bytes = "vec", optional, tag = "1")]
    pub request: Option<Vec<u8>>,
}

/// Asks for a list of requests. Of the SDK's fields those that mean the same
/// in both dialects.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFilteredRequest {
    /// As in the request's body.
    #[prost(string, optional, tag = "1")]
    pub version: Option<String>,
    /// Fulfillment status.
    #[prost(int32, optional, tag = "2")]
    pub fulfillment_status: Option<i32>,
    /// Execution status.
    #[prost(int32, optional, tag = "3")]
    pub execution_status: Option<i32>,
    /// Seconds since 1970.
    #[prost(uint64, optional, tag = "4")]
    pub minimum_deadline: Option<u64>,
    /// 32 bytes.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub vk_hash: Option<Vec<u8>>,
    /// 20 bytes.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub requester: Option<Vec<u8>>,
    /// 20 bytes.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub fulfiller: Option<Vec<u8>>,
    /// Made no earlier, seconds since 1970.
    #[prost(uint64, optional, tag = "8")]
    pub from: Option<u64>,
    /// Made no later, seconds since 1970.
    #[prost(uint64, optional, tag = "9")]
    pub to: Option<u64>,
    /// Requests on a page, 100 at most.
    #[prost(uint32, optional, tag = "10")]
    pub limit: Option<u32>,
    /// From 1.
    #[prost(uint32, optional, tag = "11")]
    pub page: Option<u32>,
    /// Proof mode.
    #[prost(int32, optional, tag = "12")]
    pub mode: Option<i32>,
    /// Why the program did not execute.
    #[prost(int32, optional, tag = "14")]
    pub execute_fail_cause: Option<i32>,
    /// Always 0 here.
    #[prost(int32, optional, tag = "15")]
    pub settlement_status: Option<i32>,
    /// What went wrong.
    #[prost(int32, optional, tag = "16")]
    pub error: Option<i32>,
}

/// A list of requests, of the fields that are the same in both dialects.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFilteredResponse {
    /// The newest first.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub requests: Vec<Vec<u8>>,
}

/// Asks for the auction's parameters.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GetParamsRequest {
    /// Proof mode.
    #[prost(int32, tag = "1")]
    pub mode: i32,
}

/// The auction's parameters: the SDK puts them into the body that it signs.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetParamsResponse {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub domain: Vec<u8>,
    /// 20 bytes, or the SDK panics.
    #[prost(bytes = "vec", tag = "2")]
    pub auctioneer: Vec<u8>,
    /// 20 bytes, or the SDK panics.
    #[prost(bytes = "vec", tag = "3")]
    pub executor: Vec<u8>,
    /// 20 bytes, or the SDK panics.
    #[prost(bytes = "vec", tag = "4")]
    pub verifier: Vec<u8>,
    /// A decimal number below 2^34, or the SDK's debug build panics.
    #[prost(string, tag = "5")]
    pub max_price_per_pgu: String,
    /// A decimal number, or the SDK panics.
    #[prost(string, tag = "6")]
    pub base_fee: String,
    /// 20 bytes, or the SDK panics.
    #[prost(bytes = "vec", tag = "7")]
    pub treasury: Vec<u8>,
    /// 0: none.
    #[prost(uint64, tag = "8")]
    pub tick_size: u64,
    /// A decimal number.
    #[prost(string, tag = "9")]
    pub network_floor_price_per_pgu: String,
}

/// Asks for provers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GetProversRequest {
    /// Only those to try again with after a failure.
    #[prost(bool, tag = "1")]
    pub high_availability_only: bool,
}

/// Provers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetProversResponse {
    /// 20 bytes each, or the SDK panics.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub provers: Vec<Vec<u8>>,
}

/// The market's price.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetPriceResponse {
    /// A decimal number.
    #[prost(string, tag = "1")]
    pub price: String,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    pub as_of: i64,
}

/// Cancels a request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CancelBody {
    /// From `GetNonce`.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub request_id: Vec<u8>,
}
