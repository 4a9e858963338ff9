//! `soundproof demo`: starts a server on the software platform on this
//! machine, has real proofs made by it, and checks everything that comes
//! back, as a stranger would, from the files.

use crate::{
    connect::read_policy,
    daemon::{self, Daemon},
    failure::Failure,
    files,
    output::Output,
    report::{Files, Phases, verdict},
};
use serde::Serialize;
use soundproof::{
    Beside, Client, Event, Input, JobOptions, Observer, Policy, Program, claimed_end_ms,
    protocol::{
        error::Code,
        receipt::{Bundle, MAX_BUNDLE},
    },
    verify_bundle,
};
use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

/// Bytes of a circuit's input at most.
const MAX_INPUT: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with semaphore-N.wasm, .zkey and .json
    #[arg(long, value_name = "DIR", required_unless_present_all = ["wasm", "zkey", "vkey"])]
    artifacts: Option<PathBuf>,
    /// Depth of the Semaphore circuit: N in the files' names
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=32))]
    depth: u8,
    /// Witness generator, instead of --artifacts
    #[arg(long, value_name = "FILE", conflicts_with = "artifacts")]
    wasm: Option<PathBuf>,
    /// Proving key, likewise
    #[arg(long, value_name = "FILE", conflicts_with = "artifacts")]
    zkey: Option<PathBuf>,
    /// Verifying key, likewise
    #[arg(long, value_name = "FILE", conflicts_with = "artifacts")]
    vkey: Option<PathBuf>,
    /// The circuit's input signals, or a folder of files input*.json; used in
    /// turn
    #[arg(long, value_name = "FILE", required = true)]
    input: Vec<PathBuf>,
    /// How many proofs; the first is cold
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Folder for proof.json, public.json and receipt.bundle
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    /// The server's executable [default: beside this one]
    #[arg(long, value_name = "FILE")]
    soundproofd: Option<PathBuf>,
    /// The prover's executable [default: beside this one]
    #[arg(long, value_name = "FILE")]
    prover: Option<PathBuf>,
    /// Milliseconds that one quote takes, as on hardware
    #[arg(long, value_name = "MS", default_value_t = 0)]
    quote_delay_ms: u32,
    /// Keep the server's data folder and log
    #[arg(long)]
    keep: bool,
}

/// What `--json` prints. The figures at the top are the last run's.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    phases: Phases,
    proof_verified: bool,
    receipt_verified: bool,
    verdict: &'static str,
    #[serde(flatten)]
    files: Files,
    receipt_bundle: PathBuf,
    policy: PathBuf,
    start_ms: f64,
    platform: &'static str,
    runs: Vec<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
}

#[derive(Serialize)]
struct Run {
    #[serde(flatten)]
    phases: Phases,
    /// The first proof of a fresh server.
    cold: bool,
    proof_verified: bool,
    receipt_verified: bool,
    verdict: &'static str,
    job: String,
    resubmissions: Vec<&'static str>,
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<(), Failure> {
    output.say(soundproof::evidence::SOFTWARE_WARNING);
    output.say(
        "It shows the whole path: every check is made as on hardware, under a trust anchor that \
         was made a moment ago on this machine.\n",
    );
    let circuit = args.circuit()?;
    let [wasm, zkey, vkey] = &circuit;
    let program = Program::circom(wasm.as_path(), zkey.as_path(), vkey.as_path())?;
    let inputs = args.inputs()?;
    files::folder(&args.out)?;
    let folder = tempfile::Builder::new()
        .prefix("soundproof-demo-")
        .tempdir()
        .map_err(|error| Failure::file(Path::new("the temporary folder"), &error))?;
    let started = Instant::now();
    let daemon = args.start(folder.path()).await?;
    let start_ms = started.elapsed().as_secs_f64() * 1000.0;

    // Whatever happens, the server is stopped.
    let proved = tokio::select! {
        proved = args.prove_all(&daemon, &program, vkey, &inputs, output) => proved,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Code::Cancelled, "interrupted")),
    };
    let tail = daemon.log_tail();
    daemon.stop().await;
    let kept = args.keep.then(|| folder.keep());
    if let Some(folder) = &kept {
        output.warn(format_args!(
            "the server's folder is kept: {}",
            folder.display()
        ));
    }
    let (runs, written) = proved.inspect_err(|_| {
        if !tail.is_empty() {
            output.warn(format_args!("the end of the server's log:\n{tail}"));
        }
    })?;
    let Some(last) = runs.last() else {
        return Err(Failure::new(Code::Internal, "nothing was proved"));
    };
    let text = text(&runs, &written);
    let good = runs
        .iter()
        .all(|run| run.proof_verified && run.receipt_verified);
    let report = Report {
        phases: last.phases,
        proof_verified: runs.iter().all(|run| run.proof_verified),
        receipt_verified: runs.iter().all(|run| run.receipt_verified),
        verdict: last.verdict,
        receipt_bundle: written.receipt.clone(),
        policy: args.out.join("policy.toml"),
        files: written,
        start_ms,
        platform: "software",
        runs,
        kept,
    };
    output.result(&report, text);
    if good {
        Ok(())
    } else {
        Err(Failure::judged(
            Code::ProofRejected,
            "a proof or receipt did not verify",
        ))
    }
}

