//! The trustworthiness vector of a verdict (draft-ietf-rats-ar4si-10, section
//! 2.3): eight claims, each one number, of which the worst that was noted
//! stands. What was not looked at makes no claim.

use crate::reason::Reason;
use serde::{Deserialize, Serialize};

/// What a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    InstanceIdentity,
    Configuration,
    Executables,
    Hardware,
    RuntimeOpaque,
    SourcedData,
}

/// How far a claim, or all of them, can be relied on (section 2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nothing is claimed.
    None,
    /// It can be relied on.
    Affirming,
    /// It can, with a reservation.
    Warning,
    /// It cannot.
    Contraindicated,
}

impl Tier {
    /// Of a claim's value.
    pub const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            2..=31 | -32..=-2 => Self::Affirming,
            32..=95 | -96..=-33 => Self::Warning,
            96..=127 | -128..=-97 => Self::Contraindicated,
        }
    }
}

/// See the module. Values are those of section 2.3.4; none: no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TrustVector {
    /// Which machine: 2 one that the policy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_identity: Option<i8>,
    /// What the operator has set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<i8>,
    /// What runs: 3 what a release of the policy's booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executables: Option<i8>,
    /// Files. Nothing here judges any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system: Option<i8>,
    /// The machine's hardware and firmware: 2 genuine and up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware: Option<i8>,
    /// Whether the host sees memory: 2 it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_opaque: Option<i8>,
    /// Stored secrets. Nothing here judges any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_opaque: Option<i8>,
    /// Other attesters, such as GPUs: 2 each was appraised and affirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sourced_data: Option<i8>,
}

impl TrustVector {
    fn all(&self) -> [Option<i8>; 8] {
        [
            self.instance_identity,
            self.configuration,
            self.executables,
            self.file_system,
            self.hardware,
            self.runtime_opaque,
            self.storage_opaque,
            self.sourced_data,
        ]
    }

    /// The tier of the worst claim.
    pub fn worst(&self) -> Tier {
        self.all()
            .into_iter()
            .flatten()
            .map(Tier::of)
            .max()
            .unwrap_or(Tier::None)
    }

    /// Whether no claim is made.
    pub fn is_empty(&self) -> bool {
        self.all().into_iter().flatten().next().is_none()
    }

    /// Notes a claim; a worse one stays (section 2.3.3).
    pub(crate) fn note(&mut self, claim: Claim, value: i8) {
        let slot = match claim {
            Claim::InstanceIdentity => &mut self.instance_identity,
            Claim::Configuration => &mut self.configuration,
            Claim::Executables => &mut self.executables,
            Claim::Hardware => &mut self.hardware,
            Claim::RuntimeOpaque => &mut self.runtime_opaque,
            Claim::SourcedData => &mut self.sourced_data,
        };
        if slot.is_none_or(|old| Tier::of(old) < Tier::of(value)) {
            *slot = Some(value);
        }
    }

