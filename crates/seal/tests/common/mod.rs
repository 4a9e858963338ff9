//! A session, a description and a deterministic generator for tests.
#![allow(dead_code, missing_docs, unreachable_pub)]

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use soundproof_protocol::{
    attestation::Role,
    description::{Durability, JobDescription, Limits, ProgramPart},
    digest::Digest,
    id::{InstanceId, JobId, Nonce, SessionId},
    suite::Suite,
    transcript::{KeyPurpose, Transcript, VouchedKey},
};
use soundproof_seal::Recipient;

/// SHA-256 in counter mode: reproducible, for golden files only.
pub struct TestRng(pub u64);

impl TryRng for TestRng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for piece in out.chunks_mut(32) {
            self.0 += 1;
            piece.copy_from_slice(&Digest::of(&self.0.to_be_bytes()).0[..piece.len()]);
        }
        Ok(())
    }
}
impl TryCryptoRng for TestRng {}

pub struct Session {
    pub recipient: Recipient,
    pub transcript: Transcript,
    pub digest: Digest,
}

pub fn session(suite: Suite, seed: u64) -> Session {
    let recipient = Recipient::generate(suite, &mut TestRng(seed)).unwrap();
    let transcript = Transcript {
        version: 1,
        role: Role::Keeper,
        nonce: Nonce([seed as u8; 32]),
        offered: vec![suite.code()],
        suite,
        session: SessionId([seed as u8; 16]),
        lifetime_s: 3600,
        keys: vec![VouchedKey {
            purpose: KeyPurpose::Seal,
            algorithm: suite.into(),
            digest: Digest::of(recipient.public_key()),
        }],
        trust: Digest([3; 32]),
        instance: InstanceId([4; 16]),
    };
    let digest = transcript.digest();
    Session {
        recipient,
        transcript,
        digest,
    }
}

pub fn description(recipients: &[&Session]) -> JobDescription {
    JobDescription {
        version: 1,
        job: JobId::new(1_700_000_000_000, [9; 10]),
        system: "groth16".into(),
        parts: vec![ProgramPart {
            role: "proving_key".into(),
            digest: Digest([5; 32]),
        }],
        mode: "groth16".into(),
        acknowledges_not_hiding: false,
        limits: Limits::default(),
        recipients: recipients.iter().map(|session| session.digest).collect(),
        delegation: None,
        durability: Durability::Forgotten,
        not_after_ms: 1_700_000_100_000,
    }
}
