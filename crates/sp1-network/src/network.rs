//! [`Network`]: everything together, from the journal at the start to the
//! sweeps that forget what has expired.

use crate::{
    backend::{
        Backend, Clock, Entropy, Journal, JournalError, NoEntropy, Offers, Stash, StashError,
        StashId,
    },
    config::{BaseUrl, Caller, Config},
    nonce::Nonces,
    records::{self, Artifact, End, Id, NaturalKey, Program, ProgramKey, Request, key},
    refused::Refused,
    signature::{Address, recover},
    wire::{FORMAT_BINARY, Malformed, Signed},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a [`Network`] is made of.
pub struct Parts {
    /// Who proves.
    pub backend: Arc<dyn Backend>,
    /// Where bytes are kept.
    pub stash: Arc<dyn Stash>,
    /// Where records are kept.
    pub journal: Arc<dyn Journal>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and capabilities come from.
    pub entropy: Arc<dyn Entropy>,
    /// Settings.
    pub config: Config,
}

/// It could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
    /// The stash cannot be tidied.
    #[error("the stash failed: {0}")]
    Stash(#[from] StashError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// A prover network of one's own; a handle, cheap to clone.
#[derive(Clone)]
pub struct Network(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) stash: Arc<dyn Stash>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) config: Config,
    pub(crate) nonces: Nonces,
    state: Mutex<State>,
    /// Held while a request or a program is being taken.
    pub(crate) admission: tokio::sync::Mutex<()>,
    /// Held while a request's record is written, so that the last state is
    /// what stays.
    pub(crate) writing: tokio::sync::Mutex<()>,
    pub(crate) submits: Semaphore,
    pub(crate) polls: Semaphore,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

/// What is known. Its lock is never held across an await.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) artifacts: HashMap<Id, Artifact>,
    /// Artifacts by the digest of their URL's capability.
    pub(crate) places: HashMap<Id, Id>,
    /// Bytes of uploads, kept and under way, of each requester.
    pub(crate) bytes_each: HashMap<Address, u64>,
    /// And of all.
    pub(crate) bytes: u64,
    pub(crate) programs: HashMap<ProgramKey, Program>,
    pub(crate) requests: HashMap<Id, Request>,
    pub(crate) natural: HashMap<NaturalKey, Id>,
    /// Requests by the digest of their proof's capability.
    pub(crate) proofs: HashMap<Id, Id>,
}

