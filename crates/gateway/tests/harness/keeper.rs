//! The other end of the link.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use soundproof_protocol::{
    api::SessionOpened,
    attestation::{Evidence, Platform},
    description::JobDescription,
    digest::Digest,
    error::Code,
    id::{InstanceId, JobId},
    link::{
        DirectSecret, Frame, GatewayAsks, GatewayPieces, KeeperAnswers, KeeperPulls, KeeperStatus,
        KeeperTells, MAX_FRAME, MAX_PIECE, Refusal,
    },
    merkle::Path,
    mode::{ModeInfo, ModeOffer},
    outcome::{Salt, SealedProgress},
    sealed::SealedHeader,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::{
    net::UnixStream,
    sync::{Notify, mpsc, oneshot},
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Reads the input and ends with an outcome of so many bytes.
    End(usize),
    /// Waits to be cancelled, then ends with a small outcome.
    UntilCancelled,
    /// Puts it back.
    Requeue,
    /// Says that it does not have the key.
    NoKey,
    /// Answers `Ended` without having handed over an outcome.
    Liar,
    /// Never answers.
    Hang,
}

/// What happened at a run.
#[derive(Debug, Clone)]
pub struct Ran {
    pub job: JobId,
    pub attempt: u32,
    pub at: Instant,
    /// Digest of the chunks pulled.
    pub input: Option<Digest>,
    pub outcome: Vec<u8>,
}

pub struct FakeKeeper {
    pub instance: InstanceId,
    pub slots: u32,
    pub modes: Vec<ModeOffer>,
    /// With the direct path on: its secret.
    pub direct: Option<[u8; 32]>,
    /// Of each session, whether nobody appraises it.
    pub unappraised: Mutex<Vec<bool>>,
    /// Jobs whose keys it has.
    pub held: Mutex<HashMap<JobId, (JobDescription, SealedHeader)>>,
    /// What the next runs do, first one first; `End(20_000)` after them.
    pub acts: Mutex<Vec<Act>>,
    pub ran: Mutex<Vec<Ran>>,
    pub forgotten: Mutex<Vec<JobId>>,
    pub refuse_admission: Mutex<Option<Code>>,
    pub refuse_session: Mutex<Option<Code>>,
    /// What sessions are answered with, if it matters.
    pub session: Mutex<Option<SessionOpened>>,
    /// It answers nothing but `Hello` and `Holds`.
    pub mute: std::sync::atomic::AtomicBool,
    pub sessions: AtomicU64,
    pub admissions: AtomicU64,
    pub running: AtomicU32,
    tls: Mutex<Option<Digest>>,
    cancelled: Mutex<HashSet<JobId>>,
    cancel: Notify,
    hang_up: Notify,
}

/// The access secret of a job.
pub fn secret(id: &JobId) -> [u8; 32] {
    Digest::of(&id.0).0
}

/// One that hides, one that does not, one that is not offered.
fn modes() -> Vec<ModeOffer> {
    let offer = |system: &str, mode| ModeOffer {
        system: system.into(),
        mode,
    };
    vec![
        offer("groth16", ModeInfo::hiding("groth16")),
        offer(
            "sp1",
            ModeInfo {
                hides: false,
                ..ModeInfo::hiding("core")
            },
        ),
        offer(
            "sp1",
            ModeInfo {
                unavailable: Some("the circuit files are not there".into()),
                ..ModeInfo::hiding("plonk")
            },
        ),
    ]
}

impl FakeKeeper {
    pub fn new() -> Self {
        Self {
            instance: InstanceId(super::random()),
            slots: 4,
            modes: modes(),
            direct: None,
            unappraised: Mutex::default(),
            held: Mutex::default(),
            acts: Mutex::default(),
            ran: Mutex::default(),
            forgotten: Mutex::default(),
            refuse_admission: Mutex::default(),
            refuse_session: Mutex::default(),
            session: Mutex::default(),
            mute: false.into(),
            sessions: AtomicU64::new(0),
            admissions: AtomicU64::new(0),
            running: AtomicU32::new(0),
            tls: Mutex::default(),
            cancelled: Mutex::default(),
            cancel: Notify::new(),
            hang_up: Notify::new(),
        }
    }

    pub fn with_acts(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        let keeper = Self::new();
        *keeper.acts.lock().unwrap() = acts.into_iter().collect();
        Arc::new(keeper)
    }

    pub fn ran(&self, job: &JobId) -> Vec<Ran> {
        self.ran
            .lock()
            .unwrap()
            .iter()
            .filter(|ran| ran.job == *job)
            .cloned()
            .collect()
    }

    pub fn forgot(&self, job: &JobId) -> bool {
        self.forgotten.lock().unwrap().contains(job)
    }

    /// What it was told of the gateway's TLS key.
    pub fn tls(&self) -> Option<Digest> {
        *self.tls.lock().unwrap()
    }

