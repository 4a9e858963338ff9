//! Behaviour through the public interface; one executable, so that it is
//! linked once.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // also in what tests share

mod appraisal;
mod azure;
mod azure_vm;
mod bodies;
mod captured;
mod captured_gpu;
mod captured_logs;
mod captured_snp_nitro;
mod ccel;
mod common;
mod containers;
mod containers_azure;
mod dstack;
mod ear;
mod golden;
mod gpu;
mod gpu_endorsements;
mod gpu_policy;
mod jwt;
mod mutation;
mod nitro;
mod policies_intel;
mod policy;
mod properties;
mod rules;
mod session;
mod sgx;
mod snp;
mod speed;
mod vectors;
mod vendors;
mod x509;
