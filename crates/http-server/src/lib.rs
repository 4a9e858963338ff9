//! What a service needs that strangers connect to, and that the gateway and
//! the verifier both have.
//!
//! **What it may touch**: a listener that it is given; the bytes that come
//! over it; files of a TLS certificate, of its key, and of API keys' digests,
//! which the operator names. **What it may not**: a store, the keeper,
//! evidence, policies, or anything that is sealed. It depends on `protocol`
//! and on nothing else of ours; what a request means is for whoever answers
//! it. It keeps no secret but the TLS key: API keys are known by their digests.
//!
//! | module | what |
//! |---|---|
//! | [`connections`] | accepts them: bounded in number, in time, in the room of their headers |
//! | [`tls`] | a certificate that is given, or one made in this process |
//! | [`guard`] | whom a request names, and what every response says to browsers |
//! | [`keys`] | who is asking, by API key |
//! | [`rates`] | how often: for each source, for each key |
//! | [`body`] | bodies, bounded in bytes and in time |
//! | [`problem`] | refusals: problem documents (RFC 9457) |
//! | [`openapi`] | the API's description, as it is sent |
#![forbid(unsafe_code)]

pub mod body;
pub mod connections;
pub mod guard;
pub mod keys;
pub mod openapi;
pub mod problem;
pub mod rates;
pub mod tls;

pub use connections::Source;
pub use problem::{Problem, ProblemCode};
