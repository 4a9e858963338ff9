//! A job from its first chunk to its sealed outcome.

use crate::{
    custody::Job,
    input::Input,
    keeper::Keeper,
    link::{Closed, Peer},
    random,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    attestation::Role,
    description::JobDescription,
    digest::Digest,
    error::{Code, Failure},
    link::{GatewayPieces, KeeperAnswers, KeeperPulls, KeeperTells, MAX_PIECE, Refusal},
    outcome::{End, Outcome, PhaseTime, Progress, Proved, Salt},
    receipt::{Holder, Receipt},
};
use soundproof_prover::{
    supervisor::{InputStream, JobRequest, JobResult, PartProvider, PartStream, Supervisor},
    wire::{Entropy, Progress as WireProgress},
};
use soundproof_seal::{outcome, progress};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// What the host's wall clock claims, in milliseconds since 1970.
pub(crate) fn host_clock_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a job and hands its sealed outcome over. `None` when the gateway went
/// away: nothing was decided then, and the next one asks again.
pub(crate) async fn run(
    keeper: &Keeper,
    job: &Arc<Job>,
    attempt: u32,
    queued_us: u64,
    peer: &Peer,
) -> Option<KeeperAnswers> {
    let _alone = tokio::select! {
        alone = job.running.lock() => alone,
        () = peer.gone.cancelled() => return None,
    };
    let end = tokio::select! {
        end = attempt_once(keeper, job, attempt, queued_us, peer) => end,
        () = peer.gone.cancelled() => return None,
    };
    if peer.gone.is_cancelled() {
        return None;
    }
    let end = match end {
        Ok(proved) => End::Proved(proved),
        Err(failure) if may_help_to_try_again(failure.code) => {
            let failed = job.count_failed_attempt();
            if failed < keeper.max_attempts() {
                tracing::warn!(job = %job.description.job, code = %failure.code, failed, "an attempt failed");
                return Some(KeeperAnswers::Requeue(Refusal {
                    code: failure.code,
                    detail: None,
                }));
            }
            failed_with(failure)
        }
        Err(failure) => failed_with(failure),
    };
    let outcome = Outcome {
        version: PROTOCOL_VERSION,
        job: job.description.job,
        description: job.description_digest,
        end,
    };
    match hand_over(job, attempt, &outcome, peer).await {
        Ok(()) => {
            job.hand_over();
            Some(KeeperAnswers::Ended)
        }
        Err(Some(refusal)) => Some(KeeperAnswers::Requeue(refusal)),
        Err(None) => None,
    }
}

/// A prover says what it likes: its detail is cut, so that a hostile one cannot
/// signal to the host by an outcome's size.
fn failed_with(failure: Failure) -> End {
    End::Failed(Failure::new(failure.code, failure.detail))
}

/// Failures of the machinery, not of the job.
fn may_help_to_try_again(code: Code) -> bool {
    matches!(
        code,
        Code::ProverDied
            | Code::ProverProtocol
            | Code::ProverUnavailable
            | Code::StorageFailed
            | Code::StorageFull
            | Code::Internal
            | Code::KeeperUnavailable
    )
}

async fn attempt_once(
    keeper: &Keeper,
    job: &Arc<Job>,
    attempt: u32,
    queued_us: u64,
    peer: &Peer,
) -> Result<Proved, Failure> {
    let claimed_start_ms = host_clock_ms();
    let started = Instant::now();
    let supervisor = keeper
        .supervisor(&job.description.system)
        .ok_or_else(|| Failure::new(Code::ModeUnavailable, ""))?;
    if job.cancel.is_cancelled() {
        return Err(Failure::new(Code::Cancelled, ""));
    }
    let input = Input::open(job.clone(), peer.clone()).await?;
    // Judged for the client: no earlier than its own clock said.
    if job.description.not_after_ms <= claimed_start_ms.max(input.prologue.client_ms) {
        return Err(Failure::new(Code::DeadlinePassed, ""));
    }
    let opened = started.elapsed();
    let integrity_start = supervisor.info().sandbox.names();

    let (sender, events) = mpsc::channel(32);
    let watch = Watch::new(job, attempt, peer.clone());
    let entropy = Entropy(Zeroizing::new(input.prologue.entropy));
    let request = JobRequest {
        parts: job.description.parts.clone(),
        provider: Arc::new(Parts(peer.clone())),
        mode: job.description.mode.clone(),
        limits: job.description.limits,
        entropy,
        description: job.description_digest,
        input: InputStream {
            len: input.prologue.witness_len,
            pieces: input.pieces,
        },
        progress: sender,
        cancel: job.cancel.clone(),
    };
    let (result, seen) = tokio::join!(supervisor.run(request), watch.follow(events));
    let result = result?;
    if !result.verified {
        return Err(Failure::new(
            Code::ProofInvalid,
            "the prover did not verify its proof",
        ));
    }
    if !is_the_descriptions(result.verifying_key.as_deref(), &job.description) {
        return Err(Failure::new(Code::ProgramMismatch, ""));
    }
    let sealed_input = *input
        .digest
        .get()
        .ok_or_else(|| Failure::new(Code::ProverProtocol, "a proof without its input"))?;
    let phases = phases(queued_us, opened, &result, &seen);
    let receipt = receipt(
        keeper,
        job,
        supervisor,
        &result,
        sealed_input,
        integrity_start,
        claimed_start_ms,
    );
    Ok(Proved {
        receipt: job.receipt_key.sign(&receipt).into(),
        receipt_key: job.receipt_key.public().to_vec().into(),
        proof: result.proof.to_vec().into(),
        public_values: result.public.to_vec().into(),
        phases,
    })
}

