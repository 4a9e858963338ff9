//! Bad input, tried systematically: `cargo xtask mutations`. With `leave DIR`,
//! some of it is left there for `cargo xtask wasm`, with its verdicts.
//!
//! Every case is evidence that verifies: of each software platform, and the
//! captures of real machines where they are there. Each byte is changed, each
//! length cut at, each place where a length could stand set to its extremes;
//! parts are swapped between cases, and clocks turned. Nothing may be accepted
//! that says anything else than the sound evidence did, and nothing may
//! panic. Changes that are accepted and change nothing (padding after a quote,
//! white space in a file) are listed, so that they can be held against what
//! the specifications leave unsigned.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // a task, not the library

mod cases;
mod leave;
mod mutate;

use cases::Case;
use mutate::{Change, Part};
use soundproof_evidence::Verdict;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

#[derive(Default)]
struct Tally {
    tried: usize,
    wrong: usize,
    crashes: usize,
    slowest: Duration,
    /// Offsets of changes that were accepted and changed nothing.
    harmless: BTreeMap<Part, Vec<usize>>,
    faults: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.wrong += other.wrong;
        self.crashes += other.crashes;
        self.slowest = self.slowest.max(other.slowest);
        for (part, offsets) in other.harmless {
            self.harmless.entry(part).or_default().extend(offsets);
        }
        self.faults.extend(other.faults);
    }
}

/// What a verdict says, to be compared: nothing, if it accepts nothing.
fn said(case: &Case, verdict: &Verdict) -> Option<String> {
    case.accepts(verdict)
        .then(|| serde_json::to_string(&(&verdict.facts, &verdict.release)).unwrap())
}

fn try_one(case: &Case, sound: &str, change: &Change, tally: &mut Tally) {
    let Some(changed) = change.apply(case) else {
        return;
    };
    tally.tried += 1;
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| changed.judge()));
    tally.slowest = tally.slowest.max(started.elapsed());
    match outcome.map(|verdict| said(&changed, &verdict)) {
        Err(_) => {
            tally.crashes += 1;
            tally
                .faults
                .push(format!("{}: panic: {change:?}", case.name));
        }
        Ok(Some(said)) if said == sound => {
            if let Change::Bytes { part, at, .. } = change {
                tally.harmless.entry(*part).or_default().push(*at);
            }
        }
        Ok(Some(_)) => {
            tally.wrong += 1;
            tally
                .faults
                .push(format!("{}: accepted: {change:?}", case.name));
        }
        Ok(None) => {}
    }
}

fn run(case: &Case, others: &[Case], every: usize) -> Tally {
    let verdict = case.judge();
    let Some(sound) = said(case, &verdict) else {
        panic!("{} is not sound:\n{verdict}", case.name);
    };
    let changes = mutate::all(case, others, every);
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while let Some(change) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    try_one(case, &sound, change, &mut tally);
                }
                total.lock().unwrap().add(tally);
            });
        }
    });
    total.into_inner().unwrap()
}

/// `[0..4, 7]` as `0-3 7`; what is long is cut.
fn ranges(mut offsets: Vec<usize>) -> String {
    offsets.sort_unstable();
    offsets.dedup();
    let mut out: Vec<(usize, usize)> = Vec::new();
    for at in offsets {
        match out.last_mut() {
            Some((_, end)) if *end + 1 == at => *end = at,
            _ => out.push((at, at)),
        }
    }
    let shown: Vec<String> = out
        .iter()
        .take(12)
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    let more = out.len().saturating_sub(12);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} ranges more")
    };
    shown.join(" ") + &more
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cases = cases::all();
    if let [command, folder] = arguments.as_slice()
        && command == "leave"
    {
        leave::leave(&cases, folder.as_ref());
        return ExitCode::SUCCESS;
    }
    std::panic::set_hook(Box::new(|_| {}));
    // For a quick look: every so-manieth byte only.
    let every = arguments.first().and_then(|text| text.parse().ok());
    let every = every.unwrap_or(1).max(1);
    let mut faults = Vec::new();
    println!(
        "| platform | evidence | inputs tried | accepted wrongly | crashes | slowest verdict |"
    );
    println!("|---|---|---|---|---|---|");
    let mut unsigned = Vec::new();
    for case in &cases {
        let tally = run(case, &cases, every);
        println!(
            "| {} | {} | {} | {} | {} | {:.1} ms |",
            case.evidence.platform.name(),
            case.name,
            tally.tried,
            tally.wrong,
            tally.crashes,
            tally.slowest.as_secs_f64() * 1000.0
        );
        for (part, offsets) in tally.harmless {
            unsigned.push(format!("{}, {part:?}: {}", case.name, ranges(offsets)));
        }
        faults.extend(tally.faults);
    }
    println!("\nchanges that change nothing, by byte:");
    for line in unsigned {
        println!("- {line}");
    }
    for fault in faults.iter().take(100) {
        println!("FAULT {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
