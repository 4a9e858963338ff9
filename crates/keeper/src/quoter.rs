//! One quote for all sessions opened meanwhile: hardware makes quotes slowly
//! and one at a time, so that transcripts gather while one is being made and
//! become the leaves of the next one's tree.

use soundproof_attester::Attester;
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Role},
    binding::{Binding, GpuNonce},
    digest::Digest,
    error::Code,
    merkle::{MAX_LEAVES, Path, Tree},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Instant,
};
use tokio::sync::oneshot;

/// Evidence and what it is judged with, shared by a batch.
pub(crate) struct Batch {
    pub(crate) evidence: Evidence,
    pub(crate) evidence_digest: Digest,
    pub(crate) endorsements: Endorsements,
    pub(crate) endorsements_digest: Digest,
}

/// A transcript's place in a batch.
pub(crate) struct Quoted {
    pub(crate) path: Path,
    pub(crate) batch: Arc<Batch>,
}

struct Request {
    leaf: Vec<u8>,
    reply: oneshot::Sender<Result<Quoted, Code>>,
}

/// Handle of the quoting thread, which ends when the last handle is dropped.
pub(crate) struct Quoter {
    requests: SyncSender<Request>,
    quotes: Arc<AtomicU64>,
    busy_us: Arc<AtomicU64>,
    #[cfg(test)]
    made: AtomicU64,
}

impl Quoter {
    /// Starts the thread. At most `waiting` transcripts wait at any time.
    pub(crate) fn start(attester: Arc<dyn Attester>, waiting: usize) -> std::io::Result<Self> {
        let (requests, receiver) = sync_channel(waiting.clamp(1, MAX_LEAVES as usize));
        let (quotes, busy_us) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let quoter = Self {
            requests,
            quotes: quotes.clone(),
            busy_us: busy_us.clone(),
            #[cfg(test)]
            made: AtomicU64::new(0),
        };
        thread::Builder::new()
            .name("quoter".into())
            .spawn(move || {
                while let Some(batch) = next_batch(&receiver) {
                    let started = Instant::now();
                    serve(&*attester, batch, &quotes);
                    let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    busy_us.fetch_add(us, Ordering::Relaxed);
                }
            })?;
        Ok(quoter)
    }

    /// Waits for a quote that covers `leaf`.
    pub(crate) async fn quote(&self, leaf: Vec<u8>) -> Result<Quoted, Code> {
        let (reply, quoted) = oneshot::channel();
        let sent = self.requests.try_send(Request { leaf, reply });
        #[cfg(test)]
        self.made.fetch_add(1, Ordering::Relaxed);
        sent.map_err(|error| match error {
            TrySendError::Full(_) => Code::SessionsFull,
            TrySendError::Disconnected(_) => Code::QuoteFailed,
        })?;
        quoted.await.unwrap_or(Err(Code::QuoteFailed))
    }

    /// Requests that reached the queue or were refused by it.
    #[cfg(test)]
    fn requests_made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Quotes made.
    pub(crate) fn quotes(&self) -> u64 {
        self.quotes.load(Ordering::Relaxed)
    }

    /// Microseconds spent making them.
    pub(crate) fn busy_us(&self) -> u64 {
        self.busy_us.load(Ordering::Relaxed)
    }
}

/// Waits for a transcript, then takes all that gathered.
fn next_batch(receiver: &Receiver<Request>) -> Option<Vec<Request>> {
    let mut batch = vec![receiver.recv().ok()?];
    batch.extend(receiver.try_iter().take(MAX_LEAVES as usize - 1));
    Some(batch)
}

fn serve(attester: &dyn Attester, mut requests: Vec<Request>, quotes: &AtomicU64) {
    // Nobody waits for these any more.
    requests.retain(|request| !request.reply.is_closed());
    let Some(tree) = Tree::new(requests.iter().map(|request| request.leaf.as_slice())) else {
        return;
    };
    match make(attester, &tree) {
        Ok(batch) => {
            quotes.fetch_add(1, Ordering::Relaxed);
            let batch = Arc::new(batch);
            for (index, request) in (0..).zip(requests) {
                let quoted = tree.path(index).map(|path| Quoted {
                    path,
                    batch: batch.clone(),
                });
                let _ = request.reply.send(quoted.ok_or(Code::Internal));
            }
        }
        Err(error) => {
            tracing::error!(%error, remedy = error.remedy(), "no evidence could be made");
            for request in requests {
                let _ = request.reply.send(Err(Code::QuoteFailed));
            }
        }
    }
}

