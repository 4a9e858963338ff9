//! Invariant 2 at the keeper's door: a ciphertext is taken for its own
//! session, program, mode and job, once, and for nothing else.

use super::*;
use crate::{random, receipt_key::ReceiptKeys, sessions::Session};
use soundproof_protocol::{
    PROTOCOL_VERSION, cbor,
    description::{Limits, ProgramPart},
    id::JobId,
    mode::ModeInfo,
    suite::Suite,
};
use soundproof_seal::{Addressee, DataKey, Recipient, seal_header};
use std::time::Duration;

const NOW: u64 = 1_700_000_000_000;

struct World {
    sessions: Sessions,
    custody: Custody,
    transcript: Digest,
    public: Vec<u8>,
    offers: Offers,
}

fn offers() -> Offers {
    let offer = |system: &str, mode| ModeOffer {
        system: system.into(),
        mode,
    };
    Offers {
        modes: vec![
            offer("groth16", ModeInfo::hiding("groth16")),
            offer(
                "groth16",
                ModeInfo {
                    unavailable: Some("no gnark here".into()),
                    ..ModeInfo::hiding("wrapped")
                },
            ),
            offer(
                "groth16",
                ModeInfo {
                    hides: false,
                    ..ModeInfo::hiding("bare")
                },
            ),
        ],
        refuse_not_hiding: false,
    }
}

fn world() -> World {
    let sessions = Sessions::new(8, Duration::from_secs(60));
    let transcript = Digest([1; 32]);
    let public = open(&sessions, transcript);
    World {
        sessions,
        custody: Custody::new(2, Duration::from_secs(60)),
        transcript,
        public,
        offers: offers(),
    }
}

fn open(sessions: &Sessions, transcript: Digest) -> Vec<u8> {
    let recipient = Recipient::generate(Suite::XWing, &mut random::rng()).unwrap();
    let public = recipient.public_key().to_vec();
    sessions.reserve().unwrap().fill(Session {
        recipient,
        transcript,
        receipt_key: ReceiptKeys::new(Duration::MAX).current(),
        evidence: Digest([2; 32]),
        client_appraises: true,
    });
    public
}

impl World {
    fn description(&self, n: u8) -> JobDescription {
        JobDescription {
            version: PROTOCOL_VERSION,
            job: JobId::new(NOW, [n; 10]),
            system: "groth16".into(),
            parts: vec![ProgramPart {
                role: "proving_key".into(),
                digest: Digest([3; 32]),
            }],
            mode: "groth16".into(),
            acknowledges_not_hiding: false,
            limits: Limits::default(),
            recipients: vec![self.transcript],
            delegation: None,
            durability: Durability::Forgotten,
            not_after_ms: NOW + 1000,
        }
    }

    fn header(&self, description: &JobDescription) -> Vec<u8> {
        let data_key = DataKey::generate(&mut random::rng());
        let addressee = Addressee {
            suite: Suite::XWing,
            public_key: &self.public,
            transcript: &self.transcript,
        };
        let (header, _) = seal_header(
            &mut random::rng(),
            &data_key,
            description,
            &[addressee],
            100,
        )
        .unwrap();
        cbor::to_vec(&header)
    }

    fn admit(&self, description: &JobDescription, header: &[u8]) -> Result<Digest, Code> {
        self.admit_at(description, header, NOW)
    }

    fn admit_at(
        &self,
        description: &JobDescription,
        header: &[u8],
        now: u64,
    ) -> Result<Digest, Code> {
        let description = cbor::to_vec(description);
        admit(
            &self.sessions,
            &self.custody,
            &self.offers,
            &description,
            header,
            now,
        )
        .map_err(|refused| refused.code)
    }
}

#[test]
fn the_same_job_twice_is_one_job() {
    let world = world();
    let description = world.description(1);
    let header = world.header(&description);
    let access = world.admit(&description, &header).unwrap();
    assert_eq!(world.admit(&description, &header), Ok(access));
    assert_eq!(world.custody.count(), 1);
}

/// Broken if an id alone named a job: the host could replace all of it.
#[test]
fn another_job_under_the_same_id_is_a_conflict() {
    let world = world();
    let description = world.description(1);
    world
        .admit(&description, &world.header(&description))
        .unwrap();
    assert_eq!(
        world.admit(&description, &world.header(&description)),
        Err(Code::JobConflict)
    );
    let mut other = description;
    other.limits.time_ms = 7;
    assert_eq!(
        world.admit(&other, &world.header(&other)),
        Err(Code::JobConflict)
    );
}

/// Broken if the description were not bound: the host could swap program or
/// mode under a ciphertext.
#[test]
fn a_ciphertext_for_another_program_mode_or_job_is_refused() {
    let world = world();
    let honest = world.description(1);
    let header = world.header(&honest);
    let mut program = honest.clone();
    program.parts[0].digest = Digest([9; 32]);
    let mut job = honest.clone();
    job.job = JobId::new(NOW, [8; 10]);
    let mut late = honest.clone();
    late.not_after_ms += 1;
    for other in [program, job, late] {
        assert_eq!(world.admit(&other, &header), Err(Code::SealInvalid));
    }
    assert_eq!(world.custody.count(), 0);
    assert!(world.admit(&honest, &header).is_ok());
}

#[test]
fn a_ciphertext_for_another_session_is_refused() {
    let world = world();
    let honest = world.description(1);
    let header = world.header(&honest);
    let mut unknown = honest.clone();
    unknown.recipients = vec![Digest([77; 32])];
    assert_eq!(world.admit(&unknown, &header), Err(Code::SessionUnknown));
    let elsewhere = Digest([78; 32]);
    open(&world.sessions, elsewhere);
    let mut moved = honest;
    moved.recipients = vec![elsewhere];
    assert_eq!(world.admit(&moved, &header), Err(Code::SealInvalid));
}