/// A verifying key that the prover computed is the one that the description
/// names, if it names one. The prover compares before it opens an input; this
/// is the second look.
fn is_the_descriptions(computed: Option<&[u8]>, description: &JobDescription) -> bool {
    match (computed, description.part("verifying_key")) {
        (Some(computed), Some(named)) => Digest::of(computed) == *named,
        _ => true,
    }
}

fn receipt(
    keeper: &Keeper,
    job: &Job,
    supervisor: &Supervisor,
    result: &JobResult,
    sealed_input: Digest,
    integrity_start: Vec<String>,
    claimed_start_ms: u64,
) -> Receipt {
    Receipt {
        version: PROTOCOL_VERSION,
        job: job.description.job,
        description: job.description_digest,
        system: job.description.system.clone(),
        mode: job.description.mode.clone(),
        parts: job.description.parts.clone(),
        public_values: Digest::of(&result.public),
        proof: Digest::of(&result.proof),
        sealed_input,
        commitment: job.keys.commitment,
        prover_version: result.version.clone(),
        prover_executable: supervisor.info().executable,
        verified: result.verified,
        client_appraised: job.client_appraised,
        holders: vec![Holder {
            role: Role::Keeper,
            evidence: job.evidence,
            trust: keeper.trust_digest(),
            integrity_start,
            integrity_end: supervisor.info().sandbox.names(),
        }],
        claimed_start_ms,
        claimed_end_ms: host_clock_ms(),
        verifying_key: result.verifying_key.clone().map(Into::into),
    }
}

/// Seals an outcome under a fresh salt and hands it to the gateway in pieces.
async fn hand_over(
    job: &Job,
    attempt: u32,
    outcome: &Outcome,
    peer: &Peer,
) -> Result<(), Option<Refusal>> {
    let salt = Salt(random::bytes());
    let sealed = outcome::seal(&job.keys.outcome, &job.description_digest, salt, outcome).map_err(
        |error| {
            Some(Refusal {
                code: error.code(),
                detail: None,
            })
        },
    )?;
    let mut offset = 0;
    let mut pieces = sealed.chunks(MAX_PIECE).peekable();
    while let Some(piece) = pieces.next() {
        let pull = KeeperPulls::Outcome {
            job: job.description.job,
            attempt,
            offset,
            bytes: piece.to_vec().into(),
            last: pieces.peek().is_none(),
        };
        match peer.pull(pull).await {
            Ok(GatewayPieces::Taken) => offset += piece.len() as u64,
            Ok(GatewayPieces::Missing(code)) => return Err(Some(Refusal { code, detail: None })),
            Ok(_) => {
                return Err(Some(Refusal {
                    code: Code::Internal,
                    detail: None,
                }));
            }
            Err(Closed) => return Err(None),
        }
    }
    Ok(())
}

/// Program parts, pulled from the gateway piece by piece. The supervisor
/// hashes what comes.
struct Parts(Peer);

impl PartProvider for Parts {
    fn open(&self, digest: Digest) -> BoxFuture<'_, Result<PartStream, Failure>> {
        let peer = self.0.clone();
        async move {
            let (first, total) = pull_part(&peer, digest, 0).await?;
            let offset = first.len() as u64;
            let rest = stream::try_unfold((peer, offset), move |(peer, offset)| async move {
                if offset >= total {
                    return Ok(None);
                }
                let (piece, _) = pull_part(&peer, digest, offset).await?;
                if piece.is_empty() {
                    return Err(Failure::new(Code::BlobCorrupt, "shorter than it was"));
                }
                let offset = offset.saturating_add(piece.len() as u64);
                Ok(Some((piece, (peer, offset))))
            });
            let pieces = stream::once(async move { Ok(first) }).chain(rest).boxed();
            Ok(PartStream { len: total, pieces })
        }
        .boxed()
    }
}

