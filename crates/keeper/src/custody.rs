//! Data keys of jobs, from admission to the end. In memory only. What was
//! forgotten stays known by id for as long as a session could open its
//! ciphertext again, so that a host cannot have an ended job run once more.

use crate::receipt_key::ReceiptKey;
use soundproof_protocol::{
    description::JobDescription, digest::Digest, error::Code, id::JobId, sealed::SealedHeader,
    transcript::MAX_LIFETIME_S,
};
use soundproof_seal::JobKeys;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Ids of ended jobs that are remembered.
const MAX_ENDED: usize = 1 << 20;

/// How long keys are kept after an outcome was handed over, for a gateway that
/// died before it could store it. A host that never says that it did gains
/// nothing but this.
const AFTER_OUTCOME: Duration = Duration::from_secs(600);

/// A job in custody. The last to let go of it wipes its keys.
pub(crate) struct Job {
    pub(crate) description: JobDescription,
    pub(crate) description_digest: Digest,
    pub(crate) header: SealedHeader,
    pub(crate) header_digest: Digest,
    pub(crate) keys: JobKeys,
    pub(crate) receipt_key: Arc<ReceiptKey>,
    pub(crate) evidence: Digest,
    /// The client appraised before it sealed: see its session.
    pub(crate) client_appraised: bool,
    /// Cancelled by the client.
    pub(crate) cancel: CancellationToken,
    /// Held while it runs: it never runs twice at once.
    pub(crate) running: tokio::sync::Mutex<()>,
    failed_attempts: AtomicU32,
    admitted: Instant,
    handed_over: OnceLock<Instant>,
}

impl Job {
    pub(crate) fn new(
        description: JobDescription,
        header: SealedHeader,
        header_digest: Digest,
        keys: JobKeys,
        receipt_key: Arc<ReceiptKey>,
        evidence: Digest,
        client_appraised: bool,
    ) -> Self {
        Self {
            description_digest: description.digest(),
            description,
            header,
            header_digest,
            keys,
            receipt_key,
            evidence,
            client_appraised,
            cancel: CancellationToken::new(),
            running: tokio::sync::Mutex::new(()),
            failed_attempts: AtomicU32::new(0),
            admitted: Instant::now(),
            handed_over: OnceLock::new(),
        }
    }

    /// Its outcome was handed over: what is left is the word that it is stored.
    pub(crate) fn hand_over(&self) {
        let _ = self.handed_over.set(Instant::now());
    }

    /// Whether its keys have been held for long enough.
    fn is_stale(&self, lifetime: Duration) -> bool {
        let over = self
            .handed_over
            .get()
            .is_some_and(|at| at.elapsed() > AFTER_OUTCOME);
        (over || self.admitted.elapsed() > lifetime) && self.running.try_lock().is_ok()
    }

    /// Counts an attempt that failed through no fault of the job's, and says
    /// how many there were.
    pub(crate) fn count_failed_attempt(&self) -> u32 {
        self.failed_attempts.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[derive(Default)]
struct Table {
    held: HashMap<JobId, Arc<Job>>,
    ended: HashMap<JobId, Instant>,
}

impl Table {
    fn look(
        &self,
        id: &JobId,
        description: &Digest,
        header: &Digest,
        max: usize,
    ) -> Result<Option<Arc<Job>>, Code> {
        match self.held.get(id) {
            Some(job) if job.description_digest == *description && job.header_digest == *header => {
                Ok(Some(job.clone()))
            }
            Some(_) => Err(Code::JobConflict),
            None if self.ended.contains_key(id) => Err(Code::JobReplayed),
            None if self.held.len() >= max => Err(Code::JobsFull),
            None => Ok(None),
        }
    }
}

/// See the module.
pub(crate) struct Custody {
    max: usize,
    lifetime: Duration,
    table: Mutex<Table>,
}

impl Custody {
    pub(crate) fn new(max: usize, lifetime: Duration) -> Self {
        Self {
            max,
            lifetime,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job with this id.
    pub(crate) fn get(&self, id: &JobId) -> Option<Arc<Job>> {
        self.lock().held.get(id).cloned()
    }

    /// What is known before a job's key is opened: the job itself if it is
    /// held with this description and header, or why it cannot be taken.
    pub(crate) fn look(
        &self,
        id: &JobId,
        description: &Digest,
        header: &Digest,
    ) -> Result<Option<Arc<Job>>, Code> {
        self.lock().look(id, description, header, self.max)
    }

    /// Takes a job. A second one with the same id that came meanwhile must be
    /// the same.
    pub(crate) fn take(&self, job: Job) -> Result<Arc<Job>, Code> {
        let id = job.description.job;
        let mut table = self.lock();
        let (description, header) = (&job.description_digest, &job.header_digest);
        if let Some(held) = table.look(&id, description, header, self.max)? {
            return Ok(held);
        }
        let job = Arc::new(job);
        table.held.insert(id, job.clone());
        Ok(job)
    }

    /// Wipes a job's keys and remembers its id.
    pub(crate) fn forget(&self, id: &JobId) {
        let mut table = self.lock();
        if table.held.remove(id).is_some() && table.ended.len() < MAX_ENDED {
            table.ended.insert(*id, Instant::now());
        }
    }

    /// Forgets jobs that were never run in time, and ids that no session can
    /// open any more.
    pub(crate) fn sweep(&self) {
        let mut table = self.lock();
        let stale: Vec<JobId> = table
            .held
            .iter()
            .filter(|(_, job)| job.is_stale(self.lifetime))
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            table.held.remove(&id);
            table.ended.insert(id, Instant::now());
        }
        let kept = Duration::from_secs(u64::from(MAX_LIFETIME_S) + 60);
        table.ended.retain(|_, ended| ended.elapsed() < kept);
    }

    /// Whether another ended id can be remembered; if not, no job is taken.
    pub(crate) fn can_remember(&self) -> bool {
        let table = self.lock();
        table.ended.len() + table.held.len() < MAX_ENDED
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.lock().held.len()
    }
}
