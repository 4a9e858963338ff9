//! Figures for Prometheus. Labels are codes, policies' names and results:
//! never an address, or anything of what was posted.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use soundproof_protocol::error::Code;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdicts {
    policy: String,
    platform: &'static str,
    accepted: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Codes {
    code: &'static str,
}

pub(crate) struct Metrics {
    registry: Registry,
    verdicts: Family<Verdicts, Counter>,
    problems: Family<Codes, Counter>,
    pub(crate) seconds: Histogram,
    pub(crate) connections: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("soundproof_verifier");
        let verdicts = Family::<Verdicts, Counter>::default();
        registry.register("verdicts", "Verdicts given", verdicts.clone());
        let problems = Family::<Codes, Counter>::default();
        registry.register("problems", "Requests refused, by code", problems.clone());
        let seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        registry.register("appraisal_seconds", "Time of one verdict", seconds.clone());
        let connections = Gauge::default();
        registry.register(
            "connections",
            "Connections that are open",
            connections.clone(),
        );
        Self {
            registry,
            verdicts,
            problems,
            seconds,
            connections,
        }
    }

    /// `policy` is one of the folder's names.
    pub(crate) fn verdict(&self, policy: &str, platform: &'static str, accepted: bool) {
        let labels = Verdicts {
            policy: policy.to_owned(),
            platform,
            accepted: if accepted { "true" } else { "false" },
        };
        self.verdicts.get_or_create(&labels).inc();
    }

    pub(crate) fn problem(&self, code: Code) {
        self.problems
            .get_or_create(&Codes { code: code.name() })
            .inc();
    }

    /// All figures, as OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
