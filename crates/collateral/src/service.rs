//! Endorsements by target: fetched once for all who wait, kept, asked for anew
//! before they end, served until they end, and then a clear error.

use crate::{
    bundle::{self, Bundle},
    cache::Cache,
    config::{CollateralConfig, Kind, MAX_SOURCES},
    fault::{Attempt, CollateralError, Failure, Fault},
    gpu::{self, Recent, Wanted},
    item::{self, Item},
    source::Source,
    target::Target,
};
use serde::Serialize;
use soundproof_evidence::gpu::GpuEndorsements;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence},
    cbor::Bytes,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Targets that are remembered at most: the least lately used one goes.
const MAX_TARGETS: usize = 256;
/// Milliseconds between attempts at most while all sources fail.
const MAX_RETRY_MS: u64 = 3_600_000;
/// How long it is asked around for what a judge may do without.
const PATIENCE: Duration = Duration::from_secs(10);
/// Milliseconds that a document may begin in the future by this machine's
/// clock.
const SKEW_MS: u64 = 300_000;

/// See the module.
pub struct Collateral {
    config: CollateralConfig,
    sources: Vec<Source>,
    cache: Option<Cache>,
    entries: Mutex<HashMap<Target, Arc<Entry>>>,
    bundle_read: Mutex<Option<SystemTime>>,
    uses: AtomicU64,
    /// What the GPUs of some evidence need.
    wanted: Recent<Option<Arc<Wanted>>>,
    /// What an attestation service says of them.
    results: Recent<Vec<Bytes>>,
}

/// What was fetched for a machine.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Fetched {
    /// Those that could be had.
    pub items: Vec<Arc<Item>>,
    /// What is missing of its GPUs', which a judge may do without.
    pub missing: Vec<CollateralError>,
}

/// One target.
#[derive(Default)]
struct Entry {
    /// Held while it is fetched.
    fetching: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    used: AtomicU64,
    /// It was said that there is no source of it.
    warned: AtomicBool,
}

#[derive(Default)]
struct State {
    item: Option<Arc<Item>>,
    failing: Option<Failing>,
}

/// Since when, and what was answered.
#[derive(Clone)]
struct Failing {
    since_ms: u64,
    next_ms: u64,
    wait_ms: u64,
    attempts: Vec<Attempt>,
}

/// What is held of a target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Held {
    /// The endorsements, which hold at the time that was asked for.
    pub item: Arc<Item>,
    /// A fresh copy is overdue.
    pub stale: bool,
}

/// How a target is.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Its name.
    pub target: String,
    /// When it was fetched; ms since 1970.
    pub fetched_ms: Option<u64>,
    /// When it ends; ms since 1970.
    pub until_ms: Option<u64>,
    /// From where it is.
    pub source: Option<String>,
    /// Since when every source fails; ms since 1970.
    pub failing_since_ms: Option<u64>,
    /// What each answered, last.
    pub answers: Vec<String>,
}

/// How a source did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Its base URL.
    pub source: String,
    /// What it speaks.
    pub kind: &'static str,
    /// Complete answers.
    pub fetched: u64,
    /// Failures.
    pub failed: u64,
    /// Failures that were requests to wait.
    pub throttled: u64,
}

impl Held {
    /// As endorsements of evidence, beside what its maker gave.
    pub fn join(&self, evidence: &Evidence, given: Option<&Endorsements>) -> Endorsements {
        bundle::join(evidence, given, Some(&self.item))
    }
}

impl Collateral {
    /// Checks the settings and reads the bundle; connects to nothing.
    ///
    /// # Errors
    /// [`CollateralError::Config`], [`CollateralError::Bundle`].
    pub fn new(config: CollateralConfig) -> Result<Self, CollateralError> {
        if config.sources.len() > MAX_SOURCES {
            let why = format!("more than {MAX_SOURCES} sources");
            return Err(CollateralError::Config(why));
        }
        let sources = config.sources.iter().map(Source::new);
        let sources = sources
            .collect::<Result<Vec<_>, _>>()
            .map_err(CollateralError::Config)?;
        let cache = match &config.cache {
            None => None,
            Some(folder) => Some(Cache::open(folder).map_err(|error| {
                CollateralError::Config(format!("{}: {error}", folder.display()))
            })?),
        };
        let collateral = Self {
            config,
            sources,
            cache,
            entries: Mutex::default(),
            bundle_read: Mutex::default(),
            uses: AtomicU64::new(0),
            wanted: Recent::default(),
            results: Recent::default(),
        };
        collateral.read_bundle()?;
        Ok(collateral)
    }

