//! What the fuzz targets share.

use minicbor::{Decode, Encode};
use p256::ecdsa::SigningKey;
use rand_core::{TryCryptoRng, TryRng};
use soundproof_protocol::{
    PROTOCOL_VERSION, cbor,
    description::{Durability, JobDescription, Limits, ProgramPart},
    digest::Digest,
    error::{Code, Failure},
    id::JobId,
    outcome::{End, Outcome, Salt},
    sealed::SealedHeader,
    suite::Suite,
};
use soundproof_seal::{
    Addressee, DataKey, JobKeys, Padding, Prologue, Recipient, Sealer, outcome, seal_header,
};
use std::convert::Infallible;

/// The moment at which evidence is judged.
pub const NOW_MS: u64 = 1_780_000_000_000;

/// Bytes that decode as a `T` are the only ones that do: they encode again as
/// themselves.
pub fn one_form<T>(bytes: &[u8])
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if let Ok(value) = cbor::from_slice::<T>(bytes, 1 << 22) {
        assert_eq!(cbor::to_vec(&value), bytes);
    }
}

/// The same bytes in every run: a finding must be found again.
pub struct Counter(pub u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Ok(mixed ^ (mixed >> 27))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// A key that signs receipts.
pub fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

/// Its public half, SEC1.
pub fn receipt_key() -> Vec<u8> {
    signing_key()
        .verifying_key()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec()
}

/// A description that is valid.
pub fn description() -> JobDescription {
    let part = |role: &str, byte| ProgramPart {
        role: role.into(),
        digest: Digest([byte; 32]),
    };
    JobDescription {
        version: PROTOCOL_VERSION,
        job: JobId::new(NOW_MS, [3; 10]),
        system: "groth16".into(),
        parts: vec![
            part("proving_key", 1),
            part("verifying_key", 2),
            part("witness_generator", 3),
        ],
        mode: "groth16".into(),
        acknowledges_not_hiding: false,
        limits: Limits::default(),
        recipients: vec![Digest([5; 32])],
        delegation: None,
        durability: Durability::Forgotten,
        not_after_ms: NOW_MS,
    }
}

/// A job that was sealed: what its recipient holds, and every ciphertext of it.
pub struct Job {
    pub recipient: Recipient,
    pub transcript: Digest,
    pub description: JobDescription,
    pub header: SealedHeader,
    pub keys: JobKeys,
    /// The input's only chunk.
    pub chunk: Vec<u8>,
    /// The outcome.
    pub outcome: Vec<u8>,
}

impl Job {
    pub fn new() -> Self {
        let mut rng = Counter(1);
        let description = description();
        let transcript = description.recipients[0];
        let recipient = Recipient::generate(Suite::X25519, &mut rng).unwrap();
        let witness = b"{\"a\":\"3\",\"b\":\"11\"}";
        let padded_len = Padding::Padme.padded_len(witness.len() as u64).unwrap();
        let addressee = Addressee {
            suite: Suite::X25519,
            public_key: recipient.public_key(),
            transcript: &transcript,
        };
        let data_key = DataKey::generate(&mut rng);
        let (header, keys) =
            seal_header(&mut rng, &data_key, &description, &[addressee], padded_len).unwrap();

        let prologue = Prologue {
            witness_len: witness.len() as u64,
            client_ms: NOW_MS,
            entropy: [9; 32].into(),
        };
        let mut chunk = prologue.to_bytes().to_vec();
        chunk.extend_from_slice(witness);
        chunk.resize(padded_len as usize, 0);
        Sealer::new(&keys, &header)
            .unwrap()
            .seal(0, &mut chunk)
            .unwrap();

        let said = Outcome {
            version: PROTOCOL_VERSION,
            job: description.job,
            description: description.digest(),
            end: End::Failed(Failure::new(Code::Internal, "detail")),
        };
        let outcome =
            outcome::seal(&keys.outcome, &description.digest(), Salt([8; 32]), &said).unwrap();
        Self {
            recipient,
            transcript,
            description,
            header,
            keys,
            chunk,
            outcome,
        }
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::new()
    }
}
