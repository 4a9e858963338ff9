//! Behaviour through the public interface; one executable, so that it is
//! linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // also in what tests share

mod appraisal;
mod azure;
mod azure_vm;
mod captured;
mod captured_gpu;
mod captured_snp_nitro;
mod common;
mod containers;
mod ear;
mod golden;
mod gpu;
mod jwt;
mod nitro;
mod policy;
mod properties;
mod rules;
mod session;
mod snp;
mod speed;
mod x509;
