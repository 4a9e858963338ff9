//! For tests only: a dev-dependency of other crates, never part of a product.
//!
//! | module | what |
//! |---|---|
//! | [`fakes`] | fakes of the interfaces that hardware platforms attest through, and of the services that endorse them |
//! | [`pki`] | software platforms in a temporary folder, sound or with one fault |
//! | [`dstack`], [`sgx`] | a guest of dstack's and an enclave, under a software platform's keys |
//! | [`ccel`] | CC event logs, true or not |
//! | [`gpu`] | GPUs in NVIDIA's format: reports, certificates, manifests, revocation, results |
//! | [`azure`] | Azure's runtime data and virtual TPM |
//! | [`jwt`] | tokens and key sets |
//! | [`gpu`] | GPUs in NVIDIA's format: reports, certificates, manifests, revocation, results |
//! | [`azure`] | Azure's runtime data and virtual TPM |
//! | [`jwt`] | tokens and key sets |
//! | [`dstack`], [`sgx`] | a guest of dstack's and an enclave, under a software platform's keys |
//! | [`ccel`] | CC event logs, true or not |
//! | [`session`] | a session's transcript, tree, evidence and trust configuration, ready to be judged |
//! | [`server`] | a running `soundproofd`, its children, its logs; kills by pid |
//! | [`secrets`] | searches bytes, folders and processes' memory for a secret in every form that it might leak in |
//! | [`snp`], [`nitro`] | SEV-SNP and Nitro evidence under PKIs of their own, with any fault |
//! | [`x509`], [`der`] | vendor-like certificate chains and revocation lists, with any fault |
#![forbid(unsafe_code)]

pub mod azure;
pub mod ccel;
pub mod der;
pub mod dstack;
pub mod fakes;
pub mod gpu;
pub mod jwt;
pub mod nitro;
pub mod pki;
pub mod secrets;
pub mod server;
pub mod session;
pub mod sgx;
pub mod snp;
pub mod x509;