    /// Endorsements for evidence, beside what its maker gave; `None` where
    /// nothing is missing. What comes back is not verified. What cannot be had
    /// for GPUs is left out, after some 20 seconds at most.
    ///
    /// # Errors
    /// [`CollateralError`].
    pub async fn endorse(
        &self,
        evidence: &Evidence,
        given: Option<&Endorsements>,
        now_ms: u64,
    ) -> Result<Option<Endorsements>, CollateralError> {
        let target = Target::for_evidence(evidence, given)?;
        let body = async {
            match &target {
                None => Ok(None),
                Some(target) => self.get(target, now_ms).await.map(Some),
            }
        };
        let gpus = async {
            match given.and_then(|given| given.gpu.as_ref()) {
                None => self.of_gpus(evidence, now_ms).await,
                Some(_) => None,
            }
        };
        let (held, gpus) = tokio::join!(body, gpus);
        let held = held?;
        if held.is_none() && gpus.is_none() {
            return Ok(None);
        }
        let item = held.as_ref().map(|held| &*held.item);
        let mut endorsements = bundle::join(evidence, given, item);
        if let Some((items, results)) = gpus {
            let given = GpuEndorsements {
                results,
                ..GpuEndorsements::default()
            };
            let room = endorsements.carried_len();
            endorsements.gpu = gpu::stapled(&items, given, room);
        }
        Ok(Some(endorsements))
    }

    /// What there is for the GPUs of a session; `None` where it has none.
    async fn of_gpus(
        &self,
        evidence: &Evidence,
        now_ms: u64,
    ) -> Option<(Vec<Arc<Item>>, Vec<Bytes>)> {
        let digest = evidence.gpu_digest()?;
        let wanted = async { Wanted::of(evidence).map(Arc::new) };
        let Some(wanted) = self.wanted.get(digest, wanted).await else {
            tracing::warn!("the GPUs' evidence does not verify: nothing is fetched for it");
            return None;
        };
        let get = |target: Target| async move {
            let held = self.get(&target, now_ms).await;
            held.ok().map(|held| held.item)
        };
        let asked = async {
            let asked = self.appraise(&wanted, now_ms);
            let asked = tokio::time::timeout(PATIENCE, asked).await;
            asked.unwrap_or_else(|_| {
                tracing::warn!("no attestation service answers in time; it is left out");
                Vec::new()
            })
        };
        let asked = self.results.get(digest, asked);
        Some(tokio::join!(wanted.fetch(get), asked))
    }

    /// What the attestation service says of GPUs, if there is a source of it.
    async fn appraise(&self, wanted: &Wanted, now_ms: u64) -> Vec<Bytes> {
        let mut results = Vec::new();
        for ((architecture, nonce), gpus) in wanted.groups() {
            for source in self.sources_of(Kind::Nras) {
                if let Some(seconds) = source.held_s(now_ms) {
                    tracing::warn!(source = source.name, seconds, "asked to be left alone");
                    continue;
                }
                let asked = source.appraise(architecture, &nonce, &gpus, now_ms);
                match asked.await {
                    Ok(result) => {
                        results.push(Bytes(result));
                        break;
                    }
                    Err(Failure { fault, .. }) => tracing::warn!(
                        source = source.name,
                        %fault,
                        "no result of an attestation service; it is left out"
                    ),
                }
            }
        }
        results
    }

