//! The kinds of proof, and which of them can be made here.

use soundproof_protocol::mode::ModeInfo;
use sp1_prover_types::network_base_types::ProofMode;

use crate::wrap;

const GIB: u64 = 1024 * 1024 * 1024;

/// SP1's kinds of proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One proof a shard.
    Core,
    /// One proof of constant size.
    Compressed,
    /// Wrapped into PLONK over BN254.
    Plonk,
    /// Wrapped into Groth16 over BN254.
    Groth16,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Core, Self::Compressed, Self::Plonk, Self::Groth16];

    /// As job descriptions name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Compressed => "compressed",
            Self::Plonk => "plonk",
            Self::Groth16 => "groth16",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// What clients are told of it. Core and compressed proofs are not claimed
    /// to be zero-knowledge by SP1's makers; see docs/sp1.md. Memory is what
    /// SP1's own prover takes for a small guest, rounded up. `folder_bytes` is the size
    /// of the private folders; 0: as large as asked for.
    pub fn info(self, folder_bytes: u64) -> ModeInfo {
        let (unavailable, memory_bytes) = match self {
            Self::Core => (None, 11 * GIB),
            Self::Compressed => (None, 18 * GIB),
            Self::Plonk | Self::Groth16 => (
                wrap::unavailable(self, folder_bytes),
                wrap::memory_bytes(self),
            ),
        };
        ModeInfo {
            name: self.name().into(),
            hides: matches!(self, Self::Plonk | Self::Groth16),
            unavailable,
            memory_bytes,
        }
    }
}

impl From<Mode> for ProofMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Core => Self::Core,
            Mode::Compressed => Self::Compressed,
            Mode::Plonk => Self::Plonk,
            Mode::Groth16 => Self::Groth16,
        }
    }
}
