//! What a client accepts. An empty policy accepts nothing; an unknown key is
//! an error; no key can accept a debuggable enclave or name a hardware
//! platform's trust anchor (those are compiled in).
//!
//! ```toml
//! [platform.tdx]                      # Intel TDX, under Intel's root
//!
//! [platform.software]                 # development only
//! anchor_pem = "-----BEGIN CERTIFICATE-----…"
//!
//! [tcb]
//! statuses = ["UpToDate"]             # the default
//! advisories = ["INTEL-SA-00837"]     # accepted although they apply
//!
//! [freshness]
//! max_collateral_age_s = 2592000      # the default: 30 days
//! min_tcb_evaluation = 17
//!
//! [identity]                          # optional: these machines only
//! fmspc = ["b0c06f000000"]
//! ppid = ["00112233445566778899aabbccddeeff"]
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

use crate::{bytes::Hex, quote::Measurements, tdx};
use der::{DecodePem as _, Encode as _};
use serde::{Deserialize, Serialize};
use soundproof_protocol::{attestation::Platform, digest::Digest, trust::TrustConfiguration};

/// Bytes of a policy at most.
pub const MAX_POLICY: usize = 256 * 1024;
/// Age of TCB info and QE identity that is accepted unless the policy says
/// otherwise, in seconds: 30 days, for which Intel signs them.
pub const DEFAULT_COLLATERAL_AGE_S: u64 = 30 * 24 * 3600;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Platforms that are accepted.
    pub platform: Platforms,
    /// States of a platform's TCB that are accepted.
    pub tcb: TcbRules,
    /// How old collateral may be.
    pub freshness: Freshness,
    /// Which machines.
    pub identity: Identity,
    /// What the operator may have set.
    pub trust: TrustRules,
    /// Releases that are accepted.
    pub release: Vec<Release>,
}

/// Platforms: a table that is there accepts its platform.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Platforms {
    /// The software platform. Protects nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<SoftwarePlatform>,
    /// Intel TDX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tdx: Option<TdxPlatform>,
}

/// `[platform.software]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftwarePlatform {
    /// Its root certificate.
    pub anchor_pem: Anchor,
}

/// `[platform.tdx]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxPlatform {}

/// A software platform's root certificate. Never that of a hardware vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Anchor {
    pem: String,
    der: Vec<u8>,
}

impl Anchor {
    /// From PEM, one certificate.
    ///
    /// # Errors
    /// [`PolicyError::Anchor`].
    pub fn from_pem(pem: &str) -> Result<Self, PolicyError> {
        let certificate = x509_cert::Certificate::from_pem(pem)
            .map_err(|_| PolicyError::Anchor("it is not one X.509 certificate in PEM"))?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        if tdx::is_intel_root_key(key.subject_public_key.raw_bytes()) {
            return Err(PolicyError::Anchor(
                "it is a hardware vendor's root; use [platform.tdx]",
            ));
        }
        let der = certificate
            .to_der()
            .map_err(|_| PolicyError::Anchor("it is not one X.509 certificate in PEM"))?;
        Ok(Self {
            pem: pem.to_owned(),
            der,
        })
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl TryFrom<String> for Anchor {
    type Error = PolicyError;

    fn try_from(pem: String) -> Result<Self, PolicyError> {
        Self::from_pem(&pem)
    }
}

impl From<Anchor> for String {
    fn from(anchor: Anchor) -> Self {
        anchor.pem
    }
}

/// A TCB status that a policy may accept. `Revoked` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // Intel's names
pub enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
}

impl TcbStatus {
    /// Intel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SWHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSWHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TDRelaunchAdvised => "TDRelaunchAdvised",
            Self::TDRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
        }
    }
}

/// `[tcb]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcbRules {
    /// Accepted statuses.
    pub statuses: Vec<TcbStatus>,
    /// Advisories that are accepted although they apply.
    pub advisories: Vec<String>,
}

impl Default for TcbRules {
    fn default() -> Self {
        Self {
            statuses: vec![TcbStatus::UpToDate],
            advisories: Vec::new(),
        }
    }
}

