//! A whole server in this process: gateway, keeper and enclave, on the
//! software platform, which records every byte that it is sent and misbehaves
//! in one way at a time.

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use p256::{ecdsa::SigningKey, elliptic_curve::Generate as _};
use rand_core::{Rng as _, UnwrapErr};
use soundproof::protocol::{
    PROTOCOL_VERSION,
    api::{
        ACCESS_HEADER, CreateJob, HostEnd, InputView, JobState, JobView, OpenSession, PartView,
        Problem, SessionOpened,
    },
    attestation::{Endorsements, Platform, Role},
    binding::Binding,
    cbor,
    description::JobDescription,
    digest::Digest,
    error::{Code, Failure},
    id::{InstanceId, JobId, Nonce, SessionId},
    merkle::Tree,
    outcome::{End, Outcome, PhaseTime, Proved, Salt},
    receipt::{Holder, Receipt},
    sealed::{Commitment, PartLayout, SealedHeader},
    suite::Suite,
    transcript::{KeyAlgorithm, KeyPurpose, Transcript, VouchedKey},
    trust::{ProverIdentity, TrustConfiguration},
};
use soundproof_attester::{
    Attester as _,
    software::{Measured, Options, SoftwarePlatform},
};
use soundproof_seal::{
    JobKeys, Opener, Prologue, Recipient, header::sealed_input_hasher, open_header,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

pub(crate) const VKEY: &[u8] = include_bytes!("../../../proofs/testdata/verification_key.json");
pub(crate) const PROOF: &[u8] = include_bytes!("../../../proofs/testdata/proof.json");
pub(crate) const PUBLIC: &[u8] = include_bytes!("../../../proofs/testdata/public.json");

/// SP1's `vk.hash_bytes()` of the one program that is proved here.
pub(crate) const VK_HASH: [u8; 32] = [0x5a; 32];

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    None,
    // === Sessions ===
    ReplayedNonce,
    SuiteStripped,
    SuiteNotOffered,
    OtherVersion,
    OtherRole,
    LifetimeTooLong,
    OtherSealKey,
    OtherReceiptKey,
    NoReceiptKey,
    OtherBinding,
    TruncatedPath,
    OversizePath,
    TrustSwapped,
    TrustWithDanger,
    EndorsementsSwapped,
    EndorsementsLeftOut,
    EvidenceChanged,
    NotCbor,
    TrailingByte,
    TooLong,
    // === Outcomes ===
    Failed,
    Forged,
    OtherJob,
    OtherDescription,
    ReceiptForged,
    ReceiptUnderOtherKey,
    ReceiptOfOtherJob,
    ReceiptOfOtherDescription,
    ReceiptOfOtherProgram,
    ReceiptOfOtherProof,
    ReceiptOfOtherPublic,
    ReceiptOfOtherInput,
    ReceiptOfOtherCommitment,
    ReceiptOfOtherEnclave,
    ReceiptOfTwoEnclaves,
    ReceiptOfUnlistedProver,
    ReceiptNotAppraised,
    ReceiptWithoutSandbox,
    ReceiptWithoutKey,
    ReceiptOfOtherKey,
    ReceiptWithKey,
    OtherPublicValues,
}

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

struct Session {
    recipient: Recipient,
    receipt_key: SigningKey,
    digest: Digest,
    evidence: Digest,
}

pub(crate) struct Job {
    pub(crate) description: JobDescription,
    pub(crate) header: SealedHeader,
    pub(crate) keys: JobKeys,
    layout: PartLayout,
    part_chunks: u32,
    pub(crate) parts: BTreeMap<u32, Vec<u8>>,
    receipt_key: SigningKey,
    evidence: Digest,
}

impl Job {
    fn state(&self) -> JobState {
        match self.parts.len() as u32 {
            n if n == self.layout.parts() => JobState::Running,
            0 => JobState::Created,
            _ => JobState::Uploading,
        }
    }

    /// The witness, opened as an enclave would.
    pub(crate) fn open(&self) -> Vec<u8> {
        let opener = Opener::new(&self.keys, &self.header).unwrap();
        let mut plaintext = Vec::new();
        let mut sealed = &self.parts.values().flatten().copied().collect::<Vec<u8>>()[..];
        for index in 0..self.header.chunks().unwrap() {
            let (chunk, rest) = sealed.split_at(self.header.sealed_chunk_len(index).unwrap());
            plaintext.extend_from_slice(&opener.open(index, chunk.to_vec()).unwrap());
            sealed = rest;
        }
        let prologue = Prologue::read(&plaintext, self.header.padded_len).unwrap();
        plaintext.drain(..48);
        plaintext.truncate(prologue.witness_len as usize);
        plaintext
    }
}

