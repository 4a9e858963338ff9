//! Uploads: a place is made for one body, sent to a URL that nobody can
//! guess, and named by its requester later. No URL of a client's is ever
//! followed: what was not uploaded here is not there.

use crate::{
    backend::{Incoming, IncomingError, Kind, StashError, StashId},
    network::{Inner, Network},
    records::{self, Artifact, Done, Id, digest, key},
    refused::Refused,
    signature::{Address, recover},
    wire::{ArtifactType, CreateArtifactRequest, CreateArtifactResponse},
};
use axum::body::BodyDataStream;
use futures_util::stream::{self, StreamExt as _};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// What the SDK signs to ask for an artifact; always the same.
const SIGNED_TEXT: &[u8] = b"create_artifact";
/// How artifacts are named.
const SCHEME: &str = "soundproof://artifact/";
/// Where uploads go, below the base URL.
pub(crate) const PATH: &str = "/sp1/artifacts/";

/// The capability of a URL's last part, hidden.
pub(crate) fn place_of(capability: &[u8]) -> Id {
    digest(&[b"artifact", capability])
}

impl Inner {
    /// `CreateArtifact`.
    pub(crate) async fn create_artifact(
        &self,
        request: &CreateArtifactRequest,
        base_url: &str,
    ) -> Result<CreateArtifactResponse, Refused> {
        self.ready().await?;
        let requester = self.admit(recover(SIGNED_TEXT, &request.signature)?)?;
        let kind = ArtifactType::from_wire(request.artifact_type)
            .ok_or(Refused::ArtifactType(request.artifact_type))?;
        let (id, capability) = (self.random()?, self.random()?);
        let artifact = Artifact {
            requester,
            stdin: kind == ArtifactType::Stdin,
            place: place_of(hex::encode(capability).as_bytes()),
            created_ms: self.clock.now_ms(),
            done: None,
            used_by: None,
            epoch: 0,
        };
        let record = records::encode(&artifact);
        {
            let mut state = self.lock();
            let limits = &self.config.limits;
            let each = state
                .artifacts
                .values()
                .filter(|other| other.requester == requester)
                .count();
            if state.artifacts.len() >= limits.artifacts || each >= limits.artifacts_each {
                return Err(Refused::Full("uploads"));
            }
            state.insert_artifact(id, artifact);
        }
        if let Err(refused) = self.write(&key::artifact(&id), &record).await {
            self.delete_artifact(&id).await;
            return Err(refused);
        }
        Ok(CreateArtifactResponse {
            artifact_uri: format!("{SCHEME}{}", hex::encode(id)),
            artifact_presigned_url: format!("{base_url}{PATH}{}", hex::encode(capability)),
        })
    }

    /// An upload that this requester made here and that has come whole.
    pub(crate) fn find_artifact(
        &self,
        requester: Address,
        uri: &str,
        stdin: bool,
    ) -> Option<(Id, Artifact, Done)> {
        let id = artifact_id(uri)?;
        let state = self.lock();
        let artifact = state.artifacts.get(&id)?;
        let done = artifact.done?;
        let its_own = artifact.requester == requester && artifact.stdin == stdin;
        its_own.then(|| (id, artifact.clone(), done))
    }

    /// Forgets an upload and wipes its bytes.
    pub(crate) async fn delete_artifact(&self, id: &Id) {
        let removed = {
            let mut state = self.lock();
            let removed = state.artifacts.remove(id);
            if let Some(artifact) = &removed {
                state.places.remove(&artifact.place);
                if let Some(done) = artifact.done {
                    state.release(artifact.requester, done.len);
                }
            }
            removed
        };
        if let Some(artifact) = removed {
            if let Some(done) = artifact.done {
                self.unstash(done.stash).await;
            }
            self.erase(&key::artifact(id)).await;
        }
    }

    /// Begins to receive: names the artifact and counts the attempt.
    fn begin(&self, place: &Id) -> Result<(Id, Artifact), Refused> {
        let mut state = self.lock();
        let id = *state.places.get(place).ok_or(Refused::UploadUnknown)?;
        let artifact = state.artifacts.get_mut(&id).ok_or(Refused::UploadUnknown)?;
        if artifact.done.is_some() {
            return Err(Refused::UploadDone);
        }
        artifact.epoch += 1;
        Ok((id, artifact.clone()))
    }

