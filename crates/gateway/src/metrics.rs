//! Figures for Prometheus. Labels are routes, codes and states: never an id,
//! an address, a tenant or a secret.

use crate::app::App;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets, linear_buckets},
    },
    registry::Registry,
};
use soundproof_collateral::{Figures, Status};
use soundproof_protocol::{error::Code, link::KeeperStatus};
use std::sync::atomic::AtomicU64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    kind: &'static str,
    result: &'static str,
}

type Count = Gauge<u64, AtomicU64>;

pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RouteLabels, Counter>,
    pub(crate) request_duration: Histogram,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) sessions: Counter,
    pub(crate) session_duration: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) queue_wait: Histogram,
    pub(crate) job_duration: Histogram,
    problems: Family<CodeLabels, Counter>,
    jobs: Family<StateLabels, Count>,
    keeper: Keeper,
    collateral: Collateral,
}

#[derive(Default)]
struct Collateral {
    ends: Count,
    failing: Count,
    answers: Family<SourceLabels, Count>,
}

#[derive(Default)]
struct Keeper {
    ready: Count,
    sessions: Count,
    session_room: Count,
    jobs: Count,
    quotes: Count,
    quote_us: Count,
    provers: Count,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Registry::with_prefix("soundproof");
        let requests = Family::<RouteLabels, Counter>::default();
        all.register("http_requests", "Requests answered", requests.clone());
        let request_duration = Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        all.register(
            "http_request_seconds",
            "From a request's headers to its response's",
            request_duration.clone(),
        );
        let received = Counter::default();
        all.register(
            "http_received_bytes",
            "Bytes of request bodies",
            received.clone(),
        );
        let sent = Counter::default();
        all.register(
            "http_sent_bytes",
            "Bytes of blobs and outcomes sent",
            sent.clone(),
        );
        let connections = Gauge::default();
        all.register(
            "http_connections",
            "Connections that are open",
            connections.clone(),
        );
        let problems = Family::<CodeLabels, Counter>::default();
        all.register("problems", "Requests refused, by code", problems.clone());
        let sessions = Counter::default();
        all.register("sessions_opened", "Sessions opened", sessions.clone());
        // Quotes take tens of milliseconds each: steps of ten, up to 300.
        let session_duration = Histogram::new(linear_buckets(0.01, 0.01, 30));
        all.register(
            "session_seconds",
            "From a session's request read to its reply ready",
            session_duration.clone(),
        );
        let queue_wait = Histogram::new(exponential_buckets(0.000_5, 2.0, 20));
        all.register(
            "job_queue_seconds",
            "From a job's acceptance to its hand-over to the keeper",
            queue_wait.clone(),
        );
        let job_duration = Histogram::new(exponential_buckets(0.01, 2.0, 18));
        all.register(
            "job_run_seconds",
            "From hand-over to end",
            job_duration.clone(),
        );
        let jobs = Family::<StateLabels, Count>::default();
        all.register("jobs", "Jobs in the store, by state", jobs.clone());

        let keeper = Keeper::default();
        for (name, help, gauge) in [
            ("keeper_ready", "Whether jobs can run", &keeper.ready),
            (
                "keeper_sessions",
                "Sessions that are open",
                &keeper.sessions,
            ),
            (
                "keeper_session_room",
                "Sessions that there is room for",
                &keeper.session_room,
            ),
            ("keeper_jobs", "Jobs whose keys are held", &keeper.jobs),
            (
                "keeper_quotes",
                "Quotes made in this life of the keeper",
                &keeper.quotes,
            ),
            (
                "keeper_quote_us",
                "Microseconds spent making them",
                &keeper.quote_us,
            ),
            ("keeper_provers", "Prover processes alive", &keeper.provers),
        ] {
            all.register(name, help, gauge.clone());
        }
        let collateral = Collateral::default();
        all.register(
            "endorsements_end",
            "When the first endorsements end that are held, in seconds since 1970; 0 if none are",
            collateral.ends.clone(),
        );
        all.register(
            "endorsements_failing",
            "Machines whose endorsements no source gives at present",
            collateral.failing.clone(),
        );
        all.register(
            "endorsement_answers",
            "Answers of sources of endorsements, by kind and result",
            collateral.answers.clone(),
        );
        Self {
            registry: all,
            requests,
            request_duration,
            received,
            sent,
            sessions,
            session_duration,
            connections,
            queue_wait,
            job_duration,
            problems,
            jobs,
            keeper,
            collateral,
        }
    }

    fn collateral(&self, status: &[Status], figures: &[Figures]) {
        let ends = status.iter().filter_map(|one| one.until_ms).min();
        self.collateral.ends.set(ends.unwrap_or(0) / 1000);
        let failing = status.iter().filter(|one| one.failing_since_ms.is_some());
        self.collateral.failing.set(failing.count() as u64);
        // Sources of one kind are one line: an address is no label.
        let mut sums = std::collections::BTreeMap::<_, u64>::new();
        for one in figures {
            for (result, count) in [
                ("fetched", one.fetched),
                ("failed", one.failed),
                ("throttled", one.throttled),
            ] {
                *sums.entry((one.kind, result)).or_default() += count;
            }
        }
        for ((kind, result), sum) in sums {
            let labels = SourceLabels { kind, result };
            self.collateral.answers.get_or_create(&labels).set(sum);
        }
    }

    pub(crate) fn problem(&self, code: Code) {
        self.problems
            .get_or_create(&CodeLabels { code: code.name() })
            .inc();
    }

    pub(crate) fn keeper(&self, status: &KeeperStatus) {
        let keeper = &self.keeper;
        for (gauge, value) in [
            (&keeper.ready, u64::from(status.ready)),
            (&keeper.sessions, status.sessions),
            (&keeper.session_room, status.session_room),
            (&keeper.jobs, status.jobs),
            (&keeper.quotes, status.quotes),
            (&keeper.quote_us, status.quote_us),
            (&keeper.provers, status.provers),
        ] {
            gauge.set(value);
        }
    }

    /// All figures, as OpenMetrics text.
    pub(crate) async fn text(&self, app: &App) -> String {
        if let Ok(counts) = app.store.counts().await {
            let states = ["created", "uploading", "queued", "running", "ended"];
            for (state, count) in states.into_iter().zip(counts) {
                self.jobs.get_or_create(&StateLabels { state }).set(count);
            }
        }
        let (status, figures) = app.stapler.look();
        self.collateral(&status, &figures);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
