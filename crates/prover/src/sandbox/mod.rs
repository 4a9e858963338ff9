//! The cage that a prover puts itself into before it reads its first byte.

mod level;

pub use level::{Layer, SandboxLevel};
