//! Fetching against stand-ins on loopback. Time is passed in; nothing depends
//! on how fast this machine is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cache;
mod fetching;
mod files;
mod gpu;
mod holdings;
mod kds;
mod nvidia;
mod refresh;
mod world;