/// `[freshness]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// Seconds since the older of TCB info and QE identity was issued, at
    /// most.
    pub max_collateral_age_s: u64,
    /// `tcbEvaluationDataNumber` of TCB info and QE identity, at least.
    pub min_tcb_evaluation: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            max_collateral_age_s: DEFAULT_COLLATERAL_AGE_S,
            min_tcb_evaluation: 0,
        }
    }
}

/// `[identity]`: a list that is there is a list of all that are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Machine families.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmspc: Option<Vec<Hex<6>>>,
    /// Machines, by Platform Provisioning ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppid: Option<Vec<Hex<16>>>,
}

/// `[trust]`: what is not named is not accepted, but for
/// [`sp1_direct`](Self::sp1_direct).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustRules {
    /// Sandbox layers that are required. Must be said, even if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Vec<String>>,
    /// Digests of delegation policies that are accepted.
    pub delegation: Vec<Digest>,
    /// Scopes of durable keys that are accepted.
    pub durable: Vec<String>,
    /// Whether secrets may be put on a GPU.
    pub gpu: bool,
    /// Telemetry sinks that are accepted.
    pub telemetry: Vec<String>,
    /// `danger` options that are accepted.
    pub danger: Vec<String>,
    /// Whether the system may have swap.
    pub swap: bool,
    /// Whether the server may also take SP1 jobs straight from clients that
    /// appraise nothing. Accepted by default: what other clients sealed does
    /// not pass there.
    pub sp1_direct: bool,
    /// Prover executables that are accepted.
    pub prover: Vec<Prover>,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self {
            sandbox: None,
            delegation: Vec::new(),
            durable: Vec::new(),
            gpu: false,
            telemetry: Vec::new(),
            danger: Vec::new(),
            swap: false,
            sp1_direct: true,
            prover: Vec::new(),
        }
    }
}

impl TrustRules {
    /// Rules that accept what `trust` says, and nothing weaker.
    pub fn exactly(trust: &TrustConfiguration) -> Self {
        Self {
            sandbox: Some(trust.sandbox.clone()),
            delegation: trust.delegation.into_iter().collect(),
            durable: trust.durable_scope.iter().cloned().collect(),
            gpu: trust.gpu,
            telemetry: trust.telemetry.clone(),
            danger: trust.danger.clone(),
            swap: trust.swap,
            sp1_direct: trust.sp1_direct,
            prover: trust
                .provers
                .iter()
                .map(|prover| Prover {
                    system: prover.system.clone(),
                    executable: prover.executable,
                })
                .collect(),
        }
    }
}

/// `[[trust.prover]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prover {
    /// Proof system.
    pub system: String,
    /// SHA-256 of the executable.
    pub executable: Digest,
}

/// `[[release]]`: complete tuples of measurements, one a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What the verdict calls it.
    pub name: String,
    /// On the software platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<Measurements>,
    /// On Intel TDX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tdx: Option<Measurements>,
}

impl Release {
    pub(crate) fn measurements(&self, platform: Platform) -> Option<&Measurements> {
        match platform {
            Platform::Software => self.software.as_ref(),
            Platform::Tdx => self.tdx.as_ref(),
            _ => None,
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
    /// A release that names no platform's measurements.
    #[error("release {0:?} names no measurements")]
    EmptyRelease(String),
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
            .find(|release| release.software.is_none() && release.tdx.is_none())
        {
            return Err(PolicyError::EmptyRelease(empty.name.clone()));
        }
        Ok(policy)
    }

    /// Writes one, every key that has a value in it.
    ///
    /// # Errors
    /// [`PolicyError::Toml`], for a value that TOML cannot hold: an age above
    /// 2^63 seconds.
    pub fn to_toml(&self) -> Result<String, PolicyError> {
        toml::to_string_pretty(self).map_err(|error| PolicyError::Toml(error.to_string()))
    }

    pub(crate) fn accepts_platform(&self, platform: Platform) -> bool {
        match platform {
            Platform::Software => self.platform.software.is_some(),
            Platform::Tdx => self.platform.tdx.is_some(),
            _ => false,
        }
    }
}
