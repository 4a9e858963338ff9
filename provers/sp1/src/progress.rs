//! How far a proof is, read off the spans of SP1's tasks: it offers nothing
//! else. Spans are counted and never formatted, for their fields may hold
//! secrets; SP1's events are not looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::span::{Attributes, Id};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Names of SP1's spans for one task each, in the order of a proof.
const TASKS: [&str; 5] = [
    "ProveShard",
    "RecursionReduce",
    "ShrinkWrap",
    "PlonkWrap",
    "Groth16Wrap",
];
/// What they are called here.
const PHASES: [&str; 5] = ["core", "compress", "shrink", "wrap", "wrap"];

#[derive(Default)]
struct Count {
    begun: AtomicU32,
    ended: AtomicU32,
}

/// Tasks begun and ended, by kind.
#[derive(Default, Clone)]
pub struct Tasks(Arc<[Count; TASKS.len()]>);

/// The layer that counts.
pub struct Counter(Tasks);

/// Which kind of task a span is.
struct Kind(usize);

impl Tasks {
    /// Starts counting in this process, and forgets everything else that is
    /// traced. To be called once.
    pub fn watch() -> Self {
        use tracing_subscriber::layer::SubscriberExt as _;
        let tasks = Self::default();
        let subscriber = tracing_subscriber::registry().with(Counter(tasks.clone()));
        // Somebody else's subscriber would only mean no progress.
        let _ = tracing::subscriber::set_global_default(subscriber);
        tasks
    }

    /// The phase that is under way, and thousandths of it that are done, as
    /// far as it is known how much there is to do.
    pub fn now(&self) -> (&'static str, u16) {
        let latest = self.0.iter().enumerate().rev();
        for (index, count) in latest {
            let begun = count.begun.load(Ordering::Relaxed);
            if begun == 0 {
                continue;
            }
            let ended = count.ended.load(Ordering::Relaxed).min(begun);
            // One more than is known of: more may come.
            let permille = u64::from(ended) * 1000 / (u64::from(begun) + 1);
            let phase = PHASES.get(index).copied().unwrap_or_default();
            return (phase, u16::try_from(permille).unwrap_or(1000));
        }
        ("core", 0)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Counter {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span()
            && *metadata.level() <= Level::DEBUG
            && metadata.target().starts_with("sp1_prover")
            && TASKS.contains(&metadata.name())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = attributes.metadata().name();
        let Some(kind) = TASKS.iter().position(|task| *task == name) else {
            return;
        };
        if let Some(count) = self.0.0.get(kind) {
            count.begun.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Kind(kind));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let extensions = span.extensions();
        if let Some(Kind(kind)) = extensions.get::<Kind>()
            && let Some(count) = self.0.0.get(*kind)
        {
            count.ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn tasks_are_counted_and_nothing_else() {
        let tasks = Tasks::default();
        let subscriber = tracing_subscriber::registry().with(Counter(tasks.clone()));
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(tasks.now(), ("core", 0));
            let one = tracing::debug_span!(target: "sp1_prover::worker", "ProveShard");
            let two = tracing::debug_span!(target: "sp1_prover::worker", "ProveShard");
            drop(tracing::debug_span!(target: "elsewhere", "Groth16Wrap"));
            drop(tracing::debug_span!(target: "sp1_prover::worker", "other"));
            assert_eq!(tasks.now(), ("core", 0));
            drop(one);
            assert_eq!(tasks.now(), ("core", 333));
            drop(two);
            assert_eq!(tasks.now(), ("core", 666));
            let _reduce = tracing::debug_span!(target: "sp1_prover::worker", "RecursionReduce");
            assert_eq!(tasks.now(), ("compress", 0));
        });
    }
}
