//! One job's sealing: description, data key, header, and its chunks made part
//! by part. Nothing here is sent; there is no way here but through an
//! [`AcceptedSession`].

use crate::{AcceptedSession, Error, Input, Program, input::Source, session::now_ms};
use rand_core::{Rng as _, UnwrapErr};
use soundproof_protocol::{
    PROTOCOL_VERSION, cbor,
    description::{Durability, JobDescription, Limits, ProgramPart},
    digest::{Digest, Hasher},
    id::JobId,
    sealed::{CHUNK, MAX_INLINE, PROLOGUE, PartLayout, SealedHeader, TAG},
};
use soundproof_seal::{
    Addressee, DataKey, JobKeys, Padding, Prologue, Sealer, header::sealed_input_hasher,
    seal_header,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// What a caller may choose about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOptions {
    /// What the job may use.
    pub limits: Limits,
    /// From now on, how long it may wait to be started.
    pub start_within: Duration,
    /// How its length is hidden.
    pub padding: Padding,
    /// Chunks of 1 MiB in a part, 1 to 64.
    pub part_chunks: u32,
    /// Parts on their way at once. With `part_chunks` it bounds the memory
    /// that an input of any size takes: one part more than this.
    pub parts_in_flight: usize,
    /// The caller knows that a proof of this mode may reveal its witness, and
    /// wants it. Without it such a mode is refused.
    pub acknowledges_not_hiding: bool,
    /// The job's id, where it must be the same when a submission is repeated;
    /// by default one is made. Another description or ciphertext under an id
    /// that the server has is refused (`job_conflict`).
    pub job_id: Option<JobId>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            start_within: Duration::from_secs(24 * 3600),
            padding: Padding::default(),
            part_chunks: 4,
            parts_in_flight: 4,
            acknowledges_not_hiding: false,
            job_id: None,
        }
    }
}

/// A job that is being sealed.
pub(crate) struct Sealing {
    pub(crate) description: JobDescription,
    pub(crate) digest: Digest,
    pub(crate) header: SealedHeader,
    pub(crate) keys: JobKeys,
    pub(crate) layout: PartLayout,
    pub(crate) part_chunks: u32,
    plan: Arc<Plan>,
    /// Digests of the parts made so far, from the first on.
    made: Vec<Digest>,
    hasher: Hasher,
    /// Time spent encrypting and reading.
    pub(crate) spent: Duration,
}

/// What making a chunk needs, shareable with a blocking thread.
struct Plan {
    sealer: Sealer,
    header: SealedHeader,
    prologue: Zeroizing<[u8; PROLOGUE]>,
    source: Source,
    part_chunks: u32,
}

impl Sealing {
    /// Seals for all of `sessions`, which were accepted and still last.
    ///
    /// # Errors
    /// [`Error::SessionOver`], [`Error::File`], [`Error::Seal`].
    pub(crate) fn new(
        sessions: &[&AcceptedSession],
        program: &Program,
        input: &Input,
        options: &JobOptions,
    ) -> Result<Self, Error> {
        let started = Instant::now();
        for session in sessions {
            session.check_live()?;
        }
        let source = input.open()?;
        let seal = |error: soundproof_seal::SealError| Error::Seal {
            code: error.code(),
            what: error.to_string(),
        };
        let padded_len = options.padding.padded_len(source.len).map_err(seal)?;
        // Asked once, so that the generator below cannot fail half-way.
        let mut probe = [0; 10];
        getrandom::fill(&mut probe).map_err(|_| Error::Internal("no randomness to be had"))?;
        let mut rng = UnwrapErr(getrandom::SysRng);

        let now = now_ms();
        let wait = u64::try_from(options.start_within.as_millis()).unwrap_or(u64::MAX);
        let description = JobDescription {
            version: PROTOCOL_VERSION,
            job: options.job_id.unwrap_or_else(|| JobId::new(now, probe)),
            system: program.system.clone(),
            parts: program
                .parts
                .iter()
                .map(|part| part.name.clone())
                .collect::<Vec<ProgramPart>>(),
            mode: program.mode.clone(),
            acknowledges_not_hiding: options.acknowledges_not_hiding,
            limits: options.limits,
            recipients: sessions
                .iter()
                .map(|session| session.judged.digest)
                .collect(),
            delegation: None,
            durability: Durability::Forgotten,
            not_after_ms: now.saturating_add(wait),
        };
        description.check().map_err(|error| Error::Program {
            code: soundproof_protocol::error::Code::DescriptionInvalid,
            what: error.to_string(),
        })?;
        let data_key = DataKey::generate(&mut rng);
        let addressees: Vec<Addressee<'_>> = sessions
            .iter()
            .map(|session| Addressee {
                suite: session.judged.transcript.suite,
                public_key: &session.judged.seal_key.0,
                transcript: &session.judged.digest,
            })
            .collect();
        let (header, keys) =
            seal_header(&mut rng, &data_key, &description, &addressees, padded_len)
                .map_err(seal)?;
        let mut prologue = Prologue {
            witness_len: source.len,
            client_ms: now,
            entropy: [0; 32],
        };
        rng.fill_bytes(&mut prologue.entropy);

        let layout = PartLayout::new(&header, options.part_chunks).ok_or(Error::Seal {
            code: soundproof_protocol::error::Code::HeaderInvalid,
            what: "a part holds 1 to 64 chunks".into(),
        })?;
        let plan = Plan {
            sealer: Sealer::new(&keys, &header).map_err(seal)?,
            header: header.clone(),
            prologue: Zeroizing::new(prologue.to_bytes()),
            source,
            part_chunks: options.part_chunks,
        };
        Ok(Self {
            digest: description.digest(),
            hasher: sealed_input_hasher(&header),
            description,
            header,
            keys,
            layout,
            part_chunks: options.part_chunks,
            plan: Arc::new(plan),
            made: Vec::new(),
            spent: started.elapsed(),
        })
    }

