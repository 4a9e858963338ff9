//! `soundproof-bench-verdict OUT RUNS`: what a verdict costs, natively, with
//! the endorsements in hand; beside it, what the crates that verify evidence
//! take by themselves. One JSON object a line. Each case's parts are left in
//! OUT, for WebAssembly.
//!
//! Times are of the thread's processor: another program's work does not count.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a measurement

mod bare;
#[path = "../../../crates/evidence/examples/mutations/cases.rs"]
mod cases;

use rustix::time::{ClockId, clock_gettime};
use soundproof_protocol::attestation::Platform;
use std::{fs, path::Path};

/// Milliseconds of this thread's processor time.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Median, 95th percentile and least of what `run` takes.
fn measure(runs: usize, mut run: impl FnMut()) -> [f64; 3] {
    for _ in 0..runs.div_ceil(10) {
        run();
    }
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = now();
            run();
            now() - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    [at(50), at(95), times[0]]
}

fn say(what: &str, platform: &str, case: &str, [median, p95, least]: [f64; 3]) {
    println!(
        "{}",
        serde_json::json!({
            "what": what, "platform": platform, "case": case,
            "median_ms": median, "p95_ms": p95, "least_ms": least,
        })
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, runs] = arguments.as_slice() else {
        panic!("soundproof-bench-verdict OUT RUNS");
    };
    let runs: usize = runs.parse().unwrap();
    for (index, case) in cases::all().iter().enumerate() {
        let platform = case.evidence.platform.name();
        let verdict = case.judge();
        assert!(case.accepts(&verdict), "{}\n{verdict}", case.name);
        say(
            "soundproof",
            platform,
            case.name,
            measure(runs, || assert!(case.judge().verified)),
        );
        let name = format!("{index:02} {platform} {}", case.name).replace([' ', ','], "-");
        fs::write(Path::new(out).join(name), case.to_vec(case)).unwrap();
        let bare: Option<(&str, Box<dyn FnMut()>)> = match case.evidence.platform {
            Platform::Tdx | Platform::Sgx | Platform::Software => {
                Some(("dcap-qvl", bare::dcap(case)))
            }
            Platform::Snp => Some(("sev", bare::sev(case))),
            _ => None,
        };
        if let Some((name, run)) = bare {
            say(name, platform, case.name, measure(runs, run));
        }
    }
}
