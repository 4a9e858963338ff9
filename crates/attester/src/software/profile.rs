//! What a software platform says of itself. Tests of verifiers change one
//! thing at a time.

use sha2::{Digest as _, Sha256};

/// TD attributes, bit 28: SEPT_VE_DISABLE, which verifiers require.
pub const SEPT_VE_DISABLE: u64 = 1 << 28;
/// TD attributes, bit 0: DEBUG.
pub const DEBUG: u64 = 1;
/// A day, in seconds.
pub const DAY_S: u64 = 24 * 3600;
/// The first component of CPUSVN that each TCB level needs, with its status.
pub(super) const LEVELS: [(u8, &str); 3] = [(3, "UpToDate"), (2, "OutOfDate"), (1, "Revoked")];
/// The advisory of every level below the first.
pub const ADVISORY: &str = "SOUNDPROOF-SA-00001";

/// What makes the quotes, and what collateral is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tee {
    /// Trust domains: the software platform itself, and dstack's kind.
    #[default]
    Tdx,
    /// Enclaves.
    Sgx,
}

impl Tee {
    /// ISVPRODID of Intel's quoting enclave for it.
    pub(super) const fn qe_product(self) -> u16 {
        match self {
            Self::Tdx => 2,
            Self::Sgx => 1,
        }
    }
}

/// See the module. The default is a platform that is up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What makes the quotes.
    pub tee: Tee,
    /// TD attributes of its quotes.
    pub td_attributes: u64,
    /// SVNs of the TDX module; version 1, SVN 3 is up to date, 2 is not.
    pub tee_tcb_svn: [u8; 16],
    /// SVNs of the CPU; 3 in the first place is up to date, 2 is out of date,
    /// 1 is revoked, 0 is no level.
    pub cpu_svn: [u8; 16],
    /// SVN of the PCE.
    pub pce_svn: u16,
    /// Family that the certificate names.
    pub fmspc: [u8; 6],
    /// Family that the TCB info is for.
    pub tcb_info_fmspc: [u8; 6],
    /// Machine.
    pub ppid: [u8; 16],
    /// SVN of the quoting enclave; 4 is up to date.
    pub qe_svn: u16,
    /// Signer of the quoting enclave.
    pub qe_signer: [u8; 32],
    /// Signer that the QE identity names.
    pub qe_identity_signer: [u8; 32],
    /// Number of the TCB evaluation.
    pub tcb_evaluation: u32,
    /// The PCK certificate is on its issuer's revocation list.
    pub pck_revoked: bool,
    /// The PCK CA's certificate is on the root's revocation list.
    pub ca_revoked: bool,
    /// The certificate that signs TCB info is on the root's revocation list.
    pub signing_revoked: bool,
    /// Seconds for which the PCK certificate is valid, counted from
    /// `issued_ago_s` before now.
    pub pck_life_s: u64,
    /// Everything was issued this many seconds before now.
    pub issued_ago_s: u64,
    /// TCB info, QE identity and revocation lists are valid for this many
    /// seconds from then on.
    pub collateral_life_s: u64,
    /// A bit of the TCB info's signature is wrong.
    pub bad_tcb_signature: bool,
    /// A bit of the QE identity's signature is wrong.
    pub bad_qe_identity_signature: bool,
}

impl Default for Profile {
    fn default() -> Self {
        let mut tee_tcb_svn = [0; 16];
        tee_tcb_svn[..3].copy_from_slice(&[3, 1, 2]);
        let mut cpu_svn = [0; 16];
        cpu_svn[..2].copy_from_slice(&[3, 2]);
        let fmspc = [0x50, 0x52, 0x4f, 0x4f, 0x46, 0];
        let signer: [u8; 32] = Sha256::digest(b"soundproof/1/software/qe").into();
        Self {
            tee: Tee::Tdx,
            td_attributes: SEPT_VE_DISABLE,
            tee_tcb_svn,
            cpu_svn,
            pce_svn: 11,
            fmspc,
            tcb_info_fmspc: fmspc,
            ppid: [0x50; 16],
            qe_svn: 4,
            qe_signer: signer,
            qe_identity_signer: signer,
            tcb_evaluation: 17,
            pck_revoked: false,
            ca_revoked: false,
            signing_revoked: false,
            pck_life_s: 5 * 365 * DAY_S,
            issued_ago_s: DAY_S,
            collateral_life_s: 365 * DAY_S,
            bad_tcb_signature: false,
            bad_qe_identity_signature: false,
        }
    }
}