impl Args {
    fn circuit(&self) -> Result<[PathBuf; 3], Failure> {
        match (&self.artifacts, &self.wasm, &self.zkey, &self.vkey) {
            (Some(folder), ..) => Ok(["wasm", "zkey", "json"]
                .map(|end| folder.join(format!("semaphore-{}.{end}", self.depth)))),
            (None, Some(wasm), Some(zkey), Some(vkey)) => {
                Ok([wasm.clone(), zkey.clone(), vkey.clone()])
            }
            _ => Err(Failure::usage(
                "no circuit was named",
                "Give --artifacts DIR, or --wasm, --zkey and --vkey.",
            )),
        }
    }

    /// The files, and those in folders by name.
    fn inputs(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut inputs = Vec::new();
        for path in &self.input {
            if !path.is_dir() {
                inputs.push(path.clone());
                continue;
            }
            let entries = std::fs::read_dir(path).map_err(|error| Failure::file(path, &error))?;
            let mut found: Vec<PathBuf> = entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    name.starts_with("input") && name.ends_with(".json")
                })
                .collect();
            found.sort();
            inputs.extend(found);
        }
        if inputs.is_empty() {
            return Err(Failure::usage(
                "there are no inputs",
                "Name one with --input.",
            ));
        }
        Ok(inputs)
    }

    async fn start(&self, folder: &Path) -> Result<Daemon, Failure> {
        let or_find = |given: &Option<PathBuf>, name| match given {
            Some(path) => Ok(path.clone()),
            None => daemon::find(name),
        };
        let soundproofd = or_find(&self.soundproofd, daemon::SOUNDPROOFD)?;
        let mut prover = OsString::from("groth16=");
        prover.push(or_find(&self.prover, daemon::PROVER)?);
        let arguments: [OsString; 12] = [
            "--listen".into(),
            "127.0.0.1:0".into(),
            "--data".into(),
            folder.join("data").into(),
            "--platform".into(),
            "software".into(),
            "--software-pki".into(),
            folder.join("pki").into(),
            "--software-quote-delay-ms".into(),
            self.quote_delay_ms.to_string().into(),
            "--prover".into(),
            prover,
        ];
        Daemon::start(&soundproofd, arguments, folder.join("soundproofd.log")).await
    }

    async fn prove_all(
        &self,
        daemon: &Daemon,
        program: &Program,
        vkey: &Path,
        inputs: &[PathBuf],
        output: Output,
    ) -> Result<(Vec<Run>, Files), Failure> {
        let policy = read_policy(&daemon.policy)?;
        let text = files::read(&daemon.policy, MAX_INPUT)?;
        files::write(&self.out.join("policy.toml"), &text, false)?;
        let client = Client::new(&daemon.url, policy.clone())?;
        let written = Files::in_folder(&self.out, soundproof::GROTH16);
        let mut runs = Vec::new();
        for (index, input) in inputs.iter().cycle().take(self.runs as usize).enumerate() {
            // Read before the clock starts, as a caller would have it.
            let input = Input::bytes(files::read(input, MAX_INPUT)?);
            let observe = |event: &Event<'_>| {
                if let Event::Resubmitting { because, .. } = event {
                    output.warn(format_args!("submitting anew: {because}"));
                }
            };
            // Each run opens a session and judges it anew.
            client.forget_session().await;
            let proven = client
                .prove_with(
                    program,
                    &input,
                    &JobOptions::default(),
                    Observer::new(&observe),
                )
                .await?;
            written.write(&proven)?;
            let (proof_verified, receipt_verified) = check_files(&written, vkey, &policy)?;
            let run = Run {
                phases: Phases::of(&proven),
                cold: index == 0,
                proof_verified,
                receipt_verified,
                verdict: verdict(&proven),
                job: proven.job.to_string(),
                resubmissions: proven
                    .resubmissions
                    .iter()
                    .map(|code| code.name())
                    .collect(),
            };
            if self.runs > 1 {
                output.warn(format_args!(
                    "run {}: {:.0} ms",
                    index + 1,
                    run.phases.total_ms
                ));
            }
            runs.push(run);
        }
        Ok((runs, written))
    }
}

