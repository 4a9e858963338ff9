//! Verification of finished proofs: one module a proof system.
//!
//! Everything here is a pure function of bytes: no I/O, no clock, no
//! randomness, no threads. The same code runs in the enclave (before a proof is
//! released), in the client library (when it arrives), in the command line and
//! in a browser.
//!
//! What is parsed here is public: verifying keys, proofs, public values. The
//! errors may name what was wrong, but a proof or public value that has not
//! been released yet is still secret, so they never quote it.

pub mod groth16;
