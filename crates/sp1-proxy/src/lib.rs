//! The SP1 SDK's dialects over the client library: what `soundproof connect`
//! is made of, and, without the listener, the direct path too.
//!
//! | part | what |
//! |---|---|
//! | [`Standing`] | keeps an accepted session, or says why everything is refused |
//! | [`ClientBackend`] | proves, over the client library |
//! | [`Receipts`] | keeps what came with the proofs: public |
//! | `Proxy`, `Door` | the listener on loopback, for its own user only (feature `serve`) |
//!
//! It holds inputs and proofs in memory, and writes nothing but receipts.
#![forbid(unsafe_code)]

mod backend;
#[cfg(feature = "serve")]
mod guard;
#[cfg(all(feature = "serve", target_os = "linux"))]
mod peer;
#[cfg(feature = "serve")]
mod proxy;
mod receipts;
#[cfg(feature = "serve")]
mod serve;
mod standing;

pub use backend::ClientBackend;
#[cfg(feature = "serve")]
pub use guard::Token;
#[cfg(feature = "serve")]
pub use proxy::{Proxy, ProxyError, Settings};
pub use receipts::{Kept, Receipts};
#[cfg(feature = "serve")]
pub use serve::Door;
pub use soundproof_sp1_network::{Mode, Offers, Refusal};
pub use standing::{Rhythm, Standing};
