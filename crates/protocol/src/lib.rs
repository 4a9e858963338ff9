//! What every party of Soundproof agrees on: the messages, and the digests
//! that tie them together. No I/O, no clock, no randomness; builds for wasm.
//!
//! | module | what |
//! |---|---|
//! | [`cbor`] | the one encoding: deterministic CBOR (RFC 8949, 4.2) |
//! | [`digest`], [`id`] | SHA-256 digests; job, session and instance ids |
//! | [`suite`] | HPKE suites, as code points |
//! | [`transcript`], [`merkle`], [`binding`] | from a client's nonce to the bytes that hardware signs |
//! | [`attestation`] | evidence and endorsements, as carried |
//! | [`trust`] | the trust configuration |
//! | [`description`] | the job description |
//! | [`mode`] | kinds of proof, and what a client must know of each |
//! | [`sealed`] | layout of a sealed input: header, chunks, parts |
//! | [`outcome`], [`receipt`], [`ticket`] | what comes back, what proves it, who may fetch it |
//! | [`error`] | every failure's code, whose fault it is, and whether trying again helps |
//! | [`api`] | the HTTP API's bodies |
//! | [`link`] | what keeper and gateway say to each other |
#![forbid(unsafe_code)]

pub mod api;
pub mod attestation;
pub mod binding;
pub mod cbor;
pub mod description;
pub mod digest;
pub mod error;
pub mod id;
pub mod link;
pub mod merkle;
pub mod mode;
pub mod outcome;
pub mod receipt;
pub mod sealed;
pub mod suite;
pub mod ticket;
pub mod transcript;
pub mod trust;

/// Version of every format in this crate. A peer that names another one is
/// refused with [`error::Code::VersionUnsupported`].
pub const PROTOCOL_VERSION: u16 = 1;