    /// Fetches what evidence is judged with, whatever is held and whatever its
    /// maker gave: for a [`Bundle`].
    ///
    /// # Errors
    /// [`CollateralError`].
    pub async fn fetch_for(
        &self,
        evidence: &Evidence,
        given: Option<&Endorsements>,
        now_ms: u64,
    ) -> Result<Fetched, CollateralError> {
        let mut fetched = Fetched::default();
        if let Some(target) = Target::of_machine(evidence, given)? {
            fetched.items.push(self.fetch_now(&target, now_ms).await?);
        }
        if let Some(wanted) = Wanted::of(evidence) {
            let missing = Mutex::new(Vec::new());
            let note = |error| lock(&missing).push(error);
            let note = &note;
            let get = |target: Target| async move {
                let item = self.fetch_now(&target, now_ms).await;
                item.map_err(note).ok()
            };
            fetched.items.extend(wanted.fetch(get).await);
            fetched.missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        Ok(fetched)
    }

    /// What is held of a target, fetched if it must be. A copy that holds is
    /// given at once, whether or not a fresh one is due:
    /// [`refresh`](Self::refresh) sees to that.
    ///
    /// # Errors
    /// [`CollateralError`]. While every source fails, most calls fail at once.
    pub async fn get(&self, target: &Target, now_ms: u64) -> Result<Held, CollateralError> {
        let entry = self.entry(target);
        if let Some(held) = self.held(&entry, now_ms) {
            return Ok(held);
        }
        let waited = Instant::now();
        let _fetching = entry.fetching.lock().await;
        let now_ms = now_ms.saturating_add(elapsed_ms(waited));
        // Whoever was before has it, perhaps, or the disk does.
        if let Some(held) = self.held(&entry, now_ms) {
            return Ok(held);
        }
        if let Some(cached) = self.cache.as_ref().and_then(|cache| cache.read(target)) {
            keep_newer(&entry, Arc::new(cached));
            if let Some(held) = self.held(&entry, now_ms) {
                return Ok(held);
            }
        }
        let failing = lock(&entry.state).failing.clone();
        if let Some(failing) = failing.filter(|failing| now_ms < failing.next_ms) {
            return Err(self.unavailable(target, &entry, &failing));
        }
        self.fetch(target, &entry, now_ms).await?;
        self.held(&entry, now_ms)
            .ok_or_else(|| CollateralError::Config("the clock went back".into()))
    }

    /// Whether a target is known to be missing: nothing that is held holds, and
    /// every source failed lately. Asks nobody.
    pub fn is_missing(&self, target: &Target, now_ms: u64) -> bool {
        let Some(entry) = lock(&self.entries).get(target).cloned() else {
            return false;
        };
        let failing = lock(&entry.state).failing.clone();
        self.held(&entry, now_ms).is_none()
            && failing.is_some_and(|failing| now_ms < failing.next_ms)
    }

    /// Fetches a fresh copy, whatever is held.
    ///
    /// # Errors
    /// [`CollateralError`].
    pub async fn fetch_now(
        &self,
        target: &Target,
        now_ms: u64,
    ) -> Result<Arc<Item>, CollateralError> {
        let entry = self.entry(target);
        let _fetching = entry.fetching.lock().await;
        self.fetch(target, &entry, now_ms).await
    }

    /// Asks anew for whatever is due; to be called every minute or so. Says
    /// in the log what could not be had, and how long what is held will last.
    pub async fn refresh(&self, now_ms: u64) {
        if let Err(error) = self.read_bundle() {
            tracing::warn!(%error, "the bundle of endorsements was not read again");
        }
        let entries: Vec<_> = lock(&self.entries)
            .iter()
            .map(|(target, entry)| (target.clone(), entry.clone()))
            .collect();
        for (target, entry) in entries {
            if !self.is_due(&entry, now_ms) || self.sources_for(&target).next().is_none() {
                continue;
            }
            let Ok(_fetching) = entry.fetching.try_lock() else {
                continue;
            };
            let fetched = self.fetch(&target, &entry, now_ms).await;
            let Err(error) = fetched else { continue };
            match &lock(&entry.state).item {
                Some(item) if holds(item, now_ms) => tracing::warn!(
                    %error,
                    remedy = error.remedy(),
                    until = item::date(item.window.until_ms),
                    "endorsements cannot be refreshed; the copy that is held lasts until then"
                ),
                // Said already.
                _ if target.is_optional() => {}
                _ => tracing::error!(%error, remedy = error.remedy(), "endorsements are missing"),
            }
        }
    }

    /// How each target is.
    pub fn status(&self) -> Vec<Status> {
        let mut all: Vec<Status> = lock(&self.entries)
            .iter()
            .map(|(target, entry)| {
                let state = lock(&entry.state);
                let (item, failing) = (state.item.as_ref(), state.failing.as_ref());
                Status {
                    target: target.name(),
                    fetched_ms: item.map(|item| item.fetched_ms),
                    until_ms: item.map(|item| item.window.until_ms),
                    source: item.map(|item| item.source.clone()),
                    failing_since_ms: failing.map(|failing| failing.since_ms),
                    answers: failing.map_or(Vec::new(), |failing| {
                        failing.attempts.iter().map(ToString::to_string).collect()
                    }),
                }
            })
            .collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }

    /// How each source did.
    pub fn figures(&self) -> Vec<Figures> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.sources
            .iter()
            .map(|source| Figures {
                source: source.name.clone(),
                kind: source.kind.name(),
                fetched: read(&source.fetched),
                failed: read(&source.failed),
                throttled: read(&source.throttled),
            })
            .collect()
    }

    /// Everything that is held.
    pub fn items(&self) -> Vec<Arc<Item>> {
        let entries = lock(&self.entries);
        let items = entries
            .values()
            .map(|entry| lock(&entry.state).item.clone());
        items.flatten().collect()
    }

