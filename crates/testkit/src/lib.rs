//! For tests only: a dev-dependency of other crates, never part of a product.
//!
//! | module | what |
//! |---|---|
//! | [`pki`] | software platforms in a temporary folder, sound or with one fault |
//! | [`session`] | a session's transcript, tree, evidence and trust configuration, ready to be judged |
//! | [`server`] | a running `soundproofd`, its children, its logs; kills by pid |
//! | [`fakes`] | stand-ins for services outside: collateral |
//! | [`secrets`] | searches bytes, folders and processes' memory for a secret in every form that it might leak in |
//! | [`x509`], [`der`] | vendor-like certificate chains and revocation lists, with any fault |
#![forbid(unsafe_code)]

pub mod der;
pub mod fakes;
pub mod pki;
pub mod secrets;
pub mod server;
pub mod session;
pub mod x509;