impl Network {
    /// Reads the journal and takes up what it holds: requests that were
    /// accepted and not submitted are submitted, those that were are waited
    /// for. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(parts: Parts) -> Result<Self, OpenError> {
        let config = parts.config;
        let nonces = Nonces::new(&*parts.entropy, config.times.nonce, config.limits.nonces)?;
        let inner = Inner {
            backend: parts.backend,
            stash: parts.stash,
            journal: parts.journal,
            clock: parts.clock,
            entropy: parts.entropy,
            nonces,
            state: Mutex::default(),
            admission: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            submits: Semaphore::new(config.limits.submits.max(1)),
            polls: Semaphore::new(config.limits.polls),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            config,
        };
        let network = Self(Arc::new(inner));
        network.load().await?;
        let sweeper = network.clone();
        network.0.tasks.spawn(async move {
            let pause = Duration::from_millis(sweeper.0.config.times.sweep.max(10));
            while tokio::time::timeout(pause, sweeper.0.stopping.cancelled())
                .await
                .is_err()
            {
                sweeper.sweep().await;
            }
        });
        Ok(network)
    }

    /// Stops its tasks; what is not ended stays in the journal for the next
    /// start. Calls are refused from now on.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    async fn load(&self) -> Result<(), OpenError> {
        let inner = &self.0;
        for (name, value) in inner.journal.load().await? {
            if !inner.restore(&name, &value) {
                tracing::warn!("a record of the journal is not one of this version; it is dropped");
                inner.journal.delete(&name).await?;
            }
        }
        // Proofs that a volatile stash has lost are waited for again.
        for (id, proof) in inner.proofs_kept() {
            if let Err(StashError::Missing) = inner.stash.get(proof).await {
                inner.lock().requests.get_mut(&id).map(|request| {
                    request.record.end = None;
                    request.ended.send_replace(false)
                });
            }
        }
        let (keep, unfinished) = {
            let mut state = inner.lock();
            state.bind_inputs();
            let unfinished: Vec<Id> = state
                .requests
                .iter()
                .filter(|(_, request)| request.record.end.is_none())
                .map(|(id, _)| *id)
                .collect();
            (state.stashed(), unfinished)
        };
        inner.stash.keep_only(&keep).await?;
        for id in unfinished {
            self.spawn_driver(id);
        }
        self.sweep().await;
        Ok(())
    }

    /// Forgets what has expired and ends requests whose deadline has passed.
    /// Runs by itself every [`Times::sweep`](crate::Times::sweep).
    pub async fn sweep(&self) {
        let inner = &self.0;
        let now = inner.clock.now_ms();
        let times = &inner.config.times;
        inner.nonces.sweep(now);
        let (artifacts, requests, programs) = {
            let state = inner.lock();
            let overdue = |request: &&Request| {
                request.record.end.is_none() && now >= request.record.deadline_ms
            };
            for request in state.requests.values().filter(overdue) {
                request.stop.cancel();
            }
            let artifacts: Vec<Id> = state
                .artifacts
                .iter()
                .filter(|(_, artifact)| match &artifact.used_by {
                    None => now.saturating_sub(artifact.created_ms) >= times.artifact,
                    Some(user) => state.has_ended(user),
                })
                .map(|(id, _)| *id)
                .collect();
            let requests: Vec<Id> = state
                .requests
                .iter()
                .filter(|(_, request)| {
                    request.record.end.is_some()
                        && now.saturating_sub(request.record.updated_ms) >= times.ended
                })
                .map(|(id, _)| *id)
                .collect();
            let in_use: HashSet<ProgramKey> = state
                .requests
                .values()
                .filter(|request| request.record.end.is_none())
                .map(Request::program)
                .collect();
            let programs: Vec<ProgramKey> = state
                .programs
                .values()
                .filter(|program| now.saturating_sub(program.used_ms) >= times.program)
                .map(Program::key)
                .filter(|key| !in_use.contains(key))
                .collect();
            (artifacts, requests, programs)
        };
        for id in artifacts {
            inner.delete_artifact(&id).await;
        }
        for id in requests {
            inner.delete_request(&id).await;
        }
        for key in programs {
            inner.delete_program(&key).await;
        }
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 32 bytes that nobody can guess.
    pub(crate) fn random(&self) -> Result<Id, NoEntropy> {
        let mut id = [0; 32];
        self.entropy.fill(&mut id)?;
        Ok(id)
    }

    /// What is offered, or why nothing is taken.
    pub(crate) async fn ready(&self) -> Result<Offers, Refused> {
        if self.stopping.is_cancelled() {
            return Err(Refused::Stopping);
        }
        self.backend.ready().await.map_err(Refused::Backend)
    }

    /// The signer of a signed message, if it is served here, and the body.
    pub(crate) fn signer(&self, signed: &Signed) -> Result<Address, Refused> {
        if signed.format != FORMAT_BINARY {
            return Err(Malformed("the message's format is not BINARY").into());
        }
        let body = signed.body.as_deref().unwrap_or_default();
        if body.is_empty() {
            return Err(Malformed("the message has no body").into());
        }
        let signer = recover(body, &signed.signature)?;
        self.admit(signer)
    }

    pub(crate) fn admit(&self, address: Address) -> Result<Address, Refused> {
        if self.config.requesters.admit(address) {
            Ok(address)
        } else {
            Err(Refused::NotAllowed(address))
        }
    }

    pub(crate) fn consume(&self, address: Address, nonce: u64) -> Result<(), Refused> {
        let now = self.clock.now_ms();
        Ok(self.nonces.consume(address, nonce, now)?)
    }

    /// How URLs begin for a caller.
    pub(crate) fn base_url(&self, extensions: &http::Extensions) -> Result<String, Refused> {
        let named = || extensions.get::<BaseUrl>().map(|BaseUrl(url)| url.clone());
        self.config.base_url.clone().or_else(named).ok_or_else(|| {
            tracing::error!("there is no base URL for uploads and proofs");
            Refused::Inside
        })
    }

    pub(crate) fn caller(extensions: &http::Extensions) -> Caller {
        extensions.get::<Caller>().copied().unwrap_or_default()
    }

    /// Writes a record, or says so in the log.
    pub(crate) async fn write(&self, key: &[u8], value: &[u8]) -> Result<(), Refused> {
        self.journal.put(key, value).await.map_err(|error| {
            tracing::error!(%error, "the journal failed");
            Refused::Inside
        })
    }

    pub(crate) async fn erase(&self, key: &[u8]) {
        if let Err(error) = self.journal.delete(key).await {
            tracing::error!(%error, "the journal failed");
        }
    }

    pub(crate) async fn unstash(&self, id: StashId) {
        if let Err(error) = self.stash.delete(id).await {
            tracing::error!(%error, "the stash failed");
        }
    }

    /// Takes a record of the journal; false if it is none.
    fn restore(&self, name: &[u8], value: &[u8]) -> bool {
        let Some((letter, id)) = name.split_first() else {
            return false;
        };
        let Ok(id) = Id::try_from(id) else {
            return false;
        };
        let mut state = self.lock();
        match *letter {
            key::ARTIFACT => match records::decode::<Artifact>(value) {
                Some(artifact) => {
                    state.insert_artifact(id, artifact);
                    true
                }
                None => false,
            },
            key::PROGRAM => match records::decode::<Program>(value) {
                Some(program) => {
                    state.programs.insert(program.key(), program);
                    true
                }
                None => false,
            },
            key::REQUEST => match records::decode(value).and_then(Request::new) {
                Some(request) => {
                    state.insert_request(id, request);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn proofs_kept(&self) -> Vec<(Id, StashId)> {
        let state = self.lock();
        let kept = |(id, request): (&Id, &Request)| match &request.record.end {
            // One that cannot be waited for again stays as it is.
            Some(End::Proved(done)) if request.record.token.is_some() => Some((*id, done.stash)),
            _ => None,
        };
        state.requests.iter().filter_map(kept).collect()
    }
}

impl State {
    pub(crate) fn insert_artifact(&mut self, id: Id, artifact: Artifact) {
        if let Some(done) = artifact.done {
            self.bytes += done.len;
            *self.bytes_each.entry(artifact.requester).or_default() += done.len;
        }
        self.places.insert(artifact.place, id);
        self.artifacts.insert(id, artifact);
    }

    /// Gives room back.
    pub(crate) fn release(&mut self, requester: Address, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(each) = self.bytes_each.get_mut(&requester) {
            *each = each.saturating_sub(bytes);
            if *each == 0 {
                self.bytes_each.remove(&requester);
            }
        }
    }

    pub(crate) fn insert_request(&mut self, id: Id, request: Request) {
        self.natural.insert(request.natural_key(), id);
        self.proofs.insert(crate::requests::proof_place(&id).1, id);
        self.requests.insert(id, request);
    }

    /// Whether a request needs its input no more.
    fn has_ended(&self, id: &Id) -> bool {
        let request = self.requests.get(id);
        request.is_none_or(|request| request.record.end.is_some())
    }

    /// Finds the inputs of requests again.
    fn bind_inputs(&mut self) {
        for (id, request) in &self.requests {
            if let Some(artifact) = self.artifacts.get_mut(&request.record.artifact) {
                artifact.used_by = Some(*id);
            }
        }
    }

    /// Everything in the stash that is of use.
    fn stashed(&self) -> HashSet<StashId> {
        let uploads = self.artifacts.values().filter_map(|artifact| artifact.done);
        let programs = self.programs.values().map(|program| program.elf);
        let proofs = self
            .requests
            .values()
            .filter_map(|request| match &request.record.end {
                Some(End::Proved(done)) => Some(*done),
                _ => None,
            });
        uploads
            .chain(programs)
            .chain(proofs)
            .map(|done| done.stash)
            .collect()
    }
}
