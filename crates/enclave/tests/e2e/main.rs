//! The real processes, end to end: `soundproofd`, gateway and provers on the
//! software platform, and the client library against them. The executables
//! must be built; `cargo xtask test` does that.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout
)]

mod bad_input;
mod collector;
mod crashes;
mod large;
mod machine;
mod secrets;
mod sessions;
mod sp1_connect;
mod sp1_direct;
mod sp1_sdk;
mod whole_path;
mod world;
