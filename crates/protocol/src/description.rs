//! The job description: all that the ciphertext is bound to. An enclave that
//! is shown another program, mode or job for a ciphertext computes another
//! digest, and nothing opens (invariant 2).

use crate::{
    cbor::{self, DecodeError},
    digest::Digest,
    id::JobId,
};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Bytes of an encoded description at most.
pub const MAX_DESCRIPTION: usize = 8 * 1024;
/// Program parts that one job may name.
pub const MAX_PARTS: usize = 8;
/// Recipients that one job may have.
pub const MAX_RECIPIENTS: usize = 16;
const MAX_NAME: usize = 32;

/// One public part of a program, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(map)]
pub struct ProgramPart {
    /// What it is to the proof system: `witness_generator`, `proving_key`,
    /// `verifying_key`, `elf`.
    #[n(0)]
    pub role: String,
    /// SHA-256 of its bytes.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
}

/// What the job may use. Zero means: whatever the server allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Limits {
    /// Bytes of memory for each process that runs the program.
    #[n(0)]
    pub memory_bytes: u64,
    /// Milliseconds from the job's start to its proof.
    #[n(1)]
    pub time_ms: u64,
    /// Cycles, for a zkVM.
    #[n(2)]
    pub cycles: u64,
    /// Prover gas, for a zkVM that counts it (SP1).
    #[n(3)]
    pub gas: u64,
}

/// Whether the job's key may outlive the machine.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Durability {
    /// The key is in the keeper's memory only: gone with it.
    #[n(0)]
    Forgotten,
    /// Wrapped under a key of the named scope.
    #[n(1)]
    Durable(#[n(0)] String),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct JobDescription {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    #[n(0)]
    pub version: u16,
    /// Made by the client.
    #[n(1)]
    pub job: JobId,
    /// Proof system: `groth16`, `sp1`.
    #[n(2)]
    pub system: String,
    /// The program's parts, by role in rising order.
    #[n(3)]
    pub parts: Vec<ProgramPart>,
    /// Which kind of proof the system shall make: `groth16`.
    #[n(4)]
    pub mode: String,
    /// The client knows that a proof of this mode may reveal its witness.
    #[n(5)]
    pub acknowledges_not_hiding: bool,
    /// What the job may use.
    #[n(6)]
    pub limits: Limits,
    /// Digests of the transcripts that the data key is wrapped for.
    #[n(7)]
    pub recipients: Vec<Digest>,
    /// Digest of the policy by which the job may be handed to another
    /// enclave; none: it may not.
    #[n(8)]
    pub delegation: Option<Digest>,
    /// Whether the job's key may outlive the machine.
    #[n(9)]
    pub durability: Durability,
    /// Milliseconds since 1970 after which it must not be started.
    #[n(10)]
    pub not_after_ms: u64,
}

/// Why a description is refused, beyond its encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// Not the encoding of one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Another protocol version.
    #[error("job description of version {0}, this is version {PROTOCOL}", PROTOCOL = crate::PROTOCOL_VERSION)]
    Version(u16),
    /// A field breaks its rule; the text names field and rule.
    #[error("job description: {0}")]
    Rule(&'static str),
}

impl JobDescription {
    /// The digest that everything of this job is bound to.
    pub fn digest(&self) -> Digest {
        Digest::tagged("soundproof/1/description", self)
    }

    /// Decodes one and checks every rule that needs no outside knowledge.
    ///
    /// # Errors
    /// [`DescriptionError`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let description: Self = cbor::from_slice(bytes, MAX_DESCRIPTION)?;
        description.check()?;
        Ok(description)
    }

    /// Checks every rule that needs no outside knowledge.
    ///
    /// # Errors
    /// [`DescriptionError::Version`] and [`DescriptionError::Rule`].
    pub fn check(&self) -> Result<(), DescriptionError> {
        let rule = |holds, text| {
            if holds {
                Ok(())
            } else {
                Err(DescriptionError::Rule(text))
            }
        };
        if self.version != crate::PROTOCOL_VERSION {
            return Err(DescriptionError::Version(self.version));
        }
        rule(
            self.job.is_well_formed(),
            "the job id must be a version 7 UUID",
        )?;
        rule(
            is_name(&self.system),
            "system must be 1 to 32 of a-z, 0-9 and _",
        )?;
        rule(
            is_name(&self.mode),
            "mode must be 1 to 32 of a-z, 0-9 and _",
        )?;
        rule(
            (1..=MAX_PARTS).contains(&self.parts.len()),
            "1 to 8 program parts",
        )?;
        rule(
            self.parts.iter().all(|part| is_name(&part.role)),
            "a part's role must be 1 to 32 of a-z, 0-9 and _",
        )?;
        rule(
            self.parts.is_sorted_by(|a, b| a.role < b.role),
            "parts must be in rising order of role, each once",
        )?;
        rule(
            (1..=MAX_RECIPIENTS).contains(&self.recipients.len()),
            "1 to 16 recipients",
        )?;
        let mut recipients = self.recipients.clone();
        recipients.sort_unstable();
        rule(recipients.is_sorted_by(|a, b| a < b), "each recipient once")?;
        if let Durability::Durable(scope) = &self.durability {
            rule(
                (1..=256).contains(&scope.len()),
                "a durable scope must be 1 to 256 bytes",
            )?;
        }
        Ok(())
    }

    /// The digest of the part with this role.
    pub fn part(&self, role: &str) -> Option<&Digest> {
        self.parts
            .iter()
            .find(|part| part.role == role)
            .map(|part| &part.digest)
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
