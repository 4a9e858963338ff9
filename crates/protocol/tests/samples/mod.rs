//! One of every message, with fixed content.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use p256::ecdsa::SigningKey;
use soundproof_protocol::{
    api::{CreateJob, OpenSession, SessionOpened},
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor,
    description::{Durability, JobDescription, Limits, ProgramPart},
    digest::Digest,
    error::{Code, Failure},
    id::{InstanceId, JobId, Nonce, SessionId},
    link::{
        DirectSecret, Frame, GatewayAsks, GatewayPieces, KeeperAnswers, KeeperPulls, KeeperStatus,
        Refusal,
    },
    merkle::Tree,
    mode::{ModeInfo, ModeOffer},
    outcome::{End, Outcome, PhaseTime, Progress, Proved, Salt, SealedProgress},
    receipt::{Bundle, Holder, Receipt, SessionEvidence},
    sealed::{Commitment, SealedHeader, WrappedKey},
    suite::Suite,
    ticket::{AccessSecret, OutcomeKey, Ticket},
    transcript::{KeyAlgorithm, KeyPurpose, Transcript, VouchedKey},
    trust::{ProverIdentity, TrustConfiguration},
};
use zeroize::Zeroizing;

pub fn job() -> JobId {
    JobId::new(1_700_000_000_000, [9; 10])
}

pub fn transcript() -> Transcript {
    let key = |purpose, algorithm, n| VouchedKey {
        purpose,
        algorithm,
        digest: Digest([n; 32]),
    };
    Transcript {
        version: 1,
        role: Role::Keeper,
        nonce: Nonce([1; 32]),
        offered: vec![0x647a, 0x20, 0xffff],
        suite: Suite::XWing,
        session: SessionId([2; 16]),
        lifetime_s: 3600,
        keys: vec![
            key(KeyPurpose::Seal, KeyAlgorithm::XWing, 3),
            key(KeyPurpose::Receipt, KeyAlgorithm::Es256, 4),
            key(KeyPurpose::Tls, KeyAlgorithm::Spki, 5),
        ],
        trust: trust().digest(),
        instance: InstanceId([6; 16]),
    }
}

pub fn trust() -> TrustConfiguration {
    TrustConfiguration {
        version: 1,
        provers: vec![ProverIdentity {
            system: "groth16".into(),
            executable: Digest([7; 32]),
            version: "0.1.0".into(),
        }],
        sandbox: vec!["limits".into(), "seccomp".into()],
        delegation: None,
        durable_scope: None,
        gpu: false,
        telemetry: vec![],
        danger: vec![],
        swap: false,
        sp1_direct: false,
    }
}

pub fn modes() -> Vec<ModeOffer> {
    let offer = |system: &str, mode| ModeOffer {
        system: system.into(),
        mode,
    };
    let plonk = ModeInfo {
        unavailable: Some("the circuit files are not there".into()),
        ..ModeInfo::hiding("plonk")
    };
    let core = ModeInfo {
        hides: false,
        memory_bytes: 10 << 30,
        ..ModeInfo::hiding("core")
    };
    vec![
        offer("groth16", ModeInfo::hiding("groth16")),
        offer("sp1", core),
        offer("sp1", plonk),
    ]
}

pub fn description() -> JobDescription {
    JobDescription {
        version: 1,
        job: job(),
        system: "groth16".into(),
        parts: vec![
            ProgramPart {
                role: "proving_key".into(),
                digest: Digest([8; 32]),
            },
            ProgramPart {
                role: "verifying_key".into(),
                digest: Digest([9; 32]),
            },
        ],
        mode: "groth16".into(),
        acknowledges_not_hiding: false,
        limits: Limits {
            memory_bytes: 1 << 30,
            time_ms: 60_000,
            cycles: 0,
            gas: 0,
        },
        recipients: vec![transcript().digest()],
        delegation: None,
        durability: Durability::Forgotten,
        not_after_ms: 1_700_000_600_000,
    }
}

pub fn header() -> SealedHeader {
    SealedHeader {
        version: 1,
        recipients: vec![WrappedKey {
            transcript: transcript().digest(),
            suite: Suite::X25519.code(),
            encapsulation: vec![10; 32].into(),
            ciphertext: vec![11; 48].into(),
        }],
        commitment: Commitment([12; 32]),
        padded_len: 1 << 21,
    }
}

pub fn evidence() -> Evidence {
    Evidence {
        platform: Platform::Software,
        statement: vec![13; 20].into(),
        event_log: None,
        gpu: Some(vec![14; 4].into()),
        runtime: None,
    }
}

pub fn endorsements() -> Endorsements {
    Endorsements {
        platform: Platform::Software,
        body: b"{}".to_vec().into(),
        gpu: None,
        results: None,
    }
}

pub fn binding() -> Binding {
    let evidence = evidence();
    let leaf = transcript().leaf();
    let tree = Tree::new([leaf.as_slice(), b"another"]).unwrap();
    let (gpu, runtime) = (evidence.gpu_digest(), evidence.runtime_digest());
    Binding::new(evidence.platform, Role::Keeper, tree.root(), gpu, runtime)
}

pub fn session() -> SessionEvidence {
    let leaf = transcript().leaf();
    let tree = Tree::new([leaf.as_slice(), b"another"]).unwrap();
    SessionEvidence {
        transcript: cbor::to_vec(&transcript()).into(),
        path: tree.path(0).unwrap(),
        evidence: evidence(),
        endorsements: endorsements(),
        trust: cbor::to_vec(&trust()).into(),
    }
}

