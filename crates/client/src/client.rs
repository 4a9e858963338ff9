//! [`Client`]: one server, one policy.

use crate::{
    AcceptedSession, Error, Retry,
    endpoint::Endpoint,
    event::{Event, Observer},
    seen::SeenStore,
    session::{Answer, Asked, Grounds, Judge, answer, judge, now_ms},
    transport::{Settings, Transport},
};
use reqwest::{Method, header::CONTENT_TYPE};
use soundproof_evidence::{Policy, Verdict, explain};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{CBOR, MAX_HELD, MAX_SESSION_OPENED, OpenSession, SessionOpened},
    attestation::Endorsements,
    binding::Binding,
    cbor,
    digest::Digest,
    id::Nonce,
    receipt::SessionEvidence,
    suite::Suite,
    transcript::Transcript,
    trust::TrustConfiguration,
};
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A session with less than this left is not used for another job.
const MARGIN: Duration = Duration::from_secs(60);

/// A client of one server, judging by one policy. Cheap to clone; make it
/// once and keep it: it keeps connections, sessions and endorsements.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    settings: Settings,
    judge: Judge,
    pub(crate) retry: Retry,
    suites: Vec<Suite>,
    pub(crate) resubmissions: u32,
    transport: Mutex<Arc<Transport>>,
    session: tokio::sync::Mutex<Option<Arc<AcceptedSession>>>,
    held: Mutex<Vec<Endorsements>>,
    blobs: Mutex<HashSet<Digest>>,
}

/// A server's evidence, looked at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Examined {
    /// What the evidence says. It can never be accepted.
    pub verdict: Verdict,
    /// What the operator has set.
    pub trust: TrustConfiguration,
    /// What the evidence would vouch for.
    pub transcript: Transcript,
    /// The evidence, to be kept or judged elsewhere.
    pub evidence: SessionEvidence,
    /// SHA-256 of the connection's SubjectPublicKeyInfo; none on plain HTTP.
    pub tls_key: Option<Digest>,
    /// From the request to its reply.
    pub opening: Duration,
}

/// When a session was asked for, and how long the reply took.
struct Times {
    started: Instant,
    started_ms: u64,
    opening: Duration,
}

/// Makes a [`Client`] that is not as by default.
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    policy: Policy,
    api_key: Option<Zeroizing<String>>,
    retry: Retry,
    suites: Vec<Suite>,
    resubmissions: u32,
    seen_file: Option<PathBuf>,
    danger_plain_http: bool,
    danger_unappraised: bool,
}