    /// Closes the link.
    pub fn hang_up(&self) {
        self.hang_up.notify_waiters();
    }

    pub fn serve(self: Arc<Self>, stream: UnixStream) {
        let codec = LengthDelimitedCodec::builder()
            .max_frame_length(MAX_FRAME)
            .new_codec();
        let (mut sink, mut source) = Framed::new(stream, codec).split();
        let (frames, mut queue) = mpsc::channel::<Frame>(16);
        let writer = tokio::spawn(async move {
            while let Some(frame) = queue.recv().await {
                if sink.send(Bytes::from(frame.to_vec())).await.is_err() {
                    break;
                }
            }
        });
        let peer = Arc::new(Peer {
            frames,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
        });
        let hang = self.clone();
        tokio::spawn(async move {
            let mut hang_up = std::pin::pin!(hang.hang_up.notified());
            hang_up.as_mut().enable();
            loop {
                let bytes = tokio::select! {
                    bytes = source.next() => bytes,
                    () = &mut hang_up => None,
                };
                let Some(Ok(bytes)) = bytes else { break };
                match Frame::from_slice(&bytes).unwrap() {
                    Frame::Ask(number, ask) => {
                        let (keeper, peer) = (self.clone(), peer.clone());
                        tokio::spawn(async move {
                            if let Some(answer) = keeper.answer(&peer, ask).await {
                                let _ = peer.frames.send(Frame::Answer(number, answer)).await;
                            }
                        });
                    }
                    Frame::Piece(number, piece) => {
                        let reply = peer.waiting.lock().unwrap().remove(&number).unwrap();
                        let _ = reply.send(piece);
                    }
                    other => panic!("a gateway sent {other:?}"),
                }
            }
            peer.waiting.lock().unwrap().clear();
            writer.abort();
        });
    }

    async fn answer(&self, peer: &Peer, ask: GatewayAsks) -> Option<KeeperAnswers> {
        let refused = |code| KeeperAnswers::Refused(Refusal { code, detail: None });
        let mute = self.mute.load(Ordering::SeqCst);
        Some(match ask {
            GatewayAsks::Hello(tls) => {
                *self.tls.lock().unwrap() = tls;
                KeeperAnswers::Hello {
                    instance: self.instance,
                    modes: self.modes.clone(),
                    slots: self.slots,
                    direct: self.direct.map(|secret| DirectSecret(secret.into())),
                }
            }
            GatewayAsks::Holds(ids) => {
                let held = self.held.lock().unwrap();
                KeeperAnswers::Holds(ids.into_iter().filter(|id| held.contains_key(id)).collect())
            }
            _ if mute => return None,
            GatewayAsks::OpenSession { unappraised, .. } => {
                self.unappraised.lock().unwrap().push(unappraised);
                self.sessions.fetch_add(1, Ordering::SeqCst);
                match *self.refuse_session.lock().unwrap() {
                    Some(code) => refused(code),
                    None => {
                        let given = self.session.lock().unwrap().clone();
                        KeeperAnswers::Session(Box::new(given.unwrap_or_else(session)))
                    }
                }
            }
            GatewayAsks::Admit {
                description,
                header,
            } => {
                self.admissions.fetch_add(1, Ordering::SeqCst);
                if let Some(code) = *self.refuse_admission.lock().unwrap() {
                    return Some(refused(code));
                }
                let description = JobDescription::from_slice(&description.0).unwrap();
                let header = SealedHeader::from_slice(&header.0).unwrap();
                let id = description.job;
                self.held.lock().unwrap().insert(id, (description, header));
                KeeperAnswers::Admitted(Digest::of(&secret(&id)))
            }
            GatewayAsks::Run { job, attempt, .. } => {
                let at = Instant::now();
                self.running.fetch_add(1, Ordering::SeqCst);
                let answer = self.run(peer, job, attempt, at).await;
                self.running.fetch_sub(1, Ordering::SeqCst);
                return answer;
            }
            GatewayAsks::Cancel(id) => {
                self.cancelled.lock().unwrap().insert(id);
                self.cancel.notify_waiters();
                KeeperAnswers::Done
            }
            GatewayAsks::Forget(id) => {
                self.held.lock().unwrap().remove(&id);
                self.forgotten.lock().unwrap().push(id);
                KeeperAnswers::Done
            }
            GatewayAsks::Status => KeeperAnswers::Status(KeeperStatus {
                ready: true,
                session_room: 1000,
                ..KeeperStatus::default()
            }),
            other => panic!("{other:?}"),
        })
    }

