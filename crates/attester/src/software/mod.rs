//! The software platform: TDX v4 quotes, well formed to the last byte, signed
//! under keys that lie in a folder. For development: NO HARDWARE PROTECTS
//! ANYTHING. Verifiers judge it by the same path as a real quote, with the
//! trust anchor swapped; it is never chosen automatically, and nothing turns
//! it into a hardware platform.
//!
//! It may touch one folder, which its caller names, and sleep as long as its
//! caller says.

mod collateral;
mod keys;
mod measured;
mod pki;
mod profile;
mod quote;

pub use measured::Measured;
pub use profile::{ADVISORY, DAY_S, DEBUG, Profile, SEPT_VE_DISABLE, Tee};

use crate::{AttestError, Attester};
use soundproof_evidence::{
    Measurements, Policy,
    policy::{Anchor, DcapRules, Platforms, Release, Software, TdxRules, TrustRules},
    sgx,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
    trust::TrustConfiguration,
};
use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Name of the file that holds the trust anchor, in PEM.
pub const ANCHOR_FILE: &str = "anchor.pem";

/// How it behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How long one quote takes; quotes are made one at a time, as hardware
    /// makes them.
    pub quote_delay: Duration,
}

/// See the module.
pub struct SoftwarePlatform {
    signer: quote::Signer,
    measurements: Measurements,
    endorsements: Endorsements,
    anchor_pem: String,
    anchor_der: Vec<u8>,
    options: Options,
    device: Mutex<()>,
    quotes: AtomicU64,
}

impl SoftwarePlatform {
    /// Opens the platform whose keys lie in `dir`, or makes the folder and
    /// keys. The anchor stays the same for as long as the keys do, and is
    /// written to [`ANCHOR_FILE`] in it. Certificates and collateral are made
    /// anew, valid from a day before `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn open_or_create(
        dir: &Path,
        measured: &Measured,
        options: Options,
        now_ms: u64,
    ) -> Result<Self, AttestError> {
        Self::with_profile(dir, measured, options, &Profile::default(), now_ms)
    }

    /// One whose quotes and collateral say what `profile` says, for tests of
    /// verifiers.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn with_profile(
        dir: &Path,
        measured: &Measured,
        options: Options,
        profile: &Profile,
        now_ms: u64,
    ) -> Result<Self, AttestError> {
        let keys = keys::open_or_create(dir)?;
        let pki = pki::Pki::make(&keys, profile, now_ms)?;
        let collateral = collateral::make(&keys, &pki, profile, now_ms)?;
        let body = serde_json::to_vec(&collateral).map_err(|error| AttestError::Make {
            what: "collateral",
            why: error.to_string(),
        })?;
        write_anchor(dir, &pki.root_pem)?;
        Ok(Self {
            signer: quote::Signer::new(&keys, &pki, profile),
            measurements: measured.measurements(profile),
            endorsements: Endorsements::new(Platform::Software, body),
            anchor_pem: pki.root_pem,
            anchor_der: pki.root_der,
            options,
            device: Mutex::new(()),
            quotes: AtomicU64::new(0),
        })
    }

    /// The trust anchor, as a policy names it.
    pub fn anchor_pem(&self) -> &str {
        &self.anchor_pem
    }

    /// The trust anchor.
    pub fn anchor_der(&self) -> &[u8] {
        &self.anchor_der
    }

    /// The measurements that its quotes carry.
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// What a policy's `[[release]]` says to accept exactly this.
    pub fn release(&self, name: impl Into<String>) -> Release {
        Release {
            name: name.into(),
            software: Some(self.measurements),
            ..Release::default()
        }
    }

    /// A policy that accepts exactly this platform, these measurements and
    /// this trust configuration.
    ///
    /// # Errors
    /// [`AttestError::Make`], if the anchor cannot stand in a policy.
    pub fn policy(
        &self,
        name: impl Into<String>,
        trust: &TrustConfiguration,
    ) -> Result<Policy, AttestError> {
        let anchor_pem = Anchor::from_pem(&self.anchor_pem).map_err(|error| AttestError::Make {
            what: "policy",
            why: error.to_string(),
        })?;
        // There is no machine to name.
        let rules = TdxRules {
            dcap: DcapRules {
                any_machine: true,
                ..DcapRules::default()
            },
            ..TdxRules::default()
        };
        Ok(Policy {
            platform: Platforms {
                software: Some(Software { anchor_pem, rules }),
                ..Platforms::default()
            },
            trust: TrustRules::exactly(trust),
            release: vec![self.release(name)],
            ..Policy::default()
        })
    }

    /// A quote, version 4, of a trust domain with any measurements, for tests
    /// of verifiers.
    pub fn sign_domain(&self, measurements: &Measurements, report_data: &[u8; 64]) -> Vec<u8> {
        self.signer.domain(measurements, report_data)
    }

    /// Likewise, version 5. `tail`: what follows a TD report 1.0 in the body;
    /// nothing, 64 bytes (TD report 1.5) or 301 (its extended form).
    pub fn sign_domain_v5(
        &self,
        measurements: &Measurements,
        report_data: &[u8; 64],
        tail: &[u8],
    ) -> Vec<u8> {
        self.signer.domain_v5(measurements, report_data, tail)
    }

    /// Likewise, an enclave's, version 3. Its collateral is that of a platform
    /// whose profile says [`Tee::Sgx`].
    pub fn sign_enclave(
        &self,
        measurements: &sgx::Measurements,
        report_data: &[u8; 64],
    ) -> Vec<u8> {
        self.signer.enclave(measurements, report_data)
    }

    /// How many quotes were made.
    pub fn quotes(&self) -> u64 {
        self.quotes.load(Ordering::Relaxed)
    }
}

impl Attester for SoftwarePlatform {
    fn platform(&self) -> Platform {
        Platform::Software
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        // The lock guards nothing but the device's time.
        let _device = self
            .device
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.options.quote_delay.is_zero() {
            std::thread::sleep(self.options.quote_delay);
        }
        self.quotes.fetch_add(1, Ordering::Relaxed);
        Ok(Evidence {
            platform: Platform::Software,
            statement: Bytes(self.signer.domain(&self.measurements, binding.as_bytes())),
            event_log: None,
            gpu: None,
            runtime: None,
        })
    }

    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        Ok(self.endorsements.clone())
    }
}

fn write_anchor(dir: &Path, pem: &str) -> Result<(), AttestError> {
    let path = dir.join(ANCHOR_FILE);
    if std::fs::read_to_string(&path).is_ok_and(|held| held == pem) {
        return Ok(());
    }
    std::fs::write(&path, pem).map_err(|source| AttestError::Io {
        what: format!("cannot write {}", path.display()),
        source,
    })
}

#[cfg(test)]
mod tests;