/// Whether proof and receipt verify, from nothing but the files: the package's
/// own verifying key, and the policy.
fn check_files(written: &Files, vkey: &Path, policy: &Policy) -> Result<(bool, bool), Failure> {
    let proof = files::read(&written.proof, MAX_INPUT)?;
    let public = files::read(&written.public, MAX_INPUT)?;
    let program = Program::keys(Vec::new(), vkey)?;
    let proof_verified = program.verify(&proof, &public).is_ok();
    let bundle = Bundle::from_slice(&files::read(&written.receipt, MAX_BUNDLE)?)
        .map_err(|error| Failure::new(Code::BundleInvalid, error.to_string()))?;
    let beside = Beside {
        proof: Some(&proof),
        public_values: Some(&public),
        ..Beside::default()
    };
    let receipt_verified = claimed_end_ms(&bundle)
        .and_then(|at| verify_bundle(&bundle, &beside, policy, at))
        .is_ok_and(|report| report.accepted);
    Ok((proof_verified, receipt_verified))
}

fn text(runs: &[Run], written: &Files) -> String {
    let mut text = String::new();
    let first = runs.first().map(|run| run.phases.rows());
    let warm: Vec<_> = runs.iter().skip(1).map(|run| run.phases.rows()).collect();
    // Writing to a String cannot fail.
    let _ = match warm.len() {
        0 => writeln!(text, "{:<12}{:>12}", "phase", "cold, ms"),
        n => writeln!(
            text,
            "{:<12}{:>12}{:>16}",
            "phase",
            "cold, ms",
            format!("warm ({n}), ms")
        ),
    };
    for (row, (name, cold)) in first.into_iter().flatten().enumerate() {
        let _ = write!(text, "{name:<12}{cold:>12.1}");
        let mut times: Vec<f64> = warm
            .iter()
            .filter_map(|rows| rows.get(row).map(|(_, ms)| *ms))
            .collect();
        times.sort_by(f64::total_cmp);
        if let Some(median) = times.get(times.len() / 2) {
            let _ = write!(text, "{median:>16.1}");
        }
        text.push('\n');
    }
    let proofs = runs.iter().filter(|run| run.proof_verified).count();
    let receipts = runs.iter().filter(|run| run.receipt_verified).count();
    let _ = write!(
        text,
        "\nchecked, each from the files alone:\n\
         {proofs} of {n} proofs verify under the circuit's own verifying key\n\
         {receipts} of {n} receipts: evidence, path, receipt key, signature, digests of proof and \
         public values, by the policy\n\
         checked on the way: nonce, offer, binding, trust configuration, sealed input, commitment\n\n\
         proof    {}\npublic   {}\nreceipt  {}",
        written.proof.display(),
        written.public.display(),
        written.receipt.display(),
        n = runs.len()
    );
    text
}
