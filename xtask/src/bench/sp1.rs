//! `cargo xtask bench sp1`: one core proof of the fibonacci guest, made by the
//! published SDK in its own process (bare) and by a server on this machine
//! through `soundproof connect` (delegated: registration looked up, input
//! sealed and uploaded, executed, proved, verified in the enclave, fetched,
//! receipt checked). Both are timed by the SDK's caller, from the call of
//! `prove` to the proof in hand, without simulation; client, key and server are
//! there before, and a first proof of each process is left out. Bare is built
//! twice: with the flags of the prover, and with none.
//!
//! In turn, since two do not fit into memory at once, and so that a machine
//! that grows slower meanwhile is as slow for all.

use super::stats::Series;
use crate::{
    demo,
    shell::{self, Failure, Result},
    sp1::{
        self, Built, Level,
        client::{Call, Route, program},
        server::{Role, Server, Watch},
    },
};
use clap::Args;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio, thread, time::Duration};

/// Measured proofs of a side before it is the other's turn.
const BLOCK: u32 = 3;
/// Between delegated proofs, so that a fresh process is ready for each.
const PAUSE_S: &str = "10";
/// Times of the default flags, which are slow, in a turn.
const SLOW_BLOCK: u32 = 1;
/// Times of a process's start.
const STARTS: usize = 3;

/// Against the same flags at most, and against none at least.
const TARGET_RATIO: f64 = 1.03;
const TARGET_FASTER: f64 = 2.5;

/// This much of a processor is too much other work.
const BUSY: f64 = 0.1;
/// For how long that is looked at.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// Measured proofs of each side, at least
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Which Fibonacci number
    #[arg(long, default_value_t = 1000)]
    number: u32,
    /// Leave the build without flags out
    #[arg(long)]
    no_generic: bool,
    /// The JSON object on stdout instead of the table
    #[arg(long)]
    json: bool,
    /// Where the JSON and the table go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

type Peaks = BTreeMap<String, u64>;

#[derive(Default)]
struct Measured {
    bare: Vec<f64>,
    generic: Vec<f64>,
    delegated: Vec<f64>,
    bare_start: Vec<f64>,
    generic_start: Vec<f64>,
    peaks: Peaks,
}

pub(crate) fn run(options: &Options) -> Result {
    demo::build()?;
    let own = sp1::build(Level::own())?;
    let generic = match options.no_generic || own.level == Level::Generic {
        true => None,
        false => Some(sp1::build(Level::Generic)?),
    };
    let out = match &options.out {
        Some(dir) => std::path::absolute(dir).map_err(|error| Failure::of("--out", error))?,
        None => shell::root().join("out/bench"),
    };
    sp1::make(&out)?;
    let load = load()?;
    let mut measured = Measured::default();
    while measured.delegated.len() < usize::from(options.runs) {
        let mut side = bare(&own, options, BLOCK)?;
        measured.bare.append(&mut side.times);
        measured.bare_start.push(side.start_ms);
        merge(&mut measured.peaks, "bare", side.peaks);

        let mut side = delegated(&own, options)?;
        measured.delegated.append(&mut side.times);
        merge(&mut measured.peaks, "delegated", side.peaks);

        if let Some(generic) = &generic {
            let mut side = bare(generic, options, SLOW_BLOCK)?;
            measured.generic.append(&mut side.times);
            measured.generic_start.push(side.start_ms);
            merge(&mut measured.peaks, "bare, default flags", side.peaks);
        }
        eprintln!("== {} of {}", measured.delegated.len(), options.runs);
    }
    let ready = [ready(&own, "core")?, ready(&own, "compressed")?];
    report(options, &out, load, &own, measured, ready)
}

/// One process's proofs but the first.
struct Side {
    times: Vec<f64>,
    start_ms: f64,
    peaks: BTreeMap<Role, u64>,
}

fn times(said: &Value) -> Result<Vec<f64>> {
    let runs = said["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let times = runs
        .iter()
        .skip(1)
        .map(|run| match run["proof_verified"] == true {
            true => run["prove_ms"].as_f64(),
            false => None,
        });
    let times: Option<Vec<f64>> = times.collect();
    times
        .filter(|times| !times.is_empty())
        .ok_or_else(|| Failure::of("sdk-check", said))
}

fn bare(built: &Built, options: &Options, count: u32) -> Result<Side> {
    eprintln!("== bare, {}", built.level.name());
    let mut command = shell::command(&built.sdk_check);
    command
        .arg("bare")
        .args(program("fibonacci"))
        .args(["--number", &options.number.to_string()])
        .args(["--runs", &(count + 1).to_string()]);
    let child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::of("sdk-check", error))?;
    let watch = Watch::start(vec![child.id()]);
    let output = child
        .wait_with_output()
        .map_err(|error| Failure::of("sdk-check", error))?;
    let peaks = watch.end();
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::of("sdk-check bare", error))?;
    Ok(Side {
        times: times(&said)?,
        start_ms: said["start_ms"].as_f64().unwrap_or(f64::NAN),
        peaks,
    })
}