impl Client {
    /// A client of the server at `url`: `https://…`, or `http://` to this
    /// machine's loopback address.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn new(url: impl Into<String>, policy: Policy) -> Result<Self, Error> {
        Self::builder(url, policy).build()
    }

    /// For what [`Client::new`] does not ask.
    pub fn builder(url: impl Into<String>, policy: Policy) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            policy,
            api_key: None,
            retry: Retry::default(),
            suites: Suite::ALL.to_vec(),
            resubmissions: 2,
            seen_file: None,
            danger_plain_http: false,
            danger_unappraised: false,
        }
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        self.0.settings.endpoint.to_string()
    }

    /// Opens a session and has its evidence judged. What is sent: a fresh
    /// nonce, the suites, digests of endorsements that are held, and the API
    /// key if there is one.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the verdict, [`Error::Transcript`],
    /// [`Error::TlsPin`], and those of the network.
    pub async fn open_session(&self) -> Result<AcceptedSession, Error> {
        // A fresh nonce each time: a call that may have reached the server is
        // not repeated.
        self.0.retry.run(|| self.open_session_once()).await
    }

    async fn open_session_once(&self) -> Result<AcceptedSession, Error> {
        let (answer, transport, times) = self.ask_for_session().await?;
        let judged = judge(answer, &self.0.judge, now_ms())?;
        self.hold(&judged.evidence.endorsements);
        Ok(AcceptedSession::new(
            judged,
            transport,
            (times.started, times.started_ms),
            times.opening,
        ))
    }

    /// Asks for a session to look at its evidence: explained, not accepted.
    /// Nothing can be sealed for what this returns.
    ///
    /// # Errors
    /// [`Error::Transcript`], [`Error::TlsPin`], and those of the network.
    pub async fn examine(&self) -> Result<Examined, Error> {
        let (answer, transport, times) = self.0.retry.run(|| self.ask_for_session()).await?;
        let now = now_ms();
        Ok(Examined {
            verdict: explain(
                &answer.evidence.evidence,
                &answer.evidence.endorsements,
                now,
            ),
            trust: answer.trust,
            transcript: answer.transcript,
            evidence: answer.evidence,
            tls_key: transport.tls_key(),
            opening: times.opening,
        })
    }

    async fn ask_for_session(&self) -> Result<(Answer, Arc<Transport>, Times), Error> {
        match self.ask_over(self.transport()).await {
            // The server has another key than last time: look again, trusting
            // nothing from before. Evidence must vouch for the new key.
            Err(Error::TlsPin(_)) => {
                let fresh = Arc::new(Transport::new(&self.0.settings, None)?);
                *lock(&self.0.transport) = Arc::clone(&fresh);
                self.ask_over(fresh).await
            }
            done => done,
        }
    }

    async fn ask_over(
        &self,
        transport: Arc<Transport>,
    ) -> Result<(Answer, Arc<Transport>, Times), Error> {
        const CALL: &str = "opening a session";
        let held = lock(&self.0.held).clone();
        let mut nonce = Nonce([0; 32]);
        getrandom::fill(&mut nonce.0).map_err(|_| Error::Internal("no randomness to be had"))?;
        let request = OpenSession {
            version: PROTOCOL_VERSION,
            nonce,
            suites: self.0.suites.iter().map(|suite| suite.code()).collect(),
            held: held.iter().map(Endorsements::digest).collect(),
        };
        let (started, started_ms) = (Instant::now(), now_ms());
        let call = transport
            .request(Method::POST, "v1/sessions", None)?
            .header(CONTENT_TYPE, CBOR)
            .body(cbor::to_vec(&request));
        let response = transport.send(CALL, call).await?;
        let body = transport.body(CALL, response, MAX_SESSION_OPENED).await?;
        let opening = started.elapsed();
        let reply: SessionOpened =
            cbor::from_slice(&body, MAX_SESSION_OPENED).map_err(|error| Error::Reply {
                call: CALL,
                what: error.to_string(),
            })?;
        let tls_key = transport.tls_key();
        if transport.endpoint.is_tls() && tls_key.is_none() {
            return Err(Error::TlsPin("the connection showed no key"));
        }
        let asked = Asked {
            request: &request,
            held: &held,
            tls_key,
        };
        let times = Times {
            started,
            started_ms,
            opening,
        };
        Ok((answer(&asked, reply)?, transport, times))
    }

    /// The session that is open and lasts a while yet, or a new one. The
    /// flag: it was there already.
    pub(crate) async fn session(&self) -> Result<(Arc<AcceptedSession>, bool), Error> {
        // Held while opening, so that many jobs at once open one session.
        let mut current = self.0.session.lock().await;
        if let Some(session) = current.as_ref().filter(|s| s.remaining() > MARGIN) {
            return Ok((Arc::clone(session), true));
        }
        let opened = Arc::new(self.open_session().await?);
        // One that does not last longer than the margin is used this once.
        *current = Some(Arc::clone(&opened));
        Ok((opened, false))
    }

    /// [`Client::session`], told to the observer.
    pub(crate) async fn accepted(
        &self,
        observer: Observer<'_>,
    ) -> Result<(Arc<AcceptedSession>, bool), Error> {
        let (session, reused) = self.session().await?;
        observer.tell(&Event::Accepted {
            verdict: session.verdict(),
            reused,
        });
        Ok((session, reused))
    }

    /// The next job opens a new session and has it appraised anew.
    pub async fn forget_session(&self) {
        *self.0.session.lock().await = None;
    }

    /// Connections whose key evidence vouched for; on loopback's plain HTTP
    /// there is no key.
    pub(crate) async fn vouched_transport(&self) -> Result<Arc<Transport>, Error> {
        if self.0.settings.endpoint.is_tls() {
            Ok(Arc::clone(&self.session().await?.0.transport))
        } else {
            Ok(self.transport())
        }
    }

    /// Connections that nobody vouched for yet.
    pub(crate) fn transport(&self) -> Arc<Transport> {
        Arc::clone(&lock(&self.0.transport))
    }

    /// The newest few endorsements are kept, so that they need not be sent
    /// again.
    fn hold(&self, endorsements: &Endorsements) {
        let mut held = lock(&self.0.held);
        held.retain(|old| old != endorsements);
        held.insert(0, endorsements.clone());
        held.truncate(MAX_HELD.min(2));
    }

    pub(crate) fn knows_blob(&self, digest: &Digest) -> bool {
        lock(&self.0.blobs).contains(digest)
    }

    pub(crate) fn note_blob(&self, digest: Digest) {
        lock(&self.0.blobs).insert(digest);
    }

    pub(crate) fn forget_blobs(&self) {
        lock(&self.0.blobs).clear();
    }
}

