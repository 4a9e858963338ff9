//! The network as a client sees it: over loopback, with a backend that does as
//! it is told.
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod flow;
mod messages;
mod refusals;
mod restart;
mod uploads;
