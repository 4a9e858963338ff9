//! Behaviour through the public interface; one executable, so that it is
//! linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // also in what tests share

mod appraisal;
mod captured;
mod common;
mod containers;
mod ear;
mod golden;
mod policy;
mod properties;
mod rules;
mod session;
mod speed;
mod x509;
