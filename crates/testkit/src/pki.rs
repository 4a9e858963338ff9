//! Software platforms in a temporary folder, sound or with one fault.

use soundproof_attester::{
    AttestError, Attester as _,
    software::{DAY_S, DEBUG, Measured, Options, Profile, SoftwarePlatform},
};
use soundproof_evidence::Reason;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence},
    digest::Digest,
};
use tempfile::TempDir;

/// A time in November 2026, in milliseconds since 1970, for tests that take
/// no clock.
pub const NOW_MS: u64 = 1_795_000_000_000;
/// A day, in milliseconds.
pub const DAY_MS: u64 = DAY_S * 1000;

/// Digests that no real executable has.
pub fn measured() -> Measured {
    Measured {
        soundproofd: Digest([0xd1; 32]),
        provers: vec![Digest([0xe1; 32])],
    }
}

/// A software platform with keys of its own, in a folder that goes with it.
pub struct Pki {
    /// The platform.
    pub platform: SoftwarePlatform,
    dir: TempDir,
}

impl Pki {
    /// A sound one, at [`NOW_MS`].
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn sound() -> Result<Self, AttestError> {
        Self::of(&Profile::default())
    }

    /// One with a fault, at [`NOW_MS`]. A fault of the evidence alone needs
    /// [`Fault::spoil`] too.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn with(fault: Fault) -> Result<Self, AttestError> {
        let mut profile = Profile::default();
        fault.set(&mut profile);
        Self::of(&profile)
    }

    /// One that says what `profile` says, at [`NOW_MS`].
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn of(profile: &Profile) -> Result<Self, AttestError> {
        let dir = TempDir::new().map_err(|source| AttestError::Io {
            what: "cannot make a temporary folder".into(),
            source,
        })?;
        let options = Options::default();
        let platform =
            SoftwarePlatform::with_profile(dir.path(), &measured(), options, profile, NOW_MS)?;
        Ok(Self { platform, dir })
    }

    /// Its endorsements.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn endorsements(&self) -> Result<Endorsements, AttestError> {
        self.platform.endorsements()
    }

    /// The folder that holds its keys.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

/// One thing that is wrong, and must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the table below says what each is
pub enum Fault {
    PckExpired,
    PckRevoked,
    CaRevoked,
    TcbSigningRevoked,
    TcbOutOfDate,
    TcbRevoked,
    TcbBelowEveryLevel,
    ModuleOutOfDate,
    ModuleBelowEveryLevel,
    ModuleUnknown,
    QuotingEnclaveOther,
    QuotingEnclaveOutOfDate,
    QuotingEnclaveBelowEveryLevel,
    Debug,
    Profiled,
    Migratable,
    ReservedAttribute,
    SeptVeEnabled,
    FamilyOther,
    CollateralExpired,
    CollateralFromTheFuture,
    CollateralTooOld,
    TcbInfoSignature,
    QeIdentitySignature,
    QuoteSignature,
    AttestationKey,
    QeReport,
    QeReportSignature,
    QeAuthData,
    Header,
    Measurement,
    ReportData,
}

impl Fault {
    /// Every fault.
    pub const ALL: &[Self] = &[
        Self::PckExpired,
        Self::PckRevoked,
        Self::CaRevoked,
        Self::TcbSigningRevoked,
        Self::TcbOutOfDate,
        Self::TcbRevoked,
        Self::TcbBelowEveryLevel,
        Self::ModuleOutOfDate,
        Self::ModuleBelowEveryLevel,
        Self::ModuleUnknown,
        Self::QuotingEnclaveOther,
        Self::QuotingEnclaveOutOfDate,
        Self::QuotingEnclaveBelowEveryLevel,
        Self::Debug,
        Self::Profiled,
        Self::Migratable,
        Self::ReservedAttribute,
        Self::SeptVeEnabled,
        Self::FamilyOther,
        Self::CollateralExpired,
        Self::CollateralFromTheFuture,
        Self::CollateralTooOld,
        Self::TcbInfoSignature,
        Self::QeIdentitySignature,
        Self::QuoteSignature,
        Self::AttestationKey,
        Self::QeReport,
        Self::QeReportSignature,
        Self::QeAuthData,
        Self::Header,
        Self::Measurement,
        Self::ReportData,
    ];

