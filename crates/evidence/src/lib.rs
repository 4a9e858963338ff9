//! Judges evidence (RFC 9334): a verdict is a pure function of evidence, the
//! binding expected, endorsements, policy and time. No I/O, no clock, no
//! randomness; the same in the enclave, the command line and the browser.
//!
//! | module | what |
//! |---|---|
//! | [`session`] | from a session's transcript to the binding that its evidence must carry |
//! | [`policy`] | what a client accepts, as TOML; an empty policy accepts nothing |
//! | [`tdx`] | Intel TDX: a trust domain's quote, v4 and v5 |
//! | [`ccel`] | a firmware's event log, beside a trust domain's quote |
//! | [`dstack`] | a trust domain's quote with dstack's event log and compose file |
//! | [`sgx`] | Intel SGX: an enclave's quote |
//! | [`dcap`] | Intel's certificates and collateral, shared by what carries its quotes |
//! | [`snp`] | AMD SEV-SNP: a guest's report, versions 2 to 5 |
//! | [`nitro`] | AWS Nitro Enclaves: an attestation document |
//! | [`azure`] | Azure's confidential VMs: TDX or SEV-SNP behind a paravisor and a virtual TPM |
//! | [`gpu`] | NVIDIA GPUs beside a processor |
//! | [`tpm`] | what a TPM signs |
//! | [`jwt`] | attestation results of others, as signed tokens |
//! | [`x509`] | vendors' certificate chains and revocation lists |
//! | [`verdict`], [`reason`], [`vector`] | what came out, one line a check |
//! | [`container`], [`parts`] | what a file holds; parts of evidence by themselves |
//! | [`ear`] | a verdict as a signed attestation result |
//! | [`measure`] | what a deployment will measure, before there is one |
//! | [`seen`] | what may never go back: the highest TCB evaluation seen |
//!
//! ```no_run
//! # fn f(session: soundproof_protocol::receipt::SessionEvidence, toml: &str, now_ms: u64) -> Result<(), Box<dyn std::error::Error>> {
//! use soundproof_evidence::{Policy, appraise, verify_session};
//!
//! let policy = Policy::from_toml(toml)?;
//! let (transcript, binding) = verify_session(&session)?;
//! // compare transcript.nonce with the nonce that was sent
//! let trust = soundproof_protocol::trust::TrustConfiguration::from_slice(&session.trust.0)?;
//! let verdict = appraise(&session.evidence, &session.endorsements, &binding, &trust, &policy, now_ms);
//! let accepted = verdict.accept().map_err(|rejected| rejected.to_string())?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod appraise;
pub mod azure;
mod bytes;
pub mod ccel;
pub mod container;
mod cursor;
pub mod dcap;
pub mod dstack;
pub mod ear;
#[doc(hidden)]
pub mod fuzz;
pub mod gpu;
mod json;
pub mod jwt;
mod machine;
pub mod measure;
mod module;
pub mod nitro;
pub mod parts;
pub mod policy;
mod reader;
pub mod reason;
mod refusal;
mod results;
pub mod seen;
pub mod session;
pub mod sgx;
pub mod snp;
pub mod tdx;
pub mod tpm;
mod trust;
pub mod vector;
pub mod verdict;
pub mod x509;

pub use appraise::{SOFTWARE_WARNING, appraise, examine, explain, explain_under};
pub use bytes::Hex;
pub use policy::{Policy, PolicyError};
pub use reason::Reason;
pub use session::{SessionError, verify_session};
pub use tdx::Measurements;
pub use verdict::{Accepted, Check, Facts, Outcome, Verdict};
