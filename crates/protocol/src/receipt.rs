//! The receipt ties attestation to the proof itself: a COSE_Sign1 (RFC 9052,
//! ES256) under a short-lived key that evidence vouches for; with evidence,
//! path and endorsements in one bundle, anyone checks it offline.

use crate::{
    attestation::{Endorsements, Evidence, Role},
    cbor::{self, Bytes, DecodeError},
    description::ProgramPart,
    digest::Digest,
    id::JobId,
    merkle::Path,
    sealed::Commitment,
};
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder, iana};
use minicbor::{Decode, Encode};
use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer as _, Verifier as _},
};

/// Bytes of a signed receipt at most.
pub const MAX_RECEIPT: usize = 64 * 1024;
/// Bytes of a bundle without proof and public values at most.
pub const MAX_BUNDLE: usize = 4 * 1024 * 1024;
const AAD: &[u8] = b"soundproof/1/receipt";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// The job.
    #[n(1)]
    pub job: JobId,
    /// Digest of its description.
    #[n(2)]
    pub description: Digest,
    /// Proof system.
    #[n(3)]
    pub system: String,
    /// Kind of proof.
    #[n(4)]
    pub mode: String,
    /// The program.
    #[n(5)]
    pub parts: Vec<ProgramPart>,
    /// SHA-256 of the public values' bytes.
    #[n(6)]
    pub public_values: Digest,
    /// SHA-256 of the proof's bytes.
    #[n(7)]
    pub proof: Digest,
    /// Digest of header and chunks, as received.
    #[n(8)]
    pub sealed_input: Digest,
    /// Its commitment.
    #[n(9)]
    pub commitment: Commitment,
    /// Version of the prover that made the proof.
    #[n(10)]
    pub prover_version: String,
    /// SHA-256 of the prover's executable.
    #[n(11)]
    pub prover_executable: Digest,
    /// The proof was verified in the enclave, under the description's
    /// verifying key, before it was released. Never false: there is no
    /// receipt without.
    #[n(12)]
    pub verified: bool,
    /// The client appraised the evidence before it sealed; false where the
    /// gateway sealed on arrival.
    #[n(13)]
    pub client_appraised: bool,
    /// Every enclave that held the witness.
    #[n(14)]
    pub holders: Vec<Holder>,
    /// Claimed by the enclave's wall clock, which is the host's; ms since
    /// 1970.
    #[n(15)]
    pub claimed_start_ms: u64,
    /// Likewise.
    #[n(16)]
    pub claimed_end_ms: u64,
    /// The verifying key that the enclave computed from the program, where the
    /// system derives it from there: for SP1 the 32 bytes of `vk.hash_bytes()`.
    /// None where the program has it as a part.
    #[n(17)]
    pub verifying_key: Option<Bytes>,
}

/// An enclave that held the witness.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Holder {
    /// What it is.
    #[n(0)]
    pub role: Role,
    /// Digest of its evidence, which names its measurements.
    #[n(1)]
    pub evidence: Digest,
    /// Digest of its trust configuration.
    #[n(2)]
    pub trust: Digest,
    /// Integrity state when the job began: sandbox layers of the prover.
    #[n(3)]
    pub integrity_start: Vec<String>,
    /// And when it ended.
    #[n(4)]
    pub integrity_end: Vec<String>,
}

/// Why a receipt is no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than [`MAX_RECEIPT`], or not a COSE_Sign1 in its one form.
    #[error("not a COSE_Sign1 in deterministic form")]
    Envelope,
    /// Another algorithm than ES256, or headers beyond it.
    #[error("the receipt is not signed with ES256 alone")]
    Algorithm,
    /// The key is no P-256 point.
    #[error("the receipt key is not a P-256 point")]
    Key,
    /// Not signed by that key.
    #[error("the receipt's signature does not verify")]
    Signature,
    /// The payload is not a receipt.
    #[error(transparent)]
    Payload(#[from] DecodeError),
    /// The payload says something that no receipt says.
    #[error("receipt: {0}")]
    Rule(&'static str),
}

impl Receipt {
    /// Signs it: COSE_Sign1, protected header {1: -7}, nothing unprotected,
    /// deterministic ECDSA (RFC 6979).
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let protected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::ES256)
            .build();
        let sign1 = CoseSign1Builder::new()
            .protected(protected)
            .payload(cbor::to_vec(self))
            .create_signature(AAD, |message| {
                let signature: Signature = key.sign(message);
                signature.to_bytes().to_vec()
            })
            .build();
        // Serialising what was just built cannot fail.
        sign1.to_vec().unwrap_or_default()
    }

    /// Opens a signed receipt under `key`, a SEC1 point.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(signed: &[u8], key: &[u8]) -> Result<Self, ReceiptError> {
        if signed.len() > MAX_RECEIPT {
            return Err(ReceiptError::Envelope);
        }
        let sign1 = coset::CoseSign1::from_slice(signed).map_err(|_| ReceiptError::Envelope)?;
        if sign1.clone().to_vec().ok().as_deref() != Some(signed) {
            return Err(ReceiptError::Envelope);
        }
        let expected = HeaderBuilder::new()
            .algorithm(iana::Algorithm::ES256)
            .build();
        if sign1.protected.header != expected || !sign1.unprotected.is_empty() {
            return Err(ReceiptError::Algorithm);
        }
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| ReceiptError::Key)?;
        sign1.verify_signature(AAD, |signature, message| {
            let signature =
                Signature::from_slice(signature).map_err(|_| ReceiptError::Signature)?;
            key.verify(message, &signature)
                .map_err(|_| ReceiptError::Signature)
        })?;
        let payload = sign1.payload.as_deref().ok_or(ReceiptError::Envelope)?;
        let receipt: Self = cbor::from_slice(payload, MAX_RECEIPT)?;
        if receipt.version != crate::PROTOCOL_VERSION {
            return Err(ReceiptError::Rule("another version"));
        }
        if !receipt.verified {
            return Err(ReceiptError::Rule(
                "it does not say that the proof was verified",
            ));
        }
        if receipt.holders.is_empty() {
            return Err(ReceiptError::Rule("it names no enclave"));
        }
        Ok(receipt)
    }
}

/// What a session's evidence consists of: enough to appraise it again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionEvidence {
    /// Encoded [`Transcript`](crate::transcript::Transcript).
    #[n(0)]
    pub transcript: Bytes,
    /// From it to the root.
    #[n(1)]
    pub path: Path,
    /// What binds the root.
    #[n(2)]
    pub evidence: Evidence,
    /// What the evidence is judged with.
    #[n(3)]
    pub endorsements: Endorsements,
    /// Encoded [`TrustConfiguration`](crate::trust::TrustConfiguration).
    #[n(4)]
    pub trust: Bytes,
}

/// All that an offline check needs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bundle {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// COSE_Sign1.
    #[n(1)]
    pub receipt: Bytes,
    /// SEC1 point; its digest is in the transcript.
    #[n(2)]
    pub receipt_key: Bytes,
    /// What vouches for the key.
    #[n(3)]
    pub session: SessionEvidence,
}

impl Bundle {
    /// Decodes one.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        cbor::from_slice(bytes, MAX_BUNDLE)
    }
}