/// GPUs first: the binding that the CPU carries has the digest of what they
/// said.
fn make(attester: &dyn Attester, tree: &Tree) -> Result<Batch, soundproof_attester::AttestError> {
    let (platform, root) = (attester.platform(), tree.root());
    let gpu = attester.gpus(&GpuNonce::new(root))?;
    let digest = gpu.as_ref().map(|bytes| Digest::of(&bytes.0));
    let binding = Binding::new(platform, Role::Keeper, root, digest, None);
    let mut evidence = attester.evidence(&binding)?;
    evidence.gpu = gpu;
    let endorsements = attester.endorsements()?;
    Ok(Batch {
        evidence_digest: evidence.digest(),
        endorsements_digest: endorsements.digest(),
        evidence,
        endorsements,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_attester::AttestError;
    use soundproof_protocol::{attestation::Platform, cbor::Bytes};
    use std::sync::{Mutex, mpsc};

    /// Quotes only when it is told to, as slow hardware would, and keeps what
    /// it was asked to bind.
    struct Slow {
        go: Mutex<mpsc::Receiver<()>>,
        bound: Mutex<Vec<Vec<u8>>>,
    }

    impl Attester for Slow {
        fn platform(&self) -> Platform {
            Platform::Software
        }

        fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
            self.go.lock().unwrap().recv().unwrap();
            self.bound.lock().unwrap().push(binding.as_bytes().to_vec());
            Ok(Evidence {
                platform: Platform::Software,
                statement: binding.as_bytes().to_vec().into(),
                event_log: None,
                gpu: None,
                runtime: None,
            })
        }

        fn endorsements(&self) -> Result<Endorsements, AttestError> {
            Ok(Endorsements::new(Platform::Software, vec![]))
        }
    }

    /// Broken if every session had a quote of its own: there would be ten.
    #[tokio::test]
    async fn one_quote_serves_all_that_came_meanwhile() {
        let (go, waits) = mpsc::channel();
        let slow = Arc::new(Slow {
            go: Mutex::new(waits),
            bound: Mutex::default(),
        });
        let quoter = Arc::new(Quoter::start(slow.clone(), 100).unwrap());
        let ask = |n: u8| {
            let quoter = quoter.clone();
            tokio::spawn(async move { quoter.quote(vec![n]).await.unwrap() })
        };
        let first = ask(0);
        // The first is being quoted, or about to be; nine more gather behind it
        // as soon as the channel holds them.
        let rest: Vec<_> = (1..10).map(ask).collect();
        while quoter.requests_made() < 10 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        let mut leaves = vec![(0, first.await.unwrap())];
        for (n, quoted) in (1..).zip(rest) {
            leaves.push((n, quoted.await.unwrap()));
        }
        assert!(
            quoter.quotes() <= 2,
            "{} quotes for ten sessions",
            quoter.quotes()
        );
        for (n, quoted) in leaves {
            let root = quoted.path.root_from(&[n]).unwrap();
            let binding = Binding::new(Platform::Software, Role::Keeper, root, None, None);
            assert_eq!(quoted.batch.evidence.statement.0, binding.as_bytes());
        }
    }

    /// A machine with GPUs, which say the nonce that they were given.
    struct WithGpus;

    impl Attester for WithGpus {
        fn platform(&self) -> Platform {
            Platform::Software
        }

        fn gpus(&self, nonce: &GpuNonce) -> Result<Option<Bytes>, AttestError> {
            Ok(Some(nonce.as_bytes().to_vec().into()))
        }

        fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
            Ok(Evidence {
                platform: Platform::Software,
                statement: binding.as_bytes().to_vec().into(),
                event_log: None,
                gpu: None,
                runtime: None,
            })
        }

        fn endorsements(&self) -> Result<Endorsements, AttestError> {
            Ok(Endorsements::new(Platform::Software, vec![]))
        }
    }

    /// Broken if CPU and GPUs could be of different sessions.
    #[test]
    fn what_gpus_say_is_in_the_binding_that_the_cpu_carries() {
        let tree = Tree::new([b"leaf".as_slice()]).unwrap();
        let batch = make(&WithGpus, &tree).unwrap();
        let nonce = GpuNonce::new(tree.root());
        let gpu = batch.evidence.gpu.as_ref().unwrap();
        assert_eq!(gpu.0, nonce.as_bytes());
        let digest = Some(Digest::of(&gpu.0));
        let bound = Binding::new(Platform::Software, Role::Keeper, tree.root(), digest, None);
        assert_eq!(batch.evidence.statement.0, bound.as_bytes());
        assert_eq!(batch.evidence.gpu_digest(), digest);
    }

    #[tokio::test]
    async fn a_full_queue_is_a_refusal_not_a_wait() {
        let (go, waits) = mpsc::channel();
        let slow = Arc::new(Slow {
            go: Mutex::new(waits),
            bound: Mutex::default(),
        });
        let quoter = Arc::new(Quoter::start(slow, 1).unwrap());
        let tasks: Vec<_> = (0..4u8)
            .map(|n| {
                let quoter = quoter.clone();
                tokio::spawn(async move { quoter.quote(vec![n]).await.map(|_| ()) })
            })
            .collect();
        while quoter.requests_made() < 4 {
            tokio::task::yield_now().await;
        }
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        let mut refused = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => {}
                Err(code) => {
                    assert_eq!(code, Code::SessionsFull);
                    refused += 1;
                }
            }
        }
        assert!(
            refused >= 1,
            "one is being quoted, one waits, the others are refused"
        );
    }
}