/// Broken if keys outlived the job, or ids were forgotten with them: the host
/// could run an ended job again from the ciphertext it kept (invariant 4).
#[test]
fn an_ended_job_cannot_be_admitted_again() {
    let world = world();
    let description = world.description(1);
    let header = world.header(&description);
    world.admit(&description, &header).unwrap();
    let keys = std::sync::Arc::downgrade(&world.custody.get(&description.job).unwrap());
    world.custody.forget(&description.job);
    assert!(
        keys.upgrade().is_none(),
        "custody was the last to hold the keys"
    );
    assert_eq!(world.admit(&description, &header), Err(Code::JobReplayed));
}

#[test]
fn an_expired_session_takes_nothing() {
    let mut world = world();
    world.sessions = Sessions::new(1, Duration::ZERO);
    world.public = open(&world.sessions, world.transcript);
    let description = world.description(1);
    let header = world.header(&description);
    assert_eq!(
        world.admit(&description, &header),
        Err(Code::SessionUnknown)
    );
}

#[test]
fn what_is_not_offered_is_refused_before_the_key_is_opened() {
    let world = world();
    let base = world.description(1);
    let mut mode = base.clone();
    mode.mode = "plonk".into();
    let mut delegated = base.clone();
    delegated.delegation = Some(Digest([1; 32]));
    let mut durable = base.clone();
    durable.durability = Durability::Durable("kms".into());
    for (description, code) in [
        (mode, Code::ModeUnavailable),
        (delegated, Code::DelegationUnavailable),
        (durable, Code::DurableUnavailable),
    ] {
        let header = world.header(&description);
        assert_eq!(world.admit(&description, &header), Err(code));
    }
    let header = world.header(&base);
    assert_eq!(
        world.admit_at(&base, &header, base.not_after_ms),
        Err(Code::DeadlinePassed)
    );
    assert_eq!(world.custody.count(), 0);
}

/// Broken if the keeper trusted the gateway with what a mode reveals: a gateway
/// in the host's hands would let through what nobody acknowledged.
#[test]
fn modes_that_do_not_hide_must_be_acknowledged_and_may_be_refused() {
    let mut world = world();
    let asking = |mode: &str, acknowledges, n| JobDescription {
        mode: mode.into(),
        acknowledges_not_hiding: acknowledges,
        ..world.description(n)
    };
    let missing = asking("wrapped", true, 1);
    let unaware = asking("bare", false, 2);
    let aware = asking("bare", true, 3);
    let refused = |world: &World, description: &JobDescription| {
        let header = world.header(description);
        admit(
            &world.sessions,
            &world.custody,
            &world.offers,
            &cbor::to_vec(description),
            &header,
            NOW,
        )
        .unwrap_err()
    };
    let unavailable = refused(&world, &missing);
    assert_eq!(unavailable.code, Code::ModeUnavailable);
    assert!(unavailable.detail.unwrap().contains("no gnark here"));
    assert_eq!(refused(&world, &unaware).code, Code::ModeNotHiding);
    let header = world.header(&aware);
    assert!(world.admit(&aware, &header).is_ok());
    // The acknowledgement is in the description: nobody adds it under way.
    let mut forged = unaware.clone();
    forged.acknowledges_not_hiding = true;
    let header = world.header(&unaware);
    assert_eq!(world.admit(&forged, &header), Err(Code::SealInvalid));

    world.offers.refuse_not_hiding = true;
    let again = JobDescription {
        job: JobId::new(NOW, [9; 10]),
        ..aware
    };
    assert_eq!(refused(&world, &again).code, Code::ModeRefused);
    let hiding = world.description(10);
    let header = world.header(&hiding);
    world.custody.forget(&JobId::new(NOW, [3; 10]));
    assert!(world.admit(&hiding, &header).is_ok());
}

#[test]
fn custody_is_bounded() {
    let world = world();
    for n in 0..2 {
        let description = world.description(n);
        world
            .admit(&description, &world.header(&description))
            .unwrap();
    }
    let third = world.description(3);
    assert_eq!(
        world.admit(&third, &world.header(&third)),
        Err(Code::JobsFull)
    );
}

#[test]
fn strangers_bytes_are_refused_with_their_code() {
    let world = world();
    let offers = offers();
    let description = world.description(1);
    let header = world.header(&description);
    let admit = |description: &[u8], header: &[u8]| {
        admit(
            &world.sessions,
            &world.custody,
            &offers,
            description,
            header,
            NOW,
        )
        .map_err(|refused| refused.code)
    };
    let bytes = cbor::to_vec(&description);
    assert_eq!(admit(&[0xff; 40], &header), Err(Code::DescriptionInvalid));
    assert_eq!(
        admit(&vec![0; 100_000], &header),
        Err(Code::DescriptionInvalid)
    );
    assert_eq!(
        admit(&[&bytes[..], &[0]].concat(), &header),
        Err(Code::DescriptionInvalid)
    );
    let mut newer = description.clone();
    newer.version = 2;
    assert_eq!(
        admit(&cbor::to_vec(&newer), &header),
        Err(Code::VersionUnsupported)
    );
    assert_eq!(
        admit(&bytes, &header[..header.len() - 1]),
        Err(Code::HeaderInvalid)
    );
    assert_eq!(admit(&bytes, &[]), Err(Code::HeaderInvalid));
}