pub fn receipt() -> Receipt {
    Receipt {
        version: 1,
        job: job(),
        description: description().digest(),
        system: "groth16".into(),
        mode: "groth16".into(),
        parts: description().parts,
        public_values: Digest([15; 32]),
        proof: Digest([16; 32]),
        sealed_input: Digest([17; 32]),
        commitment: Commitment([12; 32]),
        prover_version: "soundproof-prover-groth16 0.1.0".into(),
        prover_executable: Digest([7; 32]),
        verified: true,
        client_appraised: true,
        holders: vec![Holder {
            role: Role::Keeper,
            evidence: evidence().digest(),
            trust: trust().digest(),
            integrity_start: trust().sandbox,
            integrity_end: trust().sandbox,
        }],
        claimed_start_ms: 1_700_000_000_100,
        claimed_end_ms: 1_700_000_000_300,
        verifying_key: None,
    }
}

pub fn receipt_key() -> SigningKey {
    SigningKey::from_slice(&[18; 32]).unwrap()
}

pub fn signed_receipt() -> (Vec<u8>, Vec<u8>) {
    let key = receipt_key();
    let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
    (receipt().sign(&key), public)
}

pub fn bundle() -> Bundle {
    let (receipt, key) = signed_receipt();
    Bundle {
        version: 1,
        receipt: receipt.into(),
        receipt_key: key.into(),
        session: session(),
    }
}

pub fn ticket() -> Ticket {
    Ticket {
        version: 1,
        url: "http://127.0.0.1:8480".into(),
        description: cbor::to_vec(&description()).into(),
        outcome_key: OutcomeKey([19; 32]),
        access_secret: AccessSecret([20; 32]),
        sealed_input: Digest([17; 32]),
        commitment: Commitment([12; 32]),
        session: session(),
    }
}

pub fn outcome(end: End) -> Outcome {
    Outcome {
        version: 1,
        job: job(),
        description: description().digest(),
        end,
    }
}

pub fn proved() -> Proved {
    let (receipt, key) = signed_receipt();
    Proved {
        proof: b"{}".to_vec().into(),
        public_values: b"[]".to_vec().into(),
        receipt: receipt.into(),
        receipt_key: key.into(),
        phases: vec![PhaseTime {
            phase: "prove".into(),
            us: 100_000,
        }],
    }
}

fn opened() -> SessionOpened {
    let session = session();
    SessionOpened {
        transcript: session.transcript,
        path: session.path,
        evidence: session.evidence,
        endorsements_digest: session.endorsements.digest(),
        endorsements: None,
        trust: session.trust,
        seal_key: vec![21; 32].into(),
        receipt_key: signed_receipt().1.into(),
    }
}

fn open_session() -> OpenSession {
    let (nonce, held) = (Nonce([1; 32]), vec![endorsements().digest()]);
    OpenSession {
        version: 1,
        nonce,
        suites: vec![0x647a, 0x20],
        held,
    }
}

/// Every message's name and bytes.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let create = CreateJob {
        description: cbor::to_vec(&description()).into(),
        header: cbor::to_vec(&header()).into(),
        part_chunks: 8,
        input: Some(vec![22; 10].into()),
    };
    let failure = Failure::new(Code::ConstraintFailed, "line 7");
    let refusal = Refusal {
        code: Code::SessionsFull,
        detail: None,
    };
    let sealed = SealedProgress {
        salt: Salt([23; 32]),
        sequence: 3,
        ciphertext: vec![24; 4].into(),
    };
    let progress = Progress {
        phase: "witness".into(),
        permille: 500,
        attempt: 1,
    };
    vec![
        ("transcript", cbor::to_vec(&transcript())),
        ("trust", cbor::to_vec(&trust())),
        ("description", cbor::to_vec(&description())),
        ("header", cbor::to_vec(&header())),
        ("evidence", cbor::to_vec(&evidence())),
        ("endorsements", cbor::to_vec(&endorsements())),
        ("open-session", cbor::to_vec(&open_session())),
        ("session-opened", cbor::to_vec(&opened())),
        ("create-job", cbor::to_vec(&create)),
        ("receipt", cbor::to_vec(&receipt())),
        ("signed-receipt", signed_receipt().0),
        ("bundle", cbor::to_vec(&bundle())),
        ("ticket", cbor::to_vec(&ticket())),
        (
            "outcome-proved",
            cbor::to_vec(&outcome(End::Proved(proved()))),
        ),
        (
            "outcome-failed",
            cbor::to_vec(&outcome(End::Failed(failure))),
        ),
        ("progress", cbor::to_vec(&progress)),
        ("sealed-progress", cbor::to_vec(&sealed)),
        (
            "link-ask",
            Frame::Ask(
                1,
                GatewayAsks::OpenSession {
                    open: open_session(),
                    unappraised: false,
                },
            )
            .to_vec(),
        ),
        (
            "link-answer",
            Frame::Answer(1, KeeperAnswers::Status(KeeperStatus::default())).to_vec(),
        ),
        (
            "link-hello",
            Frame::Answer(
                3,
                KeeperAnswers::Hello {
                    instance: InstanceId([4; 16]),
                    modes: modes(),
                    slots: 2,
                    direct: Some(DirectSecret(Zeroizing::new([5; 32]))),
                },
            )
            .to_vec(),
        ),
        (
            "link-refused",
            Frame::Answer(2, KeeperAnswers::Refused(refusal)).to_vec(),
        ),
        (
            "link-pull",
            Frame::Pull(
                7,
                KeeperPulls::Chunk {
                    job: job(),
                    index: 2,
                },
            )
            .to_vec(),
        ),
        (
            "link-piece",
            Frame::Piece(7, GatewayPieces::Missing(Code::StorageFailed)).to_vec(),
        ),
    ]
}
