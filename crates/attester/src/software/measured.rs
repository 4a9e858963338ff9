//! What the software platform measures, in the registers that a trust domain
//! would have.
//!
//! | register | value |
//! |---|---|
//! | MRTD | SHA-384(tag `mrtd`, digest of soundproofd) |
//! | RTMR3 | from zero, for each prover's digest in rising order: SHA-384(RTMR3, SHA-384(tag `prover`, digest)) |
//! | RTMR0, RTMR1, RTMR2, MRSEAM | SHA-384(tag `rtmr0`, …): nothing is measured there |
//! | MRSIGNERSEAM, MRCONFIGID, MROWNER, MROWNERCONFIG | zero |
//!
//! A tag is `soundproof/1/software/`, its name, and a zero byte.

use super::Profile;
use sha2::{Digest as _, Sha384};
use soundproof_evidence::{Hex, Measurements};
use soundproof_protocol::digest::Digest;

/// Extended features of a common TD: x87, SSE, AVX, AVX-512, PKRU, AMX.
const XFAM: u64 = 0x0006_02e7;

/// What is measured: SHA-256 digests of executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The keeper's own executable.
    pub soundproofd: Digest,
    /// The provers' executables, in any order.
    pub provers: Vec<Digest>,
}

impl Measured {
    pub(super) fn measurements(&self, profile: &Profile) -> Measurements {
        let mut provers = self.provers.clone();
        provers.sort();
        let mut rtmr3 = [0; 48];
        for prover in &provers {
            rtmr3 = Sha384::new()
                .chain_update(rtmr3)
                .chain_update(tagged("prover", prover.as_bytes()))
                .finalize()
                .into();
        }
        let zero = Hex([0; 48]);
        Measurements {
            mrseam: Hex(tagged("mrseam", &[])),
            mrsignerseam: zero,
            tdattributes: Hex(profile.td_attributes.to_le_bytes()),
            xfam: Hex(XFAM.to_le_bytes()),
            mrtd: Hex(tagged("mrtd", self.soundproofd.as_bytes())),
            mrconfigid: zero,
            mrowner: zero,
            mrownerconfig: zero,
            rtmr0: Hex(tagged("rtmr0", &[])),
            rtmr1: Hex(tagged("rtmr1", &[])),
            rtmr2: Hex(tagged("rtmr2", &[])),
            rtmr3: Hex(rtmr3),
        }
    }
}

fn tagged(name: &str, value: &[u8]) -> [u8; 48] {
    Sha384::new()
        .chain_update("soundproof/1/software/")
        .chain_update(name)
        .chain_update([0])
        .chain_update(value)
        .finalize()
        .into()
}