    fn entry(&self, target: &Target) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if entries.len() >= MAX_TARGETS && !entries.contains_key(target) {
            let oldest = entries
                .iter()
                .min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed))
                .map(|(target, _)| target.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        let entry = entries.entry(target.clone()).or_default().clone();
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
        entry.used.store(use_number, Ordering::Relaxed);
        entry
    }

    fn held(&self, entry: &Entry, now_ms: u64) -> Option<Held> {
        let item = lock(&entry.state).item.clone()?;
        holds(&item, now_ms).then(|| Held {
            stale: self.due_ms(&item) <= now_ms,
            item,
        })
    }

    /// When a fresh copy is due: a while after the last, or the margin before
    /// the end, whichever is first.
    fn due_ms(&self, item: &Item) -> u64 {
        item.due_ms(self.config.refresh_s, self.config.margin_s)
    }

    fn is_due(&self, entry: &Entry, now_ms: u64) -> bool {
        let state = lock(&entry.state);
        let due = state
            .item
            .as_ref()
            .is_none_or(|item| self.due_ms(item) <= now_ms);
        let waits = state
            .failing
            .as_ref()
            .is_some_and(|failing| now_ms < failing.next_ms);
        due && !waits
    }

    fn sources_for(&self, target: &Target) -> impl Iterator<Item = &Source> {
        let sources = self.sources.iter().filter(|_| !self.config.offline);
        sources.filter(|source| source.serves(target))
    }

    fn sources_of(&self, kind: Kind) -> impl Iterator<Item = &Source> {
        let sources = self.sources.iter().filter(|_| !self.config.offline);
        sources.filter(move |source| source.kind == kind)
    }

    /// Fetches, keeps, and remembers failures.
    async fn fetch(
        &self,
        target: &Target,
        entry: &Entry,
        now_ms: u64,
    ) -> Result<Arc<Item>, CollateralError> {
        if self.sources_for(target).next().is_none() {
            let error = CollateralError::NoSource {
                target: target.name(),
                offline: self.config.offline,
            };
            if target.is_optional() && !entry.warned.swap(true, Ordering::Relaxed) {
                left_out(&error);
            }
            return Err(error);
        }
        let mut attempts = Vec::new();
        let asking = self.ask_around(target, now_ms, &mut attempts);
        let asked = if target.is_optional() {
            let asked = tokio::time::timeout(PATIENCE, asking).await;
            asked.unwrap_or_default()
        } else {
            asking.await
        };
        match asked {
            Some(item) => {
                if let Some(cache) = &self.cache
                    && let Err(error) = cache.write(&item)
                {
                    tracing::warn!(%error, "endorsements cannot be written to the cache");
                }
                tracing::info!(
                    target = target.name(),
                    source = item.source,
                    until = item::date(item.window.until_ms),
                    ends_first = item.window.until_part,
                    "endorsements fetched"
                );
                let item = Arc::new(item);
                *lock(&entry.state) = State {
                    item: Some(item.clone()),
                    failing: None,
                };
                Ok(item)
            }
            None => {
                if attempts.is_empty() {
                    attempts.extend(self.sources_for(target).next().map(silent));
                }
                let failing = self.failed(entry, attempts, now_ms);
                let error = self.unavailable(target, entry, &failing);
                if target.is_optional() {
                    left_out(&error);
                }
                Err(error)
            }
        }
    }

    fn failed(&self, entry: &Entry, attempts: Vec<Attempt>, now_ms: u64) -> Failing {
        let mut state = lock(&entry.state);
        let before = state.failing.as_ref();
        let first = self.config.retry_s.saturating_mul(1000);
        let wait_ms = before.map_or(first, |before| before.wait_ms.saturating_mul(2));
        let wait_ms = wait_ms.clamp(1, MAX_RETRY_MS);
        let failing = Failing {
            since_ms: before.map_or(now_ms, |before| before.since_ms),
            next_ms: now_ms.saturating_add(jitter(wait_ms)),
            wait_ms,
            attempts,
        };
        state.failing = Some(failing.clone());
        failing
    }

    fn unavailable(&self, target: &Target, entry: &Entry, failing: &Failing) -> CollateralError {
        CollateralError::Unavailable {
            target: target.name(),
            since_ms: failing.since_ms,
            ended_ms: lock(&entry.state)
                .item
                .as_ref()
                .map(|item| item.window.until_ms),
            attempts: failing.attempts.clone(),
        }
    }

    /// Every source in its order, some rounds; one that cannot do better is
    /// asked once, one that wants to be left alone is. What each answered last
    /// is in `attempts`, also if this is given up.
    async fn ask_around(
        &self,
        target: &Target,
        now_ms: u64,
        attempts: &mut Vec<Attempt>,
    ) -> Option<Item> {
        let started = Instant::now();
        let mut wait = self.config.wait_ms;
        for round in 0..self.config.rounds.max(1) {
            if round > 0 {
                tokio::time::sleep(Duration::from_millis(jitter(wait))).await;
                wait = wait.saturating_mul(2).min(MAX_RETRY_MS);
            }
            let mut again = false;
            for source in self.sources_for(target) {
                let before = attempts.iter().position(|one| one.source == source.name);
                let hopeless = before
                    .and_then(|index| attempts.get(index))
                    .is_some_and(|one| !one.fault.is_transient());
                if hopeless {
                    continue;
                }
                let now_ms = now_ms.saturating_add(elapsed_ms(started));
                let attempt = match self.ask(source, target, now_ms).await {
                    Ok(item) => return Some(item),
                    Err(attempt) => attempt,
                };
                again |= attempt.fault.is_transient()
                    && !matches!(attempt.fault, Fault::Throttled { .. });
                tracing::debug!(%attempt, "a source of endorsements failed");
                match before.and_then(|index| attempts.get_mut(index)) {
                    Some(older) => *older = attempt,
                    None => attempts.push(attempt),
                }
            }
            if !again {
                break;
            }
        }
        None
    }

    async fn ask(&self, source: &Source, target: &Target, now_ms: u64) -> Result<Item, Attempt> {
        let attempt = |document, fault| Attempt {
            source: source.name.clone(),
            document,
            fault,
        };
        if let Some(left) = source.held_s(now_ms) {
            let fault = Fault::Throttled {
                retry_after_s: Some(left),
            };
            return Err(attempt("not asked", fault));
        }
        let body = source
            .fetch(target, self.config.evaluation, now_ms)
            .await
            .map_err(|failure| attempt(failure.document, failure.fault))?;
        let item = Item::new(target.clone(), body, now_ms, source.name.clone())
            .map_err(|what| attempt(what, Fault::Malformed(what)))?;
        let window = &item.window;
        if now_ms > window.until_ms {
            let part = window.until_part;
            let until_ms = window.until_ms;
            return Err(attempt(part, Fault::Expired { part, until_ms }));
        }
        if !holds(&item, now_ms) {
            let part = window.from_part;
            let from_ms = window.from_ms;
            return Err(attempt(part, Fault::NotYetValid { part, from_ms }));
        }
        Ok(item)
    }

    /// Reads the bundle if it is new or has changed.
    fn read_bundle(&self) -> Result<(), CollateralError> {
        let Some(path) = &self.config.bundle else {
            return Ok(());
        };
        let changed = std::fs::metadata(path)
            .and_then(|data| data.modified())
            .map_err(|error| CollateralError::Bundle {
                path: path.display().to_string(),
                why: error.to_string(),
            })?;
        let mut read = lock(&self.bundle_read);
        if *read == Some(changed) {
            return Ok(());
        }
        for item in Bundle::read(path)?.items() {
            keep_newer(&self.entry(&item.target), Arc::new(item.clone()));
        }
        *read = Some(changed);
        Ok(())
    }
}

fn left_out(error: &CollateralError) {
    let remedy = error.remedy();
    tracing::warn!(%error, remedy, "an endorsement of a GPU is missing; it is left out");
}

/// A source that was given up before it answered.
fn silent(source: &Source) -> Attempt {
    Attempt {
        source: source.name.clone(),
        document: "all documents",
        fault: Fault::Slow {
            ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
        },
    }
}

/// A document that begins a little later by this machine's clock counts.
fn holds(item: &Item, now_ms: u64) -> bool {
    now_ms <= item.window.until_ms && item.window.from_ms <= now_ms.saturating_add(SKEW_MS)
}

/// Keeps whichever was fetched later.
fn keep_newer(entry: &Entry, item: Arc<Item>) {
    let mut state = lock(&entry.state);
    let newer = state
        .item
        .as_ref()
        .is_none_or(|held| held.fetched_ms < item.fetched_ms);
    if newer {
        state.item = Some(item);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// From half of it to all of it, so that many machines that lost the same
/// source do not come back together.
fn jitter(ms: u64) -> u64 {
    let mut random = [0; 4];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut random);
    let part = u64::from(u32::from_le_bytes(random));
    ms / 2 + (ms.div_ceil(2).saturating_mul(part) >> 32)
}
