//! A backend that does as it is told.

use async_trait::async_trait;
use bytes::Bytes;
use soundproof_protocol::error::Code;
use soundproof_sp1_network::{
    Backend, BackendError, Clock, Ended, Journal, JournalError, MemoryJournal, Mode, Offers,
    ProofJob, Record, Refusal, Secret, Token,
};
use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// A clock that stands still until it is moved.
pub struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_800_000_000_000))
    }
}

impl TestClock {
    pub fn forward(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn seconds(&self) -> u64 {
        self.now_ms() / 1000
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What was submitted.
#[derive(Clone)]
pub struct Submitted {
    pub job: ProofJob,
    pub elf: Bytes,
    pub stdin: Secret,
}

#[derive(Default)]
struct Seen {
    submitted: Vec<Submitted>,
    waits: usize,
    cancelled: Vec<Token>,
    forgotten: Vec<Token>,
    /// What the next submissions come to, before they work.
    failures: VecDeque<BackendError>,
    /// How the next jobs end, before they stay open.
    ends: VecDeque<Ended>,
    panic: bool,
}

pub struct FakeBackend {
    ready: Mutex<Result<Offers, Refusal>>,
    seen: Mutex<Seen>,
    /// Ends of jobs that are open, by token.
    ended: watch::Sender<Vec<(Token, Ended)>>,
    /// Whether submissions go through.
    gate: watch::Sender<bool>,
}

impl FakeBackend {
    pub fn new() -> Self {
        let offers = Offers {
            modes: vec![Mode::Core, Mode::Compressed],
            missing: vec![(
                Mode::Groth16,
                "its circuit files are not installed: put them into the folder".to_owned(),
            )],
        };
        Self {
            ready: Mutex::new(Ok(offers)),
            seen: Mutex::default(),
            ended: watch::channel(Vec::new()).0,
            gate: watch::channel(true).0,
        }
    }

    pub fn refuse(&self, passing: bool, text: &str) {
        *self.ready.lock().unwrap() = Err(Refusal {
            passing,
            text: text.to_owned(),
        });
    }

    pub fn accept(&self) {
        *self.ready.lock().unwrap() = Self::new().ready.into_inner().unwrap();
    }

    pub fn hold(&self, hold: bool) {
        self.gate.send_replace(!hold);
    }

    pub fn next_end(&self, end: Ended) {
        self.seen.lock().unwrap().ends.push_back(end);
    }

    pub fn next_failure(&self, code: Code, passing: bool) {
        let error = BackendError {
            passing,
            ..BackendError::of(code)
        };
        self.seen.lock().unwrap().failures.push_back(error);
    }

    pub fn panic(&self) {
        self.seen.lock().unwrap().panic = true;
    }

    /// Ends the job that was submitted last.
    pub fn end(&self, end: Ended) {
        let token = {
            let seen = self.seen.lock().unwrap();
            token_of(&seen.submitted.last().unwrap().job)
        };
        self.ended.send_modify(|ended| ended.push((token, end)));
    }

    pub fn submitted(&self) -> Vec<Submitted> {
        self.seen.lock().unwrap().submitted.clone()
    }

    pub fn waits(&self) -> usize {
        self.seen.lock().unwrap().waits
    }

    pub fn cancelled(&self) -> usize {
        self.seen.lock().unwrap().cancelled.len()
    }

    pub fn forgotten(&self) -> usize {
        self.seen.lock().unwrap().forgotten.len()
    }
}

fn token_of(job: &ProofJob) -> Token {
    let mut token = job.request_id.to_vec();
    token.extend(job.attempt.to_be_bytes());
    Token(Zeroizing::new(token))
}

pub fn proved(bytes: &[u8]) -> Ended {
    Ended::Proved {
        proof: bytes.to_vec().into(),
    }
}

pub fn failed(code: Code) -> Ended {
    Ended::Failed {
        code,
        text: format!("It was {code}."),
    }
}

/// A journal that fails as often as it is told.
pub struct FlakyJournal {
    memory: MemoryJournal,
    failures: AtomicU64,
}

impl FlakyJournal {
    pub fn new() -> Self {
        Self {
            memory: MemoryJournal::new(10_000),
            failures: AtomicU64::new(0),
        }
    }

    pub fn fail(&self, times: u64) {
        self.failures.store(times, Ordering::SeqCst);
    }
}

#[async_trait]
impl Journal for FlakyJournal {
    async fn load(&self) -> Result<Vec<Record>, JournalError> {
        self.memory.load().await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err(JournalError("the medium failed, as it was told".to_owned()));
        }
        self.memory.put(key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<(), JournalError> {
        self.memory.delete(key).await
    }
}

#[async_trait]
impl Backend for FakeBackend {
    async fn ready(&self) -> Result<Offers, Refusal> {
        self.ready.lock().unwrap().clone()
    }

    async fn submit(
        &self,
        job: &ProofJob,
        elf: Bytes,
        stdin: Secret,
    ) -> Result<Token, BackendError> {
        let mut gate = self.gate.subscribe();
        gate.wait_for(|open| *open).await.unwrap();
        let mut seen = self.seen.lock().unwrap();
        if core::mem::take(&mut seen.panic) {
            drop(seen);
            panic!("the backend panics, as it was told");
        }
        if let Some(failure) = seen.failures.pop_front() {
            return Err(failure);
        }
        seen.submitted.push(Submitted {
            job: job.clone(),
            elf,
            stdin,
        });
        let token = token_of(job);
        if let Some(end) = seen.ends.pop_front() {
            self.ended
                .send_modify(|ended| ended.push((token.clone(), end)));
        }
        Ok(token)
    }

    async fn wait(&self, token: &Token) -> Result<Ended, BackendError> {
        self.seen.lock().unwrap().waits += 1;
        let mut ended = self.ended.subscribe();
        let ended = ended
            .wait_for(|ended| ended.iter().any(|(other, _)| other == token))
            .await
            .unwrap();
        let found = ended.iter().find(|(other, _)| other == token);
        Ok(found.unwrap().1.clone())
    }

    async fn cancel(&self, token: &Token) -> Result<(), BackendError> {
        self.seen.lock().unwrap().cancelled.push(token.clone());
        Ok(())
    }

    async fn forget(&self, token: &Token) -> Result<(), BackendError> {
        self.seen.lock().unwrap().forgotten.push(token.clone());
        Ok(())
    }
}
