//! Programs: an ELF under the hash of its verifying key.
//!
//! Whether they belong together only the prover finds out, before it opens an
//! input. Until then a registration counts for its own requester alone, so
//! that nobody can put another ELF under somebody's hash; once a proof was
//! made with it, for everybody. One that the prover refused is forgotten, so
//! that the SDK, which registers only what is not there, can register again.

use crate::{
    backend::{Kind, StashError, StashId, incoming_of},
    config::Caller,
    elf,
    network::{Inner, State},
    records::{self, Done, Id, Program, ProgramKey, key},
    refused::Refused,
    signature::Address,
    wire::{self, CreateProgramBody, Empty, GetProgramResponse, Malformed, Signed, SignedReply},
};
use prost::Message as _;

/// How programs are named.
const SCHEME: &str = "soundproof://program/";

pub(crate) fn program_uri(vk_hash: &Id) -> String {
    format!("{SCHEME}{}", hex::encode(vk_hash))
}

impl State {
    /// The program that a request may use: the requester's own, one that is
    /// proven, or for the only user that there is any.
    pub(crate) fn visible(
        &self,
        requester: Option<Address>,
        caller: Caller,
        vk_hash: &Id,
    ) -> Option<&Program> {
        let own = |owner: Address| self.programs.get(&(owner, *vk_hash));
        let known = match caller {
            Caller::Owner(owner) => Some(owner),
            _ => None,
        };
        requester
            .and_then(own)
            .or_else(|| known.and_then(own))
            .or_else(|| {
                let all = caller == Caller::Everything;
                self.programs
                    .values()
                    .filter(|program| program.vk_hash == *vk_hash && (program.proven || all))
                    .max_by_key(|program| (program.proven, program.used_ms))
            })
    }
}

impl Inner {
    /// `GetProgram`.
    pub(crate) fn get_program(
        &self,
        vk_hash: &[u8],
        caller: Caller,
    ) -> Result<GetProgramResponse, Refused> {
        let vk_hash = hash(vk_hash)?;
        let state = self.lock();
        let program = state.visible(None, caller, &vk_hash);
        let program = program.ok_or(Refused::ProgramUnknown)?;
        let own = match caller {
            Caller::Everything => true,
            Caller::Owner(owner) => program.owner == owner,
            Caller::Nobody => false,
        };
        Ok(GetProgramResponse {
            program: Some(wire::Program {
                vk_hash: vk_hash.to_vec(),
                // Nobody has checked it: it is for whoever sent it.
                vk: if own { program.vk.clone() } else { Vec::new() },
                program_uri: program_uri(&vk_hash),
                name: None,
                owner: Vec::new(),
                created_at: program.created_ms / 1000,
            }),
        })
    }

    /// `CreateProgram`.
    pub(crate) async fn create_program(&self, signed: &Signed) -> Result<SignedReply, Refused> {
        self.ready().await?;
        let owner = self.signer(signed)?;
        let body = signed.body.as_deref().unwrap_or_default();
        let body = CreateProgramBody::decode(body)
            .map_err(|_| Malformed("the program's body does not decode"))?;
        self.consume(owner, body.nonce)?;
        let vk_hash = hash(&body.vk_hash)?;
        if body.vk.is_empty() || body.vk.len() > self.config.limits.vk_bytes {
            return Err(Malformed("the verifying key has not the length of one").into());
        }
        let _one_by_one = self.admission.lock().await;
        let upload = self.find_artifact(owner, &body.program_uri, false);
        let known = self.lock().programs.contains_key(&(owner, vk_hash));
        if !known {
            let (_, _, done) = upload.as_ref().ok_or(Refused::ProgramUri)?;
            self.register(owner, vk_hash, body.vk, *done).await?;
        }
        // The first registration stays: also the answer to a reply that was
        // lost.
        if let Some((id, ..)) = upload {
            self.delete_artifact(&id).await;
        }
        Ok(SignedReply {
            tx_hash: records::digest(&[b"program", &owner.0, &vk_hash]).to_vec(),
            body: Some(Empty {}),
        })
    }

    async fn register(
        &self,
        owner: Address,
        vk_hash: Id,
        vk: Vec<u8>,
        upload: Done,
    ) -> Result<(), Refused> {
        let failed = |error: StashError| {
            tracing::error!(%error, "the stash failed");
            Refused::Inside
        };
        let limits = &self.config.limits;
        let max = usize::try_from(limits.program_bytes).unwrap_or(usize::MAX);
        let bytes = self.stash.get(upload.stash).await.map_err(failed)?;
        let elf = tokio::task::spawn_blocking(move || elf::decode(&bytes.into_bytes(), max))
            .await
            .map_err(|_| Refused::Inside)??;
        let len = elf.len() as u64;
        {
            let state = self.lock();
            let each = state.programs.keys().filter(|(other, _)| *other == owner);
            let bytes: u64 = state.programs.values().map(|other| other.elf.len).sum();
            if state.programs.len() >= limits.programs
                || each.count() >= limits.programs_each
                || bytes.saturating_add(len) > limits.all_program_bytes
            {
                return Err(Refused::Full("programs"));
            }
        }
        let stash = StashId(self.random()?);
        let source = incoming_of(elf);
        self.stash
            .put(stash, Kind::Program, source, len)
            .await
            .map_err(failed)?;
        let now = self.clock.now_ms();
        let program = Program {
            owner,
            vk_hash,
            vk,
            elf: Done { stash, len },
            created_ms: now,
            used_ms: now,
            proven: false,
        };
        let record = records::encode(&program);
        let written = self.write(&key::program(&program.key()), &record).await;
        if let Err(refused) = written {
            self.unstash(stash).await;
            return Err(refused);
        }
        self.lock().programs.insert(program.key(), program);
        Ok(())
    }

    /// A proof was made with it: from now on it is everybody's.
    pub(crate) async fn program_proven(&self, which: &ProgramKey) {
        let record = {
            let mut state = self.lock();
            match state.programs.get_mut(which) {
                Some(program) if !program.proven => {
                    program.proven = true;
                    program.used_ms = self.clock.now_ms();
                    records::encode(program)
                }
                _ => return,
            }
        };
        // If it is not written it is shared again after the next proof.
        let _ = self.write(&key::program(which), &record).await;
    }

    /// Forgets a program.
    pub(crate) async fn delete_program(&self, which: &ProgramKey) {
        let removed = self.lock().programs.remove(which);
        if let Some(program) = removed {
            self.unstash(program.elf.stash).await;
            self.erase(&key::program(which)).await;
        }
    }
}

fn hash(bytes: &[u8]) -> Result<Id, Refused> {
    bytes
        .try_into()
        .map_err(|_| Malformed("the verifying key's hash is not 32 bytes long").into())
}