    /// Encoded header.
    pub(crate) fn header_bytes(&self) -> Vec<u8> {
        cbor::to_vec(&self.header)
    }

    /// Whether the whole input fits into the create call.
    pub(crate) fn is_inline(&self) -> bool {
        self.layout.parts() == 1
            && self
                .layout
                .part_len(0)
                .is_some_and(|len| len <= MAX_INLINE as u64)
    }

    /// Digest of a part that was made before.
    pub(crate) fn made(&self, part: u32) -> Option<Digest> {
        self.made.get(part as usize).copied()
    }

    /// Makes a part: the first one not made yet, or one made before, which
    /// must come out the same: a (key, index) pair never leaves this machine
    /// with two plaintexts.
    ///
    /// # Errors
    /// [`Error::SourceChanged`], [`Error::File`].
    pub(crate) async fn part(&mut self, part: u32) -> Result<(Vec<u8>, Digest), Error> {
        let started = Instant::now();
        let plan = Arc::clone(&self.plan);
        let made = if plan.source.is_memory() && self.layout.parts() == 1 {
            plan.part(part)?
        } else {
            tokio::task::spawn_blocking(move || plan.part(part))
                .await
                .map_err(|_| Error::Internal("a sealing task was torn down"))??
        };
        let (bytes, digest) = made;
        match self.made(part) {
            Some(before) if before == digest => {}
            Some(_) => return Err(Error::SourceChanged),
            None if self.made.len() == part as usize => {
                self.made.push(digest);
                self.hasher.update(&bytes);
            }
            None => return Err(Error::Internal("parts are made in order")),
        }
        self.spent += started.elapsed();
        Ok((bytes, digest))
    }

    /// Digest of the whole sealed input, once every part was made.
    pub(crate) fn sealed_input(&self) -> Option<Digest> {
        (self.made.len() == self.layout.parts() as usize).then(|| self.hasher.clone().finish())
    }
}

impl Plan {
    fn part(&self, part: u32) -> Result<(Vec<u8>, Digest), Error> {
        let first = part * self.part_chunks;
        let chunks = self.header.chunks().unwrap_or(0);
        let end = first.saturating_add(self.part_chunks).min(chunks);
        let mut out = Vec::new();
        for index in first..end {
            let mut sealed = self.chunk(index)?;
            if out.is_empty() {
                out = core::mem::take(&mut *sealed);
                out.reserve((end - index - 1) as usize * (CHUNK + TAG));
            } else {
                out.extend_from_slice(&sealed);
            }
        }
        self.source.check_unchanged()?;
        let digest = Digest::of(&out);
        Ok((out, digest))
    }

    /// One chunk. The buffer holds plaintext until the last line, so it is
    /// wiped on every way out before that, and never grows.
    fn chunk(&self, index: u32) -> Result<Zeroizing<Vec<u8>>, Error> {
        let no_chunk = || Error::Internal("no such chunk");
        let sealed_len = self.header.sealed_chunk_len(index).ok_or_else(no_chunk)?;
        let len = sealed_len - TAG;
        let mut buffer = Zeroizing::new(Vec::with_capacity(sealed_len));
        let mut offset = u64::from(index) * CHUNK as u64;
        if index == 0 {
            let prologue = self.prologue.get(..PROLOGUE.min(len)).unwrap_or_default();
            buffer.extend_from_slice(prologue);
        } else {
            offset -= PROLOGUE as u64;
        }
        let left = self.source.len.saturating_sub(offset);
        let take = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(len - buffer.len());
        if take > 0 {
            self.source.read(offset, take, &mut buffer)?;
        }
        buffer.resize(len, 0);
        self.sealer
            .seal(index, &mut buffer)
            .map_err(|error| Error::Seal {
                code: error.code(),
                what: error.to_string(),
            })?;
        Ok(buffer)
    }
}

impl core::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Sealing({}, …)", self.description.job)
    }
}
