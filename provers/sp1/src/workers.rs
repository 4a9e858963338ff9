//! How many workers SP1 starts, by the processors that there are. Its own
//! numbers are for large machines: on a small one the workers wait for each
//! other, each holding gigabytes.

use std::thread::available_parallelism;

/// SP1's settings for workers that hold a shard each, with its own numbers.
const WORKERS: [(&str, usize); 8] = [
    ("SP1_WORKER_NUM_CORE_WORKERS", 4),
    ("SP1_WORKER_CORE_BUFFER_SIZE", 4),
    ("SP1_WORKER_NUM_PREPARE_REDUCE_WORKERS", 4),
    ("SP1_WORKER_PREPARE_REDUCE_BUFFER_SIZE", 4),
    ("SP1_WORKER_NUM_RECURSION_EXECUTOR_WORKERS", 4),
    ("SP1_WORKER_RECURSION_EXECUTOR_BUFFER_SIZE", 4),
    ("SP1_WORKER_NUM_RECURSION_PROVER_WORKERS", 8),
    ("SP1_WORKER_RECURSION_PROVER_BUFFER_SIZE", 8),
];
/// Processors that one worker keeps busy.
const EACH: usize = 4;

/// Environment variables that SP1 reads when it starts.
pub fn variables() -> impl Iterator<Item = (&'static str, String)> {
    let processors = available_parallelism().map_or(1, usize::from);
    numbers(processors)
}

fn numbers(processors: usize) -> impl Iterator<Item = (&'static str, String)> {
    let most = processors.div_ceil(EACH);
    WORKERS
        .into_iter()
        .map(move |(name, own)| (name, own.min(most).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_machine_keeps_busy() {
        let of = |processors| -> Vec<_> { numbers(processors).map(|(_, n)| n).collect() };
        assert!(of(2).iter().all(|n| n == "1"));
        assert!(of(16).iter().all(|n| n == "4"));
        let own = WORKERS.map(|(_, n)| n.to_string());
        assert_eq!(of(256), own);
    }
}