async fn pull_part(peer: &Peer, digest: Digest, offset: u64) -> Result<(Bytes, u64), Failure> {
    match peer.pull(KeeperPulls::Blob { digest, offset }).await {
        Ok(GatewayPieces::Bytes { bytes, total }) => Ok((bytes.0.into(), total)),
        Ok(GatewayPieces::Missing(code)) => Err(Failure::new(code, digest.to_string())),
        _ => Err(Failure::new(
            Code::KeeperUnavailable,
            "the gateway went away",
        )),
    }
}

/// Seals a prover's progress for the client, and notes when phases changed.
struct Watch {
    sealer: progress::Sealer,
    job: soundproof_protocol::id::JobId,
    attempt: u32,
    peer: Peer,
}

impl Watch {
    fn new(job: &Job, attempt: u32, peer: Peer) -> Self {
        let salt = Salt(random::bytes());
        let sealer = progress::Sealer::new(&job.keys.outcome, &job.description_digest, salt);
        Self {
            sealer,
            job: job.description.job,
            attempt,
            peer,
        }
    }

    async fn follow(mut self, mut events: mpsc::Receiver<WireProgress>) -> Vec<(String, Instant)> {
        let mut seen: Vec<(String, Instant)> = Vec::new();
        while let Some(event) = events.recv().await {
            if seen.last().is_none_or(|(phase, _)| *phase != event.phase) && seen.len() < 64 {
                seen.push((event.phase.clone(), Instant::now()));
            }
            let progress = Progress {
                phase: event.phase,
                permille: event.permille,
                attempt: self.attempt,
            };
            if let Some(sealed) = self.sealer.seal(&progress) {
                self.peer.tell(KeeperTells::Progress {
                    job: self.job,
                    sealed,
                });
            }
        }
        seen.push((String::new(), Instant::now()));
        seen
    }
}

/// Queue, opening, every stage; a phase that a stage reported beside its own
/// name (verification within proving) is told apart from it.
fn phases(
    queued_us: u64,
    opened: Duration,
    result: &JobResult,
    seen: &[(String, Instant)],
) -> Vec<PhaseTime> {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let entry = |phase: &str, us| PhaseTime {
        phase: phase.into(),
        us,
    };
    let mut phases = vec![entry("queue", queued_us), entry("open", us(opened))];
    phases.extend(
        result
            .stages
            .iter()
            .map(|(stage, time)| entry(stage, us(*time))),
    );
    for pair in seen.windows(2) {
        let [(phase, from), (_, to)] = pair else {
            continue;
        };
        if result.stages.iter().any(|(stage, _)| stage == phase) {
            continue;
        }
        let time = us(to.duration_since(*from));
        if let Some(stage) = phases.last_mut() {
            stage.us = stage.us.saturating_sub(time);
        }
        phases.push(entry(phase, time));
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_protocol::{
        description::{Durability, Limits, ProgramPart},
        error::MAX_DETAIL,
        id::JobId,
    };

    /// Broken if a proof under another verifying key than the description's
    /// could get a receipt.
    #[test]
    fn a_computed_verifying_key_must_be_the_one_that_was_named() {
        let mut description = JobDescription {
            version: PROTOCOL_VERSION,
            job: JobId::new(1, [0; 10]),
            system: "sp1".into(),
            parts: vec![],
            mode: "core".into(),
            acknowledges_not_hiding: true,
            limits: Limits::default(),
            recipients: vec![],
            delegation: None,
            durability: Durability::Forgotten,
            not_after_ms: 0,
        };
        assert!(is_the_descriptions(Some(&[7; 32]), &description));
        description.parts.push(ProgramPart {
            role: "verifying_key".into(),
            digest: Digest::of(&[7; 32]),
        });
        assert!(is_the_descriptions(Some(&[7; 32]), &description));
        assert!(!is_the_descriptions(Some(&[8; 32]), &description));
        assert!(is_the_descriptions(None, &description));
    }

    /// Broken if a prover's detail went out at its own length: the sealed
    /// outcome would grow with it.
    #[test]
    fn a_provers_detail_does_not_set_an_outcomes_size() {
        let said = Failure {
            code: Code::ProverDied,
            detail: "x".repeat(60_000),
        };
        let End::Failed(failure) = failed_with(said) else {
            panic!("a failure stays one")
        };
        assert_eq!(failure.detail.len(), MAX_DETAIL);
    }
}