/// What can go wrong on the way, a number of times each.
#[derive(Default, Clone, Copy)]
pub(crate) struct Mishaps {
    /// Outcome calls that say `key_lost`.
    pub(crate) key_lost: u32,
    /// Create calls that say `session_unknown`.
    pub(crate) session_unknown: u32,
    /// Part calls that are done and whose replies are lost.
    pub(crate) lost_replies: u32,
    /// Part calls that are refused before anything is done.
    pub(crate) refused_parts: u32,
    /// Outcome calls that say `outcome_not_ready`.
    pub(crate) not_ready: u32,
    /// Session calls that say `sessions_full`.
    pub(crate) sessions_full: u32,
}

pub(crate) struct Fake {
    platform: SoftwarePlatform,
    pub(crate) trust: TrustConfiguration,
    pub(crate) twist: Mutex<Twist>,
    pub(crate) mishaps: Mutex<Mishaps>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    sessions: Mutex<Vec<Session>>,
    pub(crate) jobs: Mutex<HashMap<JobId, Job>>,
    pub(crate) blobs: Mutex<HashMap<Digest, Bytes>>,
    /// SHA-256 of the TLS key that transcripts vouch for.
    pub(crate) tls_key: Mutex<Option<Digest>>,
    _dir: tempfile::TempDir,
}

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let measured = Measured {
            soundproofd: Digest::of(b"the keeper's executable"),
            provers: ["groth16", "sp1"]
                .map(|s| Digest::of(s.as_bytes()))
                .to_vec(),
        };
        let platform = SoftwarePlatform::open_or_create(
            dir.path(),
            &measured,
            Options::default(),
            soundproof::now_ms(),
        )
        .unwrap();
        Arc::new(Self {
            platform,
            trust: TrustConfiguration {
                version: PROTOCOL_VERSION,
                provers: ["groth16", "sp1"]
                    .map(|system| ProverIdentity {
                        system: system.into(),
                        executable: Digest::of(system.as_bytes()),
                        version: "0".into(),
                    })
                    .to_vec(),
                sandbox: vec!["seccomp".into()],
                delegation: None,
                durable_scope: None,
                gpu: false,
                telemetry: vec![],
                danger: vec![],
                swap: false,
                sp1_direct: false,
            },
            twist: Mutex::new(Twist::None),
            mishaps: Mutex::default(),
            seen: Mutex::default(),
            sessions: Mutex::default(),
            jobs: Mutex::default(),
            blobs: Mutex::default(),
            tls_key: Mutex::new(None),
            _dir: dir,
        })
    }

    /// A policy that accepts exactly this server.
    pub(crate) fn policy(&self) -> soundproof::Policy {
        self.platform.policy("test", &self.trust).unwrap()
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(Arc::clone(self))
    }

    /// Listens on loopback, plain; the URL.
    pub(crate) async fn listen(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    pub(crate) fn twist(&self, twist: Twist) {
        *self.twist.lock().unwrap() = twist;
    }

    fn is(&self, twist: Twist) -> bool {
        *self.twist.lock().unwrap() == twist
    }

    /// Whether a mishap of this kind is due; counts it down.
    fn due(&self, kind: impl Fn(&mut Mishaps) -> &mut u32) -> bool {
        let mut mishaps = self.mishaps.lock().unwrap();
        let left = kind(&mut mishaps);
        let due = *left > 0;
        *left = left.saturating_sub(1);
        due
    }

    /// Everything that arrived, in one piece: for looking for secrets.
    pub(crate) fn every_byte(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for seen in self.seen.lock().unwrap().iter() {
            all.extend_from_slice(seen.path.as_bytes());
            for (name, value) in &seen.headers {
                all.extend_from_slice(name.as_str().as_bytes());
                all.extend_from_slice(value.as_bytes());
            }
            all.extend_from_slice(&seen.body);
        }
        all
    }

    pub(crate) fn calls(&self, method: &Method, prefix: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.method == *method && seen.path.starts_with(prefix))
            .count()
    }

    fn open_session(&self, asked: OpenSession) -> Result<Vec<u8>, Code> {
        let chosen = Suite::choose(&asked.suites).ok_or(Code::SuiteUnsupported)?;
        let suite = match self.is(Twist::SuiteNotOffered) {
            true => Suite::ALL.into_iter().find(|s| *s != chosen).unwrap(),
            false => chosen,
        };
        let recipient = Recipient::generate(suite, &mut rng()).unwrap();
        let receipt_key = SigningKey::generate_from_rng(&mut rng());
        let receipt_public = receipt_key
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec();
        let mut trust = self.trust.clone();
        if self.is(Twist::TrustWithDanger) {
            trust.danger = vec!["anything".into()];
        }
        let vouched = |purpose, algorithm, key: &[u8]| VouchedKey {
            purpose,
            algorithm,
            digest: Digest::of(key),
        };
        let mut keys = vec![vouched(
            KeyPurpose::Seal,
            suite.into(),
            recipient.public_key(),
        )];
        if !self.is(Twist::NoReceiptKey) {
            keys.push(vouched(
                KeyPurpose::Receipt,
                KeyAlgorithm::Es256,
                &receipt_public,
            ));
        }
        if let Some(digest) = *self.tls_key.lock().unwrap() {
            keys.push(VouchedKey {
                purpose: KeyPurpose::Tls,
                algorithm: KeyAlgorithm::Spki,
                digest,
            });
        }
        let mut session = [0; 16];
        rng().fill_bytes(&mut session);
        let transcript = Transcript {
            version: match self.is(Twist::OtherVersion) {
                true => PROTOCOL_VERSION + 1,
                false => PROTOCOL_VERSION,
            },
            role: match self.is(Twist::OtherRole) {
                true => Role::Worker,
                false => Role::Keeper,
            },
            nonce: match self.is(Twist::ReplayedNonce) {
                true => Nonce([7; 32]),
                false => asked.nonce,
            },
            offered: match self.is(Twist::SuiteStripped) {
                true => vec![Suite::X25519.code()],
                false => asked.suites.clone(),
            },
            suite,
            session: SessionId(session),
            lifetime_s: match self.is(Twist::LifetimeTooLong) {
                true => 3601,
                false => 3600,
            },
            keys,
            trust: trust.digest(),
            instance: InstanceId([9; 16]),
        };
        let leaf = transcript.leaf();
        let tree = Tree::new([b"another".as_slice(), &leaf, b"a third"]).unwrap();
        let root = match self.is(Twist::OtherBinding) {
            true => Digest([3; 32]),
            false => tree.root(),
        };
        let binding = Binding::new(Platform::Software, transcript.role, root, None, None);
        let mut evidence = self.platform.evidence(&binding).unwrap();
        if self.is(Twist::EvidenceChanged) {
            let middle = evidence.statement.0.len() / 2;
            evidence.statement.0[middle] ^= 1;
        }
        let mut path = tree.path(1).unwrap();
        if self.is(Twist::TruncatedPath) {
            path.siblings.pop();
        }
        if self.is(Twist::OversizePath) {
            path.siblings = vec![Digest([0; 32]); 1000];
        }
        let endorsements = self.platform.endorsements().unwrap();
        let digest = endorsements.digest();
        let held = asked.held.contains(&digest);
        let sent = match *self.twist.lock().unwrap() {
            Twist::EndorsementsSwapped => Some(Endorsements {
                platform: Platform::Software,
                body: b"{}".to_vec().into(),
                gpu: None,
                results: None,
            }),
            Twist::EndorsementsLeftOut => None,
            _ => (!held).then_some(endorsements),
        };
        let mut sent_trust = trust.clone();
        if self.is(Twist::TrustSwapped) {
            sent_trust.swap = true;
        }
        let mut seal_key = recipient.public_key().to_vec();
        if self.is(Twist::OtherSealKey) {
            seal_key = Recipient::generate(suite, &mut rng())
                .unwrap()
                .public_key()
                .to_vec();
        }
        let mut sent_receipt_key = receipt_public.clone();
        if self.is(Twist::OtherReceiptKey) {
            sent_receipt_key = SigningKey::generate_from_rng(&mut rng())
                .verifying_key()
                .to_sec1_point(false)
                .as_bytes()
                .to_vec();
        }
        self.sessions.lock().unwrap().push(Session {
            recipient,
            receipt_key,
            digest: transcript.digest(),
            evidence: evidence.digest(),
        });
        let mut reply = cbor::to_vec(&SessionOpened {
            transcript: cbor::to_vec(&transcript).into(),
            path,
            evidence,
            endorsements_digest: digest,
            endorsements: sent,
            trust: cbor::to_vec(&sent_trust).into(),
            seal_key: seal_key.into(),
            receipt_key: sent_receipt_key.into(),
        });
        match *self.twist.lock().unwrap() {
            Twist::NotCbor => reply = b"<html>".to_vec(),
            Twist::TrailingByte => reply.push(0),
            Twist::TooLong => reply.resize(3 * 1024 * 1024, 0),
            _ => {}
        }
        Ok(reply)
    }

    fn create(&self, body: &[u8]) -> Result<(StatusCode, JobView), Code> {
        let create: CreateJob =
            cbor::from_slice(body, 8 << 20).map_err(|_| Code::RequestMalformed)?;
        let description = JobDescription::from_slice(&create.description.0)
            .map_err(|_| Code::DescriptionInvalid)?;
        let header = SealedHeader::from_slice(&create.header.0).map_err(|_| Code::HeaderInvalid)?;
        if self.due(|m| &mut m.session_unknown) {
            return Err(Code::SessionUnknown);
        }
        let mut jobs = self.jobs.lock().unwrap();
        if let Some(job) = jobs.get(&description.job) {
            return Ok((StatusCode::OK, view(job)));
        }
        for part in &description.parts {
            if !self.blobs.lock().unwrap().contains_key(&part.digest) {
                return Err(Code::BlobMissing);
            }
        }
        let sessions = self.sessions.lock().unwrap();
        let session = sessions
            .iter()
            .find(|session| description.recipients.contains(&session.digest))
            .ok_or(Code::SessionUnknown)?;
        let keys = open_header(&session.recipient, &session.digest, &description, &header)
            .map_err(|error| error.code())?;
        let layout = PartLayout::new(&header, create.part_chunks).ok_or(Code::HeaderInvalid)?;
        let mut job = Job {
            layout,
            part_chunks: create.part_chunks,
            parts: BTreeMap::new(),
            receipt_key: session.receipt_key.clone(),
            evidence: session.evidence,
            description,
            header,
            keys,
        };
        if let Some(input) = create.input {
            job.parts.insert(0, input.0);
        }
        let view = view(&job);
        jobs.insert(job.description.job, job);
        Ok((StatusCode::CREATED, view))
    }

    fn outcome(&self, job: &Job) -> Vec<u8> {
        let other = Digest([0xee; 32]);
        let digest = job.description.digest();
        let mut hasher = sealed_input_hasher(&job.header);
        for part in job.parts.values() {
            hasher.update(part);
        }
        let twist = *self.twist.lock().unwrap();
        let public = match twist {
            Twist::OtherPublicValues => String::from_utf8(PUBLIC.to_vec())
                .unwrap()
                .replacen("\"", "\"1", 1)
                .into_bytes(),
            _ => PUBLIC.to_vec(),
        };
        let holder = Holder {
            role: Role::Keeper,
            evidence: job.evidence,
            trust: self.trust.digest(),
            integrity_start: vec!["seccomp".into()],
            integrity_end: vec!["seccomp".into()],
        };
        let mut receipt = Receipt {
            version: PROTOCOL_VERSION,
            job: job.description.job,
            description: digest,
            system: job.description.system.clone(),
            mode: job.description.mode.clone(),
            parts: job.description.parts.clone(),
            public_values: Digest::of(&public),
            proof: Digest::of(PROOF),
            sealed_input: hasher.finish(),
            commitment: job.header.commitment,
            prover_version: "0".into(),
            prover_executable: Digest::of(job.description.system.as_bytes()),
            verified: true,
            client_appraised: true,
            holders: vec![holder.clone()],
            claimed_start_ms: soundproof::now_ms(),
            claimed_end_ms: soundproof::now_ms(),
            verifying_key: (job.description.system == "sp1").then(|| VK_HASH.to_vec().into()),
        };
        match twist {
            Twist::ReceiptOfOtherJob => receipt.job = JobId::new(1, [1; 10]),
            Twist::ReceiptOfOtherDescription => receipt.description = other,
            Twist::ReceiptOfOtherProgram => receipt.parts[0].digest = other,
            Twist::ReceiptOfOtherProof => receipt.proof = other,
            Twist::ReceiptOfOtherPublic => receipt.public_values = other,
            Twist::ReceiptOfOtherInput => receipt.sealed_input = other,
            Twist::ReceiptOfOtherCommitment => receipt.commitment = Commitment([1; 32]),
            Twist::ReceiptOfOtherEnclave => receipt.holders[0].evidence = other,
            Twist::ReceiptOfTwoEnclaves => receipt.holders.push(holder),
            Twist::ReceiptOfUnlistedProver => receipt.prover_executable = other,
            Twist::ReceiptNotAppraised => receipt.client_appraised = false,
            Twist::ReceiptWithoutKey => receipt.verifying_key = None,
            Twist::ReceiptOfOtherKey | Twist::ReceiptWithKey => {
                receipt.verifying_key = Some(vec![9; 32].into());
            }
            Twist::ReceiptWithoutSandbox => receipt.holders[0].integrity_end.clear(),
            _ => {}
        }
        let own = &job.receipt_key;
        let stranger = SigningKey::generate_from_rng(&mut rng());
        let signer = match twist {
            Twist::ReceiptForged | Twist::ReceiptUnderOtherKey => &stranger,
            _ => own,
        };
        let named = match twist {
            Twist::ReceiptUnderOtherKey => &stranger,
            _ => own,
        };
        let mut outcome = Outcome {
            version: PROTOCOL_VERSION,
            job: job.description.job,
            description: digest,
            end: End::Proved(Proved {
                proof: PROOF.to_vec().into(),
                public_values: public.into(),
                receipt: receipt.sign(signer).into(),
                receipt_key: named
                    .verifying_key()
                    .to_sec1_point(false)
                    .as_bytes()
                    .to_vec()
                    .into(),
                phases: vec![PhaseTime {
                    phase: "prove".into(),
                    us: 1234,
                }],
            }),
        };
        match twist {
            Twist::OtherJob => outcome.job = JobId::new(1, [1; 10]),
            Twist::OtherDescription => outcome.description = other,
            Twist::Failed => {
                outcome.end = End::Failed(Failure::new(Code::ConstraintFailed, "line 42"));
            }
            _ => {}
        }
        let mut key = job.keys.outcome.clone();
        if twist == Twist::Forged {
            key.0[0] ^= 1;
        }
        let mut salt = Salt([0; 32]);
        rng().fill_bytes(&mut salt.0);
        soundproof_seal::outcome::seal(&key, &digest, salt, &outcome).unwrap()
    }
}