    async fn run(
        &self,
        peer: &Peer,
        job: JobId,
        attempt: u32,
        at: Instant,
    ) -> Option<KeeperAnswers> {
        let requeue = |code| Some(KeeperAnswers::Requeue(Refusal { code, detail: None }));
        let act = {
            let mut acts = self.acts.lock().unwrap();
            if acts.is_empty() {
                Act::End(20_000)
            } else {
                acts.remove(0)
            }
        };
        let known = self.held.lock().unwrap().get(&job).cloned();
        let mut ran = Ran {
            job,
            attempt,
            at,
            input: None,
            outcome: Vec::new(),
        };
        let Some((description, header)) = known.filter(|_| act != Act::NoKey) else {
            self.ran.lock().unwrap().push(ran);
            return Some(KeeperAnswers::Refused(Refusal {
                code: Code::KeyLost,
                detail: None,
            }));
        };
        let len = match act {
            Act::End(len) => len,
            Act::UntilCancelled => {
                self.ran.lock().unwrap().push(ran);
                loop {
                    let notified = self.cancel.notified();
                    if self.cancelled.lock().unwrap().contains(&job) {
                        break;
                    }
                    notified.await;
                }
                let outcome = b"cancelled".to_vec();
                return match peer.push(job, attempt, &outcome).await {
                    Ok(()) => Some(KeeperAnswers::Ended),
                    Err(code) => requeue(code),
                };
            }
            Act::Requeue => {
                self.ran.lock().unwrap().push(ran);
                return requeue(Code::ProverDied);
            }
            Act::Liar => {
                self.ran.lock().unwrap().push(ran);
                return Some(KeeperAnswers::Ended);
            }
            Act::Hang => {
                self.ran.lock().unwrap().push(ran);
                return std::future::pending().await;
            }
            Act::NoKey => unreachable!(),
        };
        for part in &description.parts {
            let mut blob = Vec::new();
            loop {
                let pull = KeeperPulls::Blob {
                    digest: part.digest,
                    offset: blob.len() as u64,
                };
                let (bytes, total) = peer.bytes(pull).await;
                blob.extend_from_slice(&bytes);
                if blob.len() as u64 == total {
                    break;
                }
            }
            assert_eq!(Digest::of(&blob), part.digest);
        }
        let mut hasher = soundproof_protocol::digest::Hasher::new();
        for index in 0..header.chunks().unwrap() {
            let (bytes, total) = peer.bytes(KeeperPulls::Chunk { job, index }).await;
            assert_eq!(bytes.len(), header.sealed_chunk_len(index).unwrap());
            assert_eq!(total, bytes.len() as u64);
            hasher.update(&bytes);
            let sealed = SealedProgress {
                salt: Salt([7; 32]),
                sequence: index,
                ciphertext: super::noise(272).into(),
            };
            let tell = KeeperTells::Progress { job, sealed };
            peer.frames.send(Frame::Tell(tell)).await.unwrap();
        }
        ran.input = Some(hasher.finish());
        ran.outcome = super::noise(len);
        let pushed = peer.push(job, attempt, &ran.outcome).await;
        self.ran.lock().unwrap().push(ran);
        match pushed {
            Ok(()) => Some(KeeperAnswers::Ended),
            Err(code) => requeue(code),
        }
    }
}

struct Peer {
    frames: mpsc::Sender<Frame>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<GatewayPieces>>>,
}

impl Peer {
    async fn pull(&self, pull: KeeperPulls) -> GatewayPieces {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let (reply, piece) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number, reply);
        let _ = self.frames.send(Frame::Pull(number, pull)).await;
        piece
            .await
            .unwrap_or(GatewayPieces::Missing(Code::KeeperUnavailable))
    }

    async fn bytes(&self, pull: KeeperPulls) -> (Vec<u8>, u64) {
        match self.pull(pull).await {
            GatewayPieces::Bytes { bytes, total } => (bytes.0, total),
            other => panic!("{other:?}"),
        }
    }

    async fn push(&self, job: JobId, attempt: u32, outcome: &[u8]) -> Result<(), Code> {
        let mut offset = 0;
        for piece in outcome.chunks(MAX_PIECE) {
            let last = offset + piece.len() == outcome.len();
            let pull = KeeperPulls::Outcome {
                job,
                attempt,
                offset: offset as u64,
                bytes: piece.to_vec().into(),
                last,
            };
            match self.pull(pull).await {
                GatewayPieces::Taken => {}
                GatewayPieces::Missing(code) => return Err(code),
                other => panic!("{other:?}"),
            }
            offset += piece.len();
        }
        Ok(())
    }
}

pub fn session() -> SessionOpened {
    SessionOpened {
        transcript: vec![1; 400].into(),
        path: Path {
            index: 0,
            leaves: 1,
            siblings: vec![],
        },
        evidence: Evidence {
            platform: Platform::Software,
            statement: vec![2; 5000].into(),
            event_log: None,
            gpu: None,
            runtime: None,
        },
        endorsements_digest: Digest([3; 32]),
        endorsements: None,
        trust: vec![4; 100].into(),
        seal_key: vec![5; 32].into(),
        receipt_key: vec![6; 65].into(),
    }
}
