//! What goes over the wire: as much of the protos of the SDK's two dialects
//! as is spoken here. Pure functions of their input.
//!
//! *Base* is the dialect of Reserved and hosted mode, *auction* that of
//! Mainnet. They share gRPC paths and most tags; where they differ, see
//! [`RequestBody`] and [`details`].

mod artifact;
pub mod details;
mod messages;
mod request;
pub mod status;

pub use artifact::{ArtifactType, CreateArtifactRequest, CreateArtifactResponse};
pub use messages::{
    CancelBody, CreateProgramBody, Empty, GetBalanceRequest, GetBalanceResponse,
    GetDetailsResponse, GetFilteredRequest, GetFilteredResponse, GetNonceRequest, GetNonceResponse,
    GetParamsRequest, GetParamsResponse, GetPriceResponse, GetProgramRequest, GetProgramResponse,
    GetProversRequest, GetProversResponse, GetRequest, GetStatusResponse, Program,
    RequestProofReply, Signed, SignedReply,
};
pub use request::{AuctionBody, BaseBody, Dialect, RequestBody};

/// `MessageFormat`: the body is signed in its protobuf encoding, the only
/// form that the SDK sends.
pub const FORMAT_BINARY: i32 = 1;

/// A message that does not say what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
