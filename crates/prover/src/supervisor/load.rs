//! How a program gets into a process: it asks for parts, the keeper sends what
//! the cache has, or what the store has while it is hashed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use soundproof_protocol::digest::Hasher;
use soundproof_protocol::error::{Code, Failure};
use tokio::time::timeout;

use super::parts::{Cache, PartProvider};
use super::pool::StageProgram;
use super::process::Process;
use crate::wire::{Form, Need, Part, Program, StageInfo, ToKeeper, ToProver, WireError};

/// Exchanges while loading one program, at most.
const MAX_STEPS: usize = 64;

/// Loads programs into the processes of one stage.
pub(super) struct Loader {
    pub(super) stage: StageInfo,
    pub(super) cache: Arc<Cache>,
    pub(super) max_part_bytes: u64,
    pub(super) load_time: Duration,
    pub(super) idle_time: Duration,
}

/// Why a program is not loaded.
pub(super) enum LoadError {
    /// For a reason that will not go away with another process.
    Failed {
        /// The reason.
        failure: Failure,
        /// Whether the process can go on.
        usable: bool,
    },
    /// Another process may be luckier.
    Died,
}

impl Loader {
    /// Loads a program into a process.
    pub(super) async fn load(
        &self,
        process: &mut Process,
        program: &StageProgram,
        provider: &dyn PartProvider,
    ) -> Result<(), LoadError> {
        match self.converse(process, program, provider).await {
            Ok(()) => Ok(()),
            Err(Talk::Failed { failure, usable }) => Err(LoadError::Failed { failure, usable }),
            Err(Talk::Wire(e)) => match process.post_mortem(&e).await {
                Code::ProverDied => Err(LoadError::Died),
                code => Err(LoadError::Failed {
                    failure: Failure::new(code, ""),
                    usable: false,
                }),
            },
        }
    }

    async fn converse(
        &self,
        process: &mut Process,
        program: &StageProgram,
        provider: &dyn PartProvider,
    ) -> Result<(), Talk> {
        let derived = program
            .iter()
            .map(|part| part.digest)
            .filter(|digest| {
                self.cache
                    .get(&self.stage.name, digest, Form::Derived)
                    .is_some()
            })
            .collect();
        process
            .link
            .send(&ToProver::Program(Program {
                parts: program.clone(),
                derived,
            }))
            .await?;
        for _ in 0..MAX_STEPS {
            let message = timeout(self.load_time, process.link.receive())
                .await
                .map_err(|_| Talk::late())??;
            match message {
                ToKeeper::Need(need) if program.iter().any(|part| part.digest == need.digest) => {
                    self.serve_part(process, &need, provider).await?;
                }
                // From a process that has seen an input nothing is kept.
                ToKeeper::Derived(part)
                    if process.jobs == 0
                        && part.form == Form::Derived
                        && self.cache.fits(part.len)
                        && program.iter().any(|p| p.digest == part.digest) =>
                {
                    let bytes = timeout(
                        self.load_time,
                        process.link.receive_stream(part.len, part.len),
                    )
                    .await
                    .map_err(|_| Talk::late())??;
                    self.cache
                        .put(&self.stage.name, part.digest, Form::Derived, bytes.to_vec());
                }
                ToKeeper::Ready => return Ok(()),
                ToKeeper::Failed(failure) => {
                    return Err(Talk::Failed {
                        failure,
                        usable: true,
                    });
                }
                _ => return Err(WireError::Order("what belongs to loading").into()),
            }
        }
        Err(WireError::Order("an end to loading").into())
    }

    /// Sends one part: what the cache has, or what the store has while it is hashed.
    async fn serve_part(
        &self,
        process: &mut Process,
        need: &Need,
        provider: &dyn PartProvider,
    ) -> Result<(), Talk> {
        let announce = |len| {
            ToProver::Part(Part {
                digest: need.digest,
                form: need.form,
                len,
            })
        };
        if let Some(bytes) = self.cache.get(&self.stage.name, &need.digest, need.form) {
            process.link.send(&announce(bytes.len() as u64)).await?;
            process.link.send_data(&bytes).await?;
            return Ok(process.link.send(&ToProver::End).await?);
        }
        if need.form == Form::Derived {
            // Gone from the cache since it was named. Nothing is wrong with the job.
            return self
                .cut(process, Failure::new(Code::ProverUnavailable, ""))
                .await;
        }
        let mut part = match provider.open(need.digest).await {
            Ok(part) if part.len <= self.max_part_bytes => part,
            Ok(_) => return self.cut(process, Failure::new(Code::MemoryLimit, "")).await,
            Err(failure) => return self.cut(process, failure).await,
        };
        process.link.send(&announce(part.len)).await?;
        let mut hasher = Hasher::new();
        let mut left = part.len;
        let mut copy = (self.stage.runs_program && self.cache.fits(part.len)).then(Vec::new);
        while left > 0 {
            let piece = match timeout(self.idle_time, part.pieces.next()).await {
                Ok(Some(Ok(piece))) if piece.len() as u64 <= left => piece,
                Ok(Some(Err(failure))) => return self.cut(process, failure).await,
                Ok(Some(Ok(_)) | None) => {
                    return self.cut(process, Failure::new(Code::BlobCorrupt, "")).await;
                }
                Err(_) => {
                    return self
                        .cut(process, Failure::new(Code::StorageFailed, ""))
                        .await;
                }
            };
            hasher.update(&piece);
            left -= piece.len() as u64;
            if let Some(copy) = &mut copy {
                copy.extend_from_slice(&piece);
            }
            timeout(self.idle_time, process.link.send_data(&piece))
                .await
                .map_err(|_| Talk::late())??;
        }
        if hasher.finish() != need.digest {
            return self.cut(process, Failure::new(Code::BlobCorrupt, "")).await;
        }
        process.link.send(&ToProver::End).await?;
        if let Some(copy) = copy {
            self.cache
                .put(&self.stage.name, need.digest, Form::Source, copy);
        }
        Ok(())
    }

    async fn cut<T>(&self, process: &mut Process, failure: Failure) -> Result<T, Talk> {
        process.link.send(&ToProver::Cut).await?;
        Err(Talk::Failed {
            failure,
            usable: true,
        })
    }
}

/// Why a conversation ended.
enum Talk {
    Failed { failure: Failure, usable: bool },
    Wire(WireError),
}

impl Talk {
    fn late() -> Self {
        Self::Failed {
            failure: Failure::new(Code::TimeLimit, ""),
            usable: false,
        }
    }
}

impl From<WireError> for Talk {
    fn from(e: WireError) -> Self {
        Self::Wire(e)
    }
}
