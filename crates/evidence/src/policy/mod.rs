//! What a client accepts. An empty policy accepts nothing; an unknown key is
//! an error; no key can accept a debuggable enclave or name a hardware
//! platform's trust anchor (those are compiled in).
//!
//! ```toml
//! [platform.tdx]                      # Intel TDX, under Intel's root
//! tcb_statuses = ["UpToDate"]         # the default
//! tcb_grace_s = 1209600               # to update after a TCB recovery
//! advisories = ["INTEL-SA-00837"]     # accepted although they apply
//! advisories_denied = []              # accepted never, not in grace either
//! min_tcb_evaluation = 17
//! max_collateral_age_s = 2592000      # the default: 30 days
//! fmspc = ["b0c06f000000"]            # optional: these families only
//! ppid = ["00112233445566778899aabbccddeeff"]   # these machines only, or
//! # any_machine = true                # every one on earth; one must be said
//! [[platform.tdx.tcb_exception]]      # optional
//! name = "the vendor's BIOS is late"
//! tcb_status = "OutOfDate"
//! advisories = ["INTEL-SA-01036"]
//! until = "2027-01-31T00:00:00Z"
//!
//! [platform.software]                 # development only
//! anchor_pem = "-----BEGIN CERTIFICATE-----…"
//! [platform.software.rules]           # the same keys as [platform.tdx]
//! any_machine = true
//!
//! [freshness]
//! clock_skew_s = 120                  # the default
//!
//! [trust]
//! sandbox = ["landlock-files", "seccomp"]   # required layers
//! swap = false
//! sp1_direct = true                         # the default, see [`TrustRules`]
//! [[trust.prover]]
//! system = "groth16"
//! executable = "…64 hex digits…"
//!
//! [[release]]
//! name = "0.1.0"
//! [release.tdx]                       # the complete tuple
//! mrtd = "…96 hex digits…"
//! # mrseam, mrsignerseam, tdattributes, xfam, mrconfigid, mrowner,
//! # mrownerconfig, rtmr0, rtmr1, rtmr2, rtmr3
//! ```

mod anchor;
mod azure;
mod commented;
mod dcap;
mod dstack;
mod event_log;
mod gpu;
mod issuer;
mod nitro;
pub(crate) mod platforms;
mod review;
mod sgx;
mod snp;
mod tdx;
mod time;
mod trust;

pub use anchor::Anchor;
pub use azure::AzureRules;
pub use dcap::{DEFAULT_COLLATERAL_AGE_S, DcapRules, TcbException, TcbStatus};
pub use dstack::DstackRules;
pub use event_log::EventLogRules;
pub use gpu::{Appraisal, DriverVersion, GpuRelease, GpuRules, Revocation, VbiosVersion};
pub use issuer::Issuer;
pub use nitro::{DEFAULT_DOCUMENT_AGE_S, NitroRules};
pub use platforms::{Platforms, Release, Software, observed};
pub use review::Review;
pub(crate) use review::{Rules, span};
pub use sgx::SgxRules;
pub use snp::{ChipId, MinTcb, Protection, SnpRules};
pub use tdx::TdxRules;
pub use time::Time;
pub use trust::{Prover, TrustRules};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use soundproof_protocol::digest::Digest;
use std::collections::BTreeSet;

/// Bytes of a policy at most.
pub const MAX_POLICY: usize = 256 * 1024;
/// How far the judge's clock may be behind that of others unless the policy
/// says otherwise, in seconds.
pub const DEFAULT_CLOCK_SKEW_S: u64 = 120;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Platforms that are accepted.
    pub platform: Platforms,
    /// Time.
    pub freshness: Freshness,
    /// What the operator may have set.
    pub trust: TrustRules,
    /// NVIDIA GPUs beside the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuRules>,
    /// Software GPUs. Protect nothing.
    #[serde(rename = "software-gpu", skip_serializing_if = "Option::is_none")]
    pub software_gpu: Option<Software<GpuRules>>,
    /// Whose attestation results count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<Issuer>,
    /// Releases that are accepted.
    pub release: Vec<Release>,
}

/// `[freshness]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// How far the judge's clock may be behind that of others, in seconds:
    /// what is valid from a time on may be used so much before it. Nothing
    /// lasts longer by it.
    pub clock_skew_s: u64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            clock_skew_s: DEFAULT_CLOCK_SKEW_S,
        }
    }
}

/// Why a policy is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY`].
    #[error("policy of {0} bytes, at most {MAX_POLICY} are accepted")]
    TooLong(usize),
    /// Not TOML, an unknown key, or a value that does not fit its key; with
    /// line and column.
    #[error("{0}")]
    Toml(String),
    /// A software platform's anchor that is none.
    #[error("anchor_pem: {0}")]
    Anchor(&'static str),
    /// A software platform's anchor that is the root of a hardware platform.
    #[error("anchor_pem: it is a hardware vendor's root; use [{0}]")]
    VendorAnchor(&'static str),
    /// A release that names no platform's measurements.
    #[error("release {0:?} names no measurements")]
    EmptyRelease(String),
    /// Two releases of one name.
    #[error("two releases are called {0:?}")]
    TwiceRelease(String),
    /// Two issuers of one name.
    #[error("two issuers are called {0:?}")]
    TwiceIssuer(String),
    /// No time.
    #[error("{0:?} is no time; write it as 2026-11-20T12:00:00Z")]
    Time(String),
}

impl Policy {
    /// Reads one.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY {
            return Err(PolicyError::TooLong(text.len()));
        }
        let policy: Self =
            toml::from_str(text).map_err(|error| PolicyError::Toml(error.to_string()))?;
        if let Some(empty) = policy
            .release
            .iter()
            .find(|release| release.platforms().is_empty())
        {
            return Err(PolicyError::EmptyRelease(empty.name.clone()));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = policy.release.iter().find(|r| !names.insert(&r.name)) {
            return Err(PolicyError::TwiceRelease(twice.name.clone()));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = policy.issuer.iter().find(|i| !names.insert(&i.name)) {
            return Err(PolicyError::TwiceIssuer(twice.name.clone()));
        }
        Ok(policy)
    }

    /// What attestation results name it by: SHA-256(`soundproof/1/policy`,
    /// 0x00, its JSON). Two files that say the same have the same.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(b"soundproof/1/policy\0");
        // Numbers, strings and maps with string keys are always JSON.
        hasher.update(serde_json::to_vec(self).unwrap_or_default());
        Digest(hasher.finalize().into())
    }

    /// Writes one, every key that has a value in it.
    ///
    /// # Errors
    /// [`PolicyError::Toml`], for a value that TOML cannot hold: an age above
    /// 2^63 seconds.
    pub fn to_toml(&self) -> Result<String, PolicyError> {
        toml::to_string_pretty(self).map_err(|error| PolicyError::Toml(error.to_string()))
    }
}