    /// Makes bytes that have come whole those of the artifact.
    async fn complete(&self, id: Id, epoch: u64, done: Done) -> Result<(), Refused> {
        let record = {
            let state = self.lock();
            match state.artifacts.get(&id) {
                Some(artifact) if artifact.done.is_some() => Err(Refused::UploadDone),
                Some(artifact) if artifact.epoch != epoch => Err(Refused::UploadSuperseded),
                Some(artifact) => {
                    let mut artifact = artifact.clone();
                    artifact.done = Some(done);
                    Ok(records::encode(&artifact))
                }
                None => Err(Refused::UploadUnknown),
            }
        }?;
        self.write(&key::artifact(&id), &record).await?;
        let mut state = self.lock();
        match state.artifacts.get_mut(&id) {
            Some(artifact) if artifact.done.is_none() => {
                artifact.done = Some(done);
                Ok(())
            }
            Some(_) => Err(Refused::UploadDone),
            None => Err(Refused::UploadUnknown),
        }
    }
}

fn artifact_id(uri: &str) -> Option<Id> {
    let mut id = [0; 32];
    hex::decode_to_slice(uri.strip_prefix(SCHEME)?, &mut id).ok()?;
    Some(id)
}

/// Room that an upload takes while it comes in; given back when dropped.
struct Meter {
    inner: Arc<Inner>,
    id: Id,
    epoch: u64,
    requester: Address,
    bytes: u64,
}

impl Meter {
    fn take(&mut self, bytes: u64) -> Result<(), IncomingError> {
        let limits = &self.inner.config.limits;
        let mut state = self.inner.lock();
        let current = state.artifacts.get(&self.id).map(|artifact| artifact.epoch);
        if current != Some(self.epoch) {
            return Err(IncomingError::Superseded);
        }
        let all = state.bytes.saturating_add(bytes);
        let each = state.bytes_each.get(&self.requester).copied();
        let each = each.unwrap_or_default().saturating_add(bytes);
        if all > limits.artifact_bytes || each > limits.artifact_bytes_each {
            return Err(IncomingError::Quota);
        }
        state.bytes = all;
        state.bytes_each.insert(self.requester, each);
        self.bytes += bytes;
        Ok(())
    }

    /// The bytes stay; whoever deletes the artifact gives the room back.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let bytes = core::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.inner.lock().release(self.requester, bytes);
        }
    }
}

impl Network {
    /// Receives a body. It goes into the stash as it comes; an upload that
    /// breaks leaves nothing and can be made again, and one that came whole
    /// is the last. Where a second one begins before the first has ended, the
    /// first is given up: its connection may be dead without anybody knowing.
    pub(crate) async fn receive(
        &self,
        capability: &str,
        claimed: Option<u64>,
        body: &mut BodyDataStream,
    ) -> Result<(), Refused> {
        let inner = &self.0;
        inner.ready().await?;
        let (id, artifact) = inner.begin(&place_of(capability.as_bytes()))?;
        let (kind, max) = if artifact.stdin {
            (Kind::Stdin, inner.config.limits.stdin_bytes)
        } else {
            (Kind::ProgramUpload, inner.config.limits.program_bytes)
        };
        if claimed.is_some_and(|claimed| claimed > max) {
            return Err(Refused::UploadTooLong(max));
        }
        let mut meter = Meter {
            inner: Arc::clone(inner),
            id,
            epoch: artifact.epoch,
            requester: artifact.requester,
            bytes: 0,
        };
        let stash = StashId(inner.random()?);
        let idle = Duration::from_millis(inner.config.times.upload_idle);
        let source: Incoming<'_> =
            stream::unfold((body, &mut meter), move |(body, meter)| async move {
                let chunk = match timeout(idle, body.next()).await {
                    Ok(None) => return None,
                    Ok(Some(Ok(chunk))) => meter.take(chunk.len() as u64).map(|()| chunk),
                    Ok(Some(Err(_))) | Err(_) => Err(IncomingError::Broken),
                };
                Some((chunk, (body, meter)))
            })
            .boxed();
        let len = inner
            .stash
            .put(stash, kind, source, max)
            .await
            .map_err(|error| match error {
                StashError::Source(IncomingError::Superseded) => Refused::UploadSuperseded,
                StashError::Source(IncomingError::Quota) => Refused::UploadQuota,
                StashError::Source(_) => Refused::UploadBroken,
                StashError::TooLong => Refused::UploadTooLong(max),
                StashError::Full => Refused::Full("bytes"),
                error => {
                    tracing::error!(%error, "the stash failed");
                    Refused::Inside
                }
            })?;
        // From here on in a task of its own: a client that goes away now
        // must not leave bytes behind that nobody knows of.
        let inner = Arc::clone(inner);
        let finish = self.0.tasks.spawn(async move {
            let done = Done { stash, len };
            let result = inner.complete(id, artifact.epoch, done).await;
            match &result {
                Ok(()) => meter.keep(),
                Err(_) => inner.unstash(stash).await,
            }
            result
        });
        finish.await.unwrap_or(Err(Refused::Inside))
    }
}
