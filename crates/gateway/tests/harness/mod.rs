//! A gateway under test: the real one, on a free loopback port, with a fake
//! keeper at the other end of its link. The fake opens nothing: to a gateway
//! all inputs and outcomes are noise.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod http;
pub mod keeper;

use keeper::FakeKeeper;
use soundproof_gateway::{GatewayConfig, GatewayError, Listening};
use soundproof_protocol::{
    api::CreateJob,
    cbor::{self, Bytes},
    description::{Durability, JobDescription, Limits, ProgramPart},
    digest::Digest,
    id::JobId,
    sealed::{Commitment, PartLayout, SealedHeader, WrappedKey},
    suite::Suite,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{net::UnixStream, sync::oneshot, task::JoinHandle};

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A gateway that runs.
pub struct Gateway {
    pub listening: Listening,
    pub keeper: Arc<FakeKeeper>,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    /// With a store in `dir` and a fresh keeper.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, Arc::new(FakeKeeper::new()), |_| ()).await
    }

    pub async fn start_with(
        dir: &Path,
        keeper: Arc<FakeKeeper>,
        change: impl Fn(&mut GatewayConfig),
    ) -> Self {
        // A predecessor in this process may still be letting go of the store.
        for _ in 0..200 {
            match Self::try_start(dir, keeper.clone(), &change).await {
                Ok(gateway) => return gateway,
                Err(GatewayError::Store(soundproof_jobs::StoreError::InUse)) => {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the store stays in use");
    }

    pub async fn try_start(
        dir: &Path,
        keeper: Arc<FakeKeeper>,
        change: impl Fn(&mut GatewayConfig),
    ) -> Result<Self, GatewayError> {
        Self::try_start_direct(dir, keeper, change, None).await
    }

    pub async fn try_start_direct(
        dir: &Path,
        keeper: Arc<FakeKeeper>,
        change: impl Fn(&mut GatewayConfig),
        direct: Option<soundproof_gateway::direct::Build>,
    ) -> Result<Self, GatewayError> {
        let mut config = GatewayConfig::new(dir);
        config.listen.set_port(0);
        config.storage.min_free_bytes = 0;
        change(&mut config);
        let (ours, theirs) = UnixStream::pair().unwrap();
        keeper.clone().serve(theirs);
        let (stop, stopped) = oneshot::channel();
        let (listening, address) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let run = tokio::spawn(soundproof_gateway::run_with(
            config, ours, shutdown, listening, direct,
        ));
        match address.await {
            Ok(listening) => Ok(Self {
                listening,
                keeper,
                stop: Some(stop),
                run,
            }),
            Err(_) => Err(run.await.unwrap().unwrap_err()),
        }
    }

    /// Asks it to stop, and waits.
    pub async fn stop(mut self) -> Result<(), GatewayError> {
        drop(self.stop.take());
        self.run.await.unwrap()
    }

    /// Waits for it to end by itself.
    pub async fn ended(self) -> Result<(), GatewayError> {
        let _stop = self.stop;
        self.run.await.unwrap()
    }
}

/// A job as a client would submit it.
#[derive(Clone)]
pub struct Submission {
    pub id: JobId,
    pub description: JobDescription,
    pub header: SealedHeader,
    pub part_chunks: u32,
    pub ciphertext: Vec<u8>,
    pub inline: bool,
}

impl Submission {
    /// With `len` plaintext bytes; small ones go inline.
    pub fn new(padded_len: u64) -> Self {
        let id = JobId::new(1_790_000_000_000, random());
        let transcript = Digest(random());
        let header = SealedHeader {
            version: 1,
            recipients: vec![WrappedKey {
                transcript,
                suite: Suite::X25519.code(),
                encapsulation: Bytes(noise(32)),
                ciphertext: Bytes(noise(48)),
            }],
            commitment: Commitment(random()),
            padded_len,
        };
        let len = header.sealed_len().unwrap() as usize;
        Self {
            id,
            description: JobDescription {
                version: 1,
                job: id,
                system: "groth16".into(),
                parts: vec![],
                mode: "groth16".into(),
                acknowledges_not_hiding: false,
                limits: Limits::default(),
                recipients: vec![transcript],
                delegation: None,
                durability: Durability::Forgotten,
                not_after_ms: u64::MAX,
            },
            header,
            part_chunks: 1,
            ciphertext: noise(len),
            inline: padded_len <= 1024 * 1024,
        }
    }

    /// A small one that names `blob`.
    pub fn small(blob: &Digest) -> Self {
        Self::new(2048).naming(blob)
    }

    pub fn naming(mut self, blob: &Digest) -> Self {
        let part = ProgramPart {
            role: "proving_key".into(),
            digest: *blob,
        };
        self.description.parts.push(part);
        self
    }

    pub fn create(&self) -> CreateJob {
        CreateJob {
            description: cbor::to_vec(&self.description).into(),
            header: cbor::to_vec(&self.header).into(),
            part_chunks: self.part_chunks,
            input: self.inline.then(|| self.ciphertext.clone().into()),
        }
    }

    pub fn body(&self) -> Vec<u8> {
        cbor::to_vec(&self.create())
    }

    pub fn layout(&self) -> PartLayout {
        PartLayout::new(&self.header, self.part_chunks).unwrap()
    }

    pub fn part(&self, index: u32) -> &[u8] {
        let layout = self.layout();
        let start: u64 = (0..index).map(|i| layout.part_len(i).unwrap()).sum();
        let end = start + layout.part_len(index).unwrap();
        &self.ciphertext[start as usize..end as usize]
    }

    /// The access secret that the fake keeper finds in every job.
    pub fn access(&self) -> String {
        hex::encode(keeper::secret(&self.id))
    }
}
