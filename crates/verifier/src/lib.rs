//! A verifier as a service (RFC 9334, the background-check model): evidence is
//! posted to it with the name of a policy, and it answers with the verdict of
//! [`soundproof_evidence::appraise`], the same code that clients run
//! themselves.
//!
//! **Whoever believes its answers trusts whoever runs it**, the machine that
//! it runs on, and the connection to it. It is there for clients that cannot
//! appraise by themselves; those that can, should: then nobody has to be
//! trusted in between. It sees no secret, holds no session's key, and cannot
//! make one's evidence acceptable to anybody else.
//!
//! | module | what |
//! |---|---|
//! | [`api`] | what is asked and answered |
//! | `request` | from a stranger's bytes to what is to be judged |
//! | [`policies`] | the folder of policies |
//! | [`signer`] | from a verdict to an attestation result |
//! | `routes`, `openapi`, `metrics`, `keys` | HTTP; what any listener needs is in [`soundproof_http`] |
//! | `service` | settings, and the process that listens |
//!
//! Without the feature `server` (on by default) there is the parser of
//! requests only, which uses neither network nor clock.
#![forbid(unsafe_code)]

pub mod api;
#[cfg(feature = "server")]
mod keys;
#[cfg(feature = "server")]
mod metrics;
#[cfg(feature = "server")]
mod openapi;
#[cfg(feature = "server")]
pub mod policies;
mod request;
#[cfg(feature = "server")]
mod routes;
#[cfg(feature = "server")]
mod service;
#[cfg(feature = "server")]
pub mod signer;

#[cfg(feature = "server")]
pub use policies::Policies;
#[cfg(feature = "server")]
pub use service::{Verifier, VerifierConfig, VerifierError};
#[cfg(feature = "server")]
pub use signer::Signer;

/// Parsers of outside bytes, for fuzzing: each must refuse or accept, and never
/// panic.
pub mod fuzz {
    /// The body of POST /v1/appraise: the nonce and the binding of what is to
    /// be judged.
    pub fn request(bytes: &[u8]) -> Option<(Vec<u8>, [u8; 64])> {
        let asked = crate::request::parse(bytes).ok()?;
        Some((asked.nonce, *asked.binding.as_bytes()))
    }
}