fn view(job: &Job) -> JobView {
    JobView {
        id: job.description.job,
        state: job.state(),
        end: None,
        description: job.description.digest(),
        instance: InstanceId([9; 16]),
        created_ms: 0,
        ended_ms: None,
        input_bytes: 0,
        outcome_bytes: None,
        attempts: 1,
    }
}

fn input_view(job: &Job) -> InputView {
    InputView {
        state: job.state(),
        parts: job.layout.parts(),
        part_chunks: job.part_chunks,
        held: job
            .parts
            .iter()
            .map(|(part, bytes)| PartView {
                part: *part,
                digest: Digest::of(bytes),
            })
            .collect(),
    }
}

pub(crate) fn problem(code: Code) -> Response {
    let body = serde_json::to_string(&Problem {
        kind: format!("urn:soundproof:error:{code}"),
        title: code.title().into(),
        status: code.status(),
        detail: Some("words of \u{1b}[31mthe server".into()),
        code: code.name().into(),
        fault: code.fault().name().into(),
        retryable: code.retryable(),
        remedy: code.remedy().into(),
        retry_after_s: None,
    })
    .unwrap();
    (StatusCode::from_u16(code.status()).unwrap(), body).into_response()
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    (status, serde_json::to_string(value).unwrap()).into_response()
}

