//! An enclave in software: quotes of version 3 under a software platform's
//! keys, with collateral of the kind that enclaves have.

use crate::pki::Pki;
use soundproof_attester::{
    AttestError,
    software::{Profile, Tee},
};
use soundproof_evidence::{
    Hex, Policy,
    policy::{Anchor, DcapRules, Platforms, Release, SgxRules, Software, TrustRules},
    sgx::Measurements,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
    trust::TrustConfiguration,
};

/// See the module.
pub struct Enclave {
    /// The machine under it, and its keys.
    pub pki: Pki,
    /// What its quotes carry.
    pub measurements: Measurements,
}

impl Enclave {
    /// A sound one, on a machine that is up to date at
    /// [`NOW_MS`](crate::pki::NOW_MS).
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn sound() -> Result<Self, AttestError> {
        Self::on(Profile::default())
    }

    /// One on another machine.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn on(profile: Profile) -> Result<Self, AttestError> {
        let mut attributes = [0; 16];
        // INIT and MODE64BIT; x87, SSE, AVX.
        attributes[0] = 0b101;
        attributes[8] = 0b111;
        Ok(Self {
            pki: Pki::of(&Profile {
                tee: Tee::Sgx,
                ..profile
            })?,
            measurements: Measurements {
                mrenclave: Hex([0xe0; 32]),
                mrsigner: Hex([0xe1; 32]),
                isv_prod_id: 7,
                isv_svn: 3,
                attributes: Hex(attributes),
                misc_select: Hex([0; 4]),
                config_id: Hex([0; 64]),
                config_svn: 0,
                isv_ext_prod_id: Hex([0; 16]),
                isv_family_id: Hex([0; 16]),
            },
        })
    }

    /// Evidence of its kind.
    pub fn evidence(&self, report_data: &[u8; 64]) -> Evidence {
        Evidence {
            platform: Platform::SoftwareSgx,
            statement: Bytes(
                self.pki
                    .platform
                    .sign_enclave(&self.measurements, report_data),
            ),
            event_log: None,
            gpu: None,
            runtime: None,
        }
    }

    /// The machine's endorsements.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn endorsements(&self) -> Result<Endorsements, AttestError> {
        let mut endorsements = self.pki.endorsements()?;
        endorsements.platform = Platform::SoftwareSgx;
        Ok(endorsements)
    }

    /// A policy that accepts exactly this enclave and trust configuration.
    ///
    /// # Errors
    /// [`AttestError::Make`].
    pub fn policy(&self, trust: &TrustConfiguration) -> Result<Policy, AttestError> {
        let anchor_pem = Anchor::from_pem(self.pki.platform.anchor_pem()).map_err(|error| {
            AttestError::Make {
                what: "policy",
                why: error.to_string(),
            }
        })?;
        let rules = SgxRules {
            dcap: DcapRules {
                any_machine: true,
                ..DcapRules::default()
            },
        };
        Ok(Policy {
            platform: Platforms {
                software_sgx: Some(Software { anchor_pem, rules }),
                ..Platforms::default()
            },
            trust: TrustRules::exactly(trust),
            release: vec![Release {
                name: "this one".into(),
                software_sgx: Some(self.measurements),
                ..Release::default()
            }],
            ..Policy::default()
        })
    }
}