    /// What a failed check says.
    pub(crate) fn note_failure(&mut self, reason: Reason) {
        use Claim::{
            Configuration, Executables, Hardware, InstanceIdentity, RuntimeOpaque, SourcedData,
        };
        let claims: &[(Claim, i8)] = match reason {
            // Cryptographic validation has failed.
            Reason::AnchorMismatch
            | Reason::CertificateInvalid
            | Reason::QuoteSignature
            | Reason::CollateralSignature
            | Reason::QuotingEnclave
            | Reason::QuoteUnverified => &[(Hardware, 99), (Executables, 99), (RuntimeOpaque, 99)],
            Reason::CertificateRevoked => &[(InstanceIdentity, 96), (Hardware, 96)],
            Reason::MachineRefused | Reason::MachineUnspecified | Reason::FmspcRefused => {
                &[(InstanceIdentity, 97)]
            }
            Reason::PlatformNotAccepted | Reason::PlatformUnknown => &[(Hardware, 97)],
            Reason::TcbRevoked
            | Reason::TcbLevelUnknown
            | Reason::TcbStatusRefused
            | Reason::TcbBelowMinimum
            | Reason::TcbUnspecified
            | Reason::TcbInconsistent
            | Reason::FirmwareProvisional
            | Reason::PlatformInfoRefused
            | Reason::AdvisoryRefused
            | Reason::ModuleRefused => &[(Hardware, 96)],
            // Nothing could be concluded.
            Reason::CollateralExpired
            | Reason::CollateralNotYetValid
            | Reason::CollateralTooOld
            | Reason::TcbEvaluationOld
            | Reason::EndorsementsMalformed
            | Reason::EndorsementsPlatform
            | Reason::SignerMismatch
            | Reason::ChipMismatch
            | Reason::ProductMismatch
            | Reason::TcbCertificate
            | Reason::RevocationListMissing
            | Reason::DocumentTooOld
            | Reason::AnchorUnnamed => &[(Hardware, 1)],
            Reason::VlekRefused => &[(InstanceIdentity, 97)],
            Reason::VmplRefused => &[(Executables, 97)],
            Reason::DebugEnabled | Reason::AttributesRefused | Reason::GuestPolicyRefused => {
                &[(RuntimeOpaque, 96)]
            }
            Reason::ReleaseUnknown => &[(Executables, 33)],
            Reason::GpuSignature | Reason::GpuManifestSignature => &[(SourcedData, 99)],
            Reason::GpuUnattested
            | Reason::GpuNotAccepted
            | Reason::GpuTwice
            | Reason::GpuNonce
            | Reason::GpuFirmware
            | Reason::GpuArchitecture
            | Reason::GpuMode
            | Reason::GpuVersion
            | Reason::GpuMeasurements => &[(SourcedData, 96)],
            // Nothing could be concluded.
            Reason::GpuManifestMissing
            | Reason::GpuRevocationUnknown
            | Reason::ResultMissing
            | Reason::ResultMalformed
            | Reason::ResultAlgorithm
            | Reason::ResultSignature
            | Reason::ResultIssuer
            | Reason::ResultAudience
            | Reason::ResultExpired
            | Reason::ResultNotYetValid => &[(SourcedData, 1)],
            Reason::ResultClaims => &[(SourcedData, 96)],
            Reason::AzureRuntimeData | Reason::TpmSignature => {
                &[(Hardware, 99), (Executables, 99), (RuntimeOpaque, 99)]
            }
            Reason::TpmRegisters => &[(Executables, 99)],
            Reason::AzureSecureBoot | Reason::AzureConfiguration => &[(Configuration, 96)],
            Reason::AzureConsole => &[(RuntimeOpaque, 96)],
            Reason::EventLogReplay | Reason::EventLogDigest | Reason::IdentityRefused => {
                &[(Executables, 99)]
            }
            Reason::BootChainRefused | Reason::MrConfigRefused => &[(Executables, 96)],
            Reason::SecureBootOff
            | Reason::ComposeShows
            | Reason::KeyProviderRefused
            | Reason::KeyProviderUnspecified => &[(Configuration, 96)],
            Reason::InstanceRefused => &[(InstanceIdentity, 97)],
            Reason::TrustVersion
            | Reason::ProverNone
            | Reason::ProverUnknown
            | Reason::SandboxUnspecified
            | Reason::SandboxLayerMissing
            | Reason::DelegationRefused
            | Reason::DurableRefused
            | Reason::GpuRefused
            | Reason::TelemetryRefused
            | Reason::DangerRefused
            | Reason::SwapRefused
            | Reason::Sp1DirectRefused => &[(Configuration, 96)],
            _ => &[],
        };
        for (claim, value) in claims {
            self.note(*claim, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worse_claim_stays() {
        let mut vector = TrustVector::default();
        assert!(vector.is_empty());
        assert_eq!(vector.worst(), Tier::None);
        for (value, stands) in [
            (1, 1),
            (2, 2),
            (3, 2),
            (32, 32),
            (2, 32),
            (99, 99),
            (96, 99),
        ] {
            vector.note(Claim::Hardware, value);
            assert_eq!(vector.hardware, Some(stands));
        }
        assert_eq!(vector.worst(), Tier::Contraindicated);
    }

    #[test]
    fn tiers_are_those_of_the_draft() {
        for value in i8::MIN..=i8::MAX {
            let tier = match i16::from(value) {
                -1..=1 => Tier::None,
                2..=31 | -32..=-2 => Tier::Affirming,
                32..=95 | -96..=-33 => Tier::Warning,
                _ => Tier::Contraindicated,
            };
            assert_eq!(Tier::of(value), tier);
        }
    }
}