fn delegated(built: &Built, options: &Options) -> Result<Side> {
    eprintln!("== delegated");
    let server = Server::start(built, &sp1::scratch("bench")?, &[])?;
    let call = Call::new(built, &server, Route::Connect)
        .with(["prove", "--skip-simulation", "--pause-s", PAUSE_S])
        .with(program("fibonacci"))
        .with(["--number", &options.number.to_string()])
        .with(["--runs", &(BLOCK + 1).to_string()]);
    let running = call.start()?;
    let watch = Watch::start(vec![server.pid(), running.pid()]);
    let answer = running.wait()?;
    let peaks = watch.end();
    answer.verified()?;
    Ok(Side {
        times: times(&answer.said)?,
        start_ms: server.start_ms,
        peaks,
    })
}

fn merge(all: &mut Peaks, side: &str, peaks: BTreeMap<Role, u64>) {
    for (role, bytes) in peaks {
        let peak = all.entry(format!("{side}: {}", role.name())).or_insert(0);
        *peak = bytes.max(*peak);
    }
}

/// From the start of the prover's process until it can take a job.
fn ready(built: &Built, mode: &str) -> Result<Series> {
    let mut all = Vec::new();
    for _ in 0..STARTS {
        let said = shell::output(shell::command(&built.prover).args(["start", mode]))?;
        let said: Value = serde_json::from_str(&said).unwrap_or_default();
        let ms = said["ready_ms"].as_f64();
        all.push(ms.ok_or_else(|| Failure::of("soundproof-prover-sp1 start", said))?);
    }
    Ok(Series::new(format!("prover ready, {mode}"), all))
}

/// Processors that other work keeps busy now. The system's load of the last
/// minute would count the build before this.
fn load() -> Result<f64> {
    let (busy, idle) = ticks()?;
    thread::sleep(LOOK);
    let (busy_now, idle_now) = ticks()?;
    let (busy, idle) = (busy_now - busy, idle_now - idle);
    let threads = thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let load = threads * busy / (busy + idle).max(1.0);
    if load > BUSY {
        eprintln!(
            "== WARNING: other work keeps {load:.2} processors busy; these figures are not to be quoted"
        );
    }
    Ok(load)
}

/// All processors' time since the start, at work and idle (`/proc/stat`: user,
/// nice, system, idle, iowait, irq, softirq, steal).
fn ticks() -> Result<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").map_err(|e| Failure::of("/proc/stat", e))?;
    let all: Vec<f64> = text
        .lines()
        .next()
        .into_iter()
        .flat_map(|line| line.split_whitespace().skip(1).take(8))
        .filter_map(|word| word.parse().ok())
        .collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = all[..] else {
        return Err(Failure::new("/proc/stat is not what it is on Linux"));
    };
    Ok((user + nice + system + irq + softirq + steal, idle + iowait))
}

fn report(
    options: &Options,
    out: &std::path::Path,
    load: f64,
    own: &Built,
    measured: Measured,
    ready: [Series; 2],
) -> Result {
    let level = own.level.name();
    let mut series = vec![
        Series::new(format!("bare, {level}"), measured.bare),
        Series::new(format!("delegated, {level}"), measured.delegated),
        Series::new("bare, default flags", measured.generic),
        Series::new(format!("bare client's start, {level}"), measured.bare_start),
        Series::new("bare client's start, default flags", measured.generic_start),
    ];
    series.extend(ready);
    series.retain(|one| !one.total_ms.is_empty());
    let median = |name: &str| {
        let found = series.iter().find(|one| one.name == name);
        found.map_or(f64::NAN, Series::median)
    };
    let delegated = median(&format!("delegated, {level}"));
    let ratio = delegated / median(&format!("bare, {level}"));
    let faster = median("bare, default flags") / delegated;

    let mut table = format!(
        "{:<46} {:>5} {:>10} {:>10}\n",
        "ms", "runs", "median", "p95"
    );
    for one in &series {
        table += &format!(
            "{:<46} {:>5} {:>10.0} {:>10.0}\n",
            one.name,
            one.total_ms.len(),
            one.median(),
            one.p95()
        );
    }
    table += "\npeak resident memory, MiB\n";
    for (name, bytes) in &measured.peaks {
        table += &format!("{name:<46} {:>10}\n", bytes >> 20);
    }
    table += &format!(
        "\ndelegated against bare with the same flags: {ratio:.3}x; target at most {TARGET_RATIO}x\n\
         delegated against bare with default flags: {faster:.2}x faster; target at least {TARGET_FASTER}x\n\
         other work before: {load:.2} processors\n"
    );
    let result = json!({
        "guest": "fibonacci", "number": options.number, "mode": "core", "level": level,
        "threads": std::thread::available_parallelism().map_or(0, usize::from),
        "series": series.iter().map(Series::json).collect::<Vec<_>>(),
        "peak_rss_bytes": measured.peaks,
        "ratio": ratio, "target_ratio": TARGET_RATIO,
        "faster": faster, "target_faster": TARGET_FASTER,
        "busy_before": load,
    });
    let write = |name: &str, text: &str| {
        fs::write(out.join(name), text).map_err(|error| Failure::of(name, error))
    };
    write("sp1.json", &result.to_string())?;
    write("sp1.txt", &table)?;
    match options.json {
        true => println!("{result}"),
        false => println!("{table}\n{}", out.display()),
    }
    Ok(())
}