impl Inner {
    /// Judges a session, as this client does.
    pub(crate) fn judge(
        &self,
        session: &SessionEvidence,
        binding: &Binding,
        trust: &TrustConfiguration,
        now_ms: u64,
    ) -> Result<Grounds, Error> {
        self.judge.judge(session, binding, trust, now_ms)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientBuilder {
    /// Sent as a bearer token with every call, the session's too: over TLS to
    /// a key that is not vouched for yet. It grants quota, not secrets.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Zeroizing::new(key.into()));
        self
    }

    /// How calls are repeated.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Suites to offer, best first; by default all.
    pub fn suites(mut self, suites: impl Into<Vec<Suite>>) -> Self {
        self.suites = suites.into();
        self
    }

    /// How often one job is submitted anew after its key was lost; by default
    /// twice. Each time is a whole new appraisal, with a new job id and data
    /// key, and is reported.
    pub fn resubmissions(mut self, most: u32) -> Self {
        self.resubmissions = most;
        self
    }

    /// Where to keep the highest TCB evaluation that was accepted, so that
    /// older collateral is refused after a restart too; JSON, made when there
    /// is something to keep. Without it this client's memory is all.
    pub fn seen_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.seen_file = Some(path.into());
        self
    }

    /// Lets plain HTTP go to other machines. The witness stays sealed, but
    /// whoever listens sees API keys and access secrets, and may cancel,
    /// delete and watch jobs.
    pub fn danger_plain_http(mut self) -> Self {
        self.danger_plain_http = true;
        self
    }

    /// Opens sessions and seals for them without appraising anything, by no
    /// policy: for the server's own direct path, which seals what arrives in
    /// clear, on the server's machine. Only plain HTTP to loopback is then
    /// allowed, and only receipts are believed that say that nobody appraised.
    pub fn danger_unappraised(mut self) -> Self {
        self.danger_unappraised = true;
        self
    }

    /// The client. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn build(self) -> Result<Client, Error> {
        let endpoint = Endpoint::parse(&self.url, self.danger_plain_http)?;
        if self.danger_unappraised && (endpoint.is_tls() || !endpoint.is_loopback()) {
            return Err(Error::Url(
                "danger_unappraised is for http:// to this machine's loopback address only",
            ));
        }
        let settings = Settings {
            endpoint,
            api_key: self.api_key,
        };
        let judge = if self.danger_unappraised {
            Judge::DangerUnappraised
        } else {
            Judge::Policy(Box::new(self.policy), SeenStore::new(self.seen_file))
        };
        let transport = Mutex::new(Arc::new(Transport::new(&settings, None)?));
        Ok(Client(Arc::new(Inner {
            settings,
            judge,
            retry: self.retry,
            suites: self.suites,
            resubmissions: self.resubmissions,
            transport,
            session: tokio::sync::Mutex::new(None),
            held: Mutex::new(Vec::new()),
            blobs: Mutex::new(HashSet::new()),
        })))
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Client({})", self.0.settings.endpoint)
    }
}