/// A reply whose body breaks off.
fn broken() -> Response {
    let pieces = [
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::other("cut")),
    ];
    Body::from_stream(futures_util::stream::iter(pieces)).into_response()
}

async fn handle(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    fake.seen.lock().unwrap().push(Seen {
        method: head.method.clone(),
        path: path.clone(),
        headers: head.headers.clone(),
        body: body.clone(),
    });
    let path = path.split('?').next().unwrap().to_owned();
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (head.method.as_str(), steps.as_slice()) {
        ("GET", ["v1", "info"]) => json(
            StatusCode::OK,
            &serde_json::json!({
                "version": "0.1.0",
                "protocol": 1,
                "instance": InstanceId([9; 16]).to_string(),
                "modes": [
                    {"system": "groth16", "name": "groth16", "hides": true,
                        "unavailable": null, "memory_bytes": 0},
                    {"system": "sp1", "name": "plonk", "hides": true,
                        "unavailable": "no circuit\u{1b}files", "memory_bytes": 0},
                ],
                "refuse_not_hiding": true,
                "a key of a later version": [],
            }),
        ),
        ("POST", ["v1", "sessions"]) => {
            if fake.due(|m| &mut m.sessions_full) {
                return problem(Code::SessionsFull);
            }
            match fake.open_session(cbor::from_slice(&body, 2048).unwrap()) {
                Ok(reply) => reply.into_response(),
                Err(code) => problem(code),
            }
        }
        (method, ["v1", "blobs", digest]) => {
            let digest: Digest = digest.parse().unwrap();
            let mut blobs = fake.blobs.lock().unwrap();
            match (method, blobs.get(&digest)) {
                ("PUT", _) if Digest::of(&body) == digest => {
                    blobs.insert(digest, body);
                    StatusCode::NO_CONTENT.into_response()
                }
                ("PUT", _) => problem(Code::BlobDigestMismatch),
                (_, Some(blob)) => blob.clone().into_response(),
                (_, None) => problem(Code::NotFound),
            }
        }
        ("POST", ["v1", "jobs"]) => match fake.create(&body) {
            Ok((status, view)) => json(status, &view),
            Err(code) => problem(code),
        },
        (method, ["v1", "jobs", id, rest @ ..]) => {
            let mut jobs = fake.jobs.lock().unwrap();
            let Some(job) = jobs.get_mut(&id.parse::<JobId>().unwrap()) else {
                return problem(Code::JobNotFound);
            };
            let secret: String = job
                .keys
                .access
                .as_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            if head.headers.get(ACCESS_HEADER).map(|v| v.as_bytes()) != Some(secret.as_bytes()) {
                return problem(Code::JobNotFound);
            }
            match (method, rest) {
                ("PUT", ["input", part]) => {
                    if fake.due(|m| &mut m.refused_parts) {
                        return problem(Code::ShuttingDown);
                    }
                    let part: u32 = part.parse().unwrap();
                    match job.parts.get(&part) {
                        Some(held) if held[..] != body[..] => return problem(Code::PartConflict),
                        _ => job.parts.insert(part, body.to_vec()),
                    };
                    if fake.due(|m| &mut m.lost_replies) {
                        return broken();
                    }
                    json(StatusCode::OK, &input_view(job))
                }
                ("GET", ["input"]) => json(StatusCode::OK, &input_view(job)),
                ("GET", ["outcome"]) => {
                    if fake.due(|m| &mut m.key_lost) {
                        return problem(Code::KeyLost);
                    }
                    if fake.due(|m| &mut m.not_ready) {
                        return problem(Code::OutcomeNotReady);
                    }
                    fake.outcome(job).into_response()
                }
                ("GET", ["events"]) => events(job).into_response(),
                ("GET", []) => {
                    let mut view = view(job);
                    view.state = JobState::Ended;
                    view.end = Some(HostEnd::KeyLost);
                    json(StatusCode::OK, &view)
                }
                _ => problem(Code::MethodNotAllowed),
            }
        }
        _ => problem(Code::NotFound),
    }
}

/// A state, a progress event, the same one again, and one of another job's.
fn events(job: &Job) -> String {
    use base64::Engine as _;
    let base64 = |bytes| base64::engine::general_purpose::STANDARD.encode(bytes);
    let digest = job.description.digest();
    let progress = soundproof::protocol::outcome::Progress {
        phase: "prove".into(),
        permille: 500,
        attempt: 1,
    };
    let sealed = |key: &_| {
        let mut sealer = soundproof_seal::progress::Sealer::new(key, &digest, Salt([1; 32]));
        base64(cbor::to_vec(&sealer.seal(&progress).unwrap()))
    };
    let mut other = job.keys.outcome.clone();
    other.0[5] ^= 1;
    let (own, other) = (sealed(&job.keys.outcome), sealed(&other));
    let state = serde_json::to_string(&view(job)).unwrap();
    format!(
        "event: state\ndata: {state}\n\nevent: progress\ndata: {own}\n\nevent: progress\ndata: {own}\n\nevent: progress\ndata: {other}\n\n"
    )
}
