//! Verifies proofs: one arm a proof system.

use crate::{
    Error,
    program::{GROTH16, SP1},
};
use serde::Serialize;
use soundproof_proofs::groth16;
use soundproof_protocol::error::Code;

/// Who verified a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProofCheck {
    /// This client, under the program's verifying key, and the enclave before
    /// it.
    ByClient,
    /// The enclave alone: its receipt says so, and this client checked the
    /// receipt. Verify the proof with the system's own SDK to rely on less.
    ByEnclaveOnly,
}

/// A verifying key, ready for many proofs.
#[derive(Debug)]
pub(crate) enum Verifier {
    Groth16 {
        key: Box<groth16::PreparedKey>,
        public_count: usize,
    },
    /// No SP1 code is linked here.
    Sp1,
}

impl Verifier {
    pub(crate) const MAX_KEY: usize = groth16::MAX_VERIFYING_KEY_BYTES;

    /// From snarkjs's `verification_key.json`.
    pub(crate) fn groth16(json: &[u8]) -> Result<Self, Error> {
        let key = groth16::VerifyingKey::from_json(json).map_err(|error| Error::Program {
            code: Code::VkeyInvalid,
            what: error.to_string(),
        })?;
        Ok(Self::Groth16 {
            public_count: key.public_count(),
            key: Box::new(key.prepare()),
        })
    }

    /// Whether it takes the program's verifying key to make one.
    pub(crate) fn needs_key(system: &str) -> bool {
        system == GROTH16
    }

    /// For a description's proof system; `key` as [`Verifier::needs_key`] says.
    pub(crate) fn of(system: &str, key: &[u8]) -> Result<Self, Error> {
        match system {
            GROTH16 => Self::groth16(key),
            SP1 => Ok(Self::Sp1),
            _ => Err(Error::Program {
                code: Code::ModeUnavailable,
                what: "this client cannot verify proofs of this system".into(),
            }),
        }
    }

    pub(crate) fn public_count(&self) -> Option<usize> {
        match self {
            Self::Groth16 { public_count, .. } => Some(*public_count),
            Self::Sp1 => None,
        }
    }

    /// Verifies a proof as far as this client can.
    pub(crate) fn check(&self, proof: &[u8], public: &[u8]) -> Result<ProofCheck, Error> {
        match self {
            Self::Groth16 { .. } => {
                self.verify(proof, public)?;
                Ok(ProofCheck::ByClient)
            }
            // A receipt that does not say that the proof was verified is none.
            Self::Sp1 => Ok(ProofCheck::ByEnclaveOnly),
        }
    }

    pub(crate) fn verify(&self, proof: &[u8], public: &[u8]) -> Result<(), Error> {
        match self {
            Self::Groth16 { key, .. } => {
                let proof = groth16::Proof::from_json(proof);
                let public = groth16::PublicSignals::from_json(public);
                proof
                    .and_then(|proof| key.verify(&public?, &proof))
                    .map_err(|error| Error::Proof(error.to_string()))
            }
            Self::Sp1 => Err(Error::Program {
                code: Code::ModeUnavailable,
                what: "this client links no verifier for SP1 proofs: use SP1's own SDK".into(),
            }),
        }
    }
}