    /// The reason that a verdict must give for it, whatever else it gives.
    pub fn reason(self) -> Reason {
        match self {
            Self::PckExpired | Self::CollateralExpired => Reason::CollateralExpired,
            Self::PckRevoked | Self::CaRevoked | Self::TcbSigningRevoked => {
                Reason::CertificateRevoked
            }
            Self::TcbOutOfDate | Self::ModuleOutOfDate | Self::QuotingEnclaveOutOfDate => {
                Reason::TcbStatusRefused
            }
            Self::TcbRevoked => Reason::TcbRevoked,
            Self::TcbBelowEveryLevel | Self::ModuleBelowEveryLevel | Self::ModuleUnknown => {
                Reason::TcbLevelUnknown
            }
            Self::QuotingEnclaveOther | Self::QuotingEnclaveBelowEveryLevel => {
                Reason::QuotingEnclave
            }
            Self::Debug => Reason::DebugEnabled,
            Self::Profiled | Self::Migratable | Self::ReservedAttribute | Self::SeptVeEnabled => {
                Reason::AttributesRefused
            }
            Self::FamilyOther => Reason::FmspcMismatch,
            Self::CollateralFromTheFuture => Reason::CollateralNotYetValid,
            Self::CollateralTooOld => Reason::CollateralTooOld,
            Self::TcbInfoSignature | Self::QeIdentitySignature => Reason::CollateralSignature,
            Self::QuoteSignature
            | Self::AttestationKey
            | Self::QeReport
            | Self::QeReportSignature
            | Self::QeAuthData
            | Self::Header
            | Self::Measurement
            | Self::ReportData => Reason::QuoteSignature,
        }
    }

    fn set(self, profile: &mut Profile) {
        match self {
            Self::PckExpired => profile.pck_life_s = DAY_S / 2,
            Self::PckRevoked => profile.pck_revoked = true,
            Self::CaRevoked => profile.ca_revoked = true,
            Self::TcbSigningRevoked => profile.signing_revoked = true,
            Self::TcbOutOfDate => profile.cpu_svn[0] = 2,
            Self::TcbRevoked => profile.cpu_svn[0] = 1,
            Self::TcbBelowEveryLevel => profile.cpu_svn[0] = 0,
            Self::ModuleOutOfDate => profile.tee_tcb_svn[0] = 2,
            Self::ModuleBelowEveryLevel => profile.tee_tcb_svn[0] = 1,
            Self::ModuleUnknown => profile.tee_tcb_svn[1] = 9,
            Self::QuotingEnclaveOther => profile.qe_signer = [0xee; 32],
            Self::QuotingEnclaveOutOfDate => profile.qe_svn = 3,
            Self::QuotingEnclaveBelowEveryLevel => profile.qe_svn = 2,
            Self::Debug => profile.td_attributes |= DEBUG,
            Self::Profiled => profile.td_attributes |= 1 << 4,
            Self::Migratable => profile.td_attributes |= 1 << 29,
            Self::ReservedAttribute => profile.td_attributes |= 1 << 40,
            Self::SeptVeEnabled => profile.td_attributes = 0,
            Self::FamilyOther => profile.tcb_info_fmspc = [9; 6],
            Self::CollateralExpired => profile.collateral_life_s = DAY_S / 2,
            // Issued now and judged before: see `judged_at_ms`.
            Self::CollateralFromTheFuture => profile.issued_ago_s = 0,
            Self::CollateralTooOld => profile.issued_ago_s = 40 * DAY_S,
            Self::TcbInfoSignature => profile.bad_tcb_signature = true,
            Self::QeIdentitySignature => profile.bad_qe_identity_signature = true,
            _ => {}
        }
    }

    /// When it must be judged to be found; ms since 1970.
    pub fn judged_at_ms(self) -> u64 {
        match self {
            Self::CollateralFromTheFuture => NOW_MS - 3_600_000,
            _ => NOW_MS,
        }
    }

    /// Flips the bit that a fault of the evidence alone consists in.
    pub fn spoil(self, evidence: &mut Evidence) {
        let at = match self {
            Self::Header => 28,          // user data
            Self::Measurement => 184,    // MRTD
            Self::ReportData => 568,     // the binding
            Self::QuoteSignature => 640, // after the length at 632
            Self::AttestationKey => 700,
            Self::QeReport => 770,
            Self::QeReportSignature => 1160,
            Self::QeAuthData => 1225,
            _ => return,
        };
        if let Some(byte) = evidence.statement.0.get_mut(at) {
            *byte ^= 1;
        }
    }
}
