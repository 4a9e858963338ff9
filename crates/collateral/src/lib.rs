//! Fetches endorsements (collateral) over the network and keeps them. It runs
//! where the network is, in the gateway and in the command line, and is
//! trusted with nothing: whoever judges evidence verifies endorsements again,
//! by the same code as if they had come from a stranger. What is checked here
//! (that a document is of the right machine, within its dates, signed by the
//! key beside it) is there so that a source that is broken is passed over for
//! the next one.
//!
//! | module | what |
//! |---|---|
//! | [`target`] | what to fetch: typed values, from evidence or from a person |
//! | [`config`] | sources, limits, times |
//! | `http`, `fault` | one bounded request, and what can be wrong with its answer |
//! | `pcs`, `kds`, [`nvidia`] | Intel's, AMD's and NVIDIA's services |
//! | `gpu` | what a session's GPUs need, put together |
//! | [`item`] | what was fetched, and from when until when it holds |
//! | `cache` | items on disk, checked when read |
//! | `holdings` | how items on a disk are, for a person who asks |
//! | [`service`] | fallback, retries, refreshing, what is said when offline |
//! | [`bundle`] | endorsements in a file, for machines without a network |
//!
//! No URL is ever taken from evidence, a certificate or an answer: they are
//! made from templates here, the operator's base URLs, and typed values.
//! Time is passed in, in milliseconds since 1970.
#![forbid(unsafe_code)]

pub mod bundle;
mod cache;
pub mod config;
mod fault;
#[doc(hidden)]
pub mod fuzz;
mod gpu;
mod holdings;
mod http;
pub mod item;
mod kds;
pub mod nvidia;
mod pcs;
pub mod service;
mod source;
pub mod target;

pub use bundle::Bundle;
pub use config::{CollateralConfig, Evaluation, Kind, SourceConfig};
pub use fault::{Attempt, CollateralError, Fault};
pub use holdings::{Condition, Holdings};
pub use item::{Item, Window};
pub use service::{Collateral, Fetched, Figures, Held, Status};
pub use target::{Target, TargetError};
