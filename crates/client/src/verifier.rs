//! Verifies proofs: one arm a proof system.

use crate::Error;
use soundproof_proofs::groth16;
use soundproof_protocol::error::Code;

/// A verifying key, ready for many proofs.
#[derive(Debug)]
pub(crate) enum Verifier {
    Groth16 {
        key: Box<groth16::PreparedKey>,
        public_count: usize,
    },
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

    /// For a description's proof system.
    pub(crate) fn of(system: &str, key: &[u8]) -> Result<Self, Error> {
        match system {
            crate::program::GROTH16 => Self::groth16(key),
            _ => Err(Error::Program {
                code: Code::ModeUnavailable,
                what: "this client cannot verify proofs of this system".into(),
            }),
        }
    }

    pub(crate) fn public_count(&self) -> usize {
        match self {
            Self::Groth16 { public_count, .. } => *public_count,
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
        }
    }
}
