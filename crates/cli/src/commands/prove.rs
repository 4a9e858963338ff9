//! `soundproof prove`: the whole path, with progress on a terminal.

use crate::{
    circuits::Circuit,
    connect::Connect,
    failure::Failure,
    files,
    output::Output,
    report::{Files, Phases, verdict},
    sp1::Sp1,
};
use clap::ArgGroup;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use soundproof::{
    Event, Input, JobOptions, Observer, ProofCheck, Proven,
    protocol::{description::Limits, error::Code},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("secret").required(true).args(["input", "wtns", "stdin"])))]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    circuit: Circuit,
    #[command(flatten)]
    sp1: Sp1,
    /// The circuit's input signals, a JSON object; - for stdin
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// A ready-made witness; - for stdin
    #[arg(long, value_name = "FILE")]
    wtns: Option<PathBuf>,
    /// Folder for proof.json, public.json and receipt.bundle; for SP1 proof.bin,
    /// public_values.bin and receipt.bundle
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Write the job's ticket to this file: a secret, with which another
    /// process can fetch
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
    /// Return as soon as the job is accepted; fetch it with the ticket
    #[arg(long, requires = "ticket")]
    detach: bool,
    /// Seconds that the job may take [default: what the server allows]
    #[arg(long, visible_alias = "timeout", value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// MiB that a process of the job may use [default: likewise]
    #[arg(long, value_name = "MIB")]
    memory_limit: Option<u64>,
    /// Seconds that the job may wait to be started
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 3600)]
    start_within: u64,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    job: String,
    verdict: &'static str,
    system: String,
    mode: String,
    /// By whom: `by_client` or `by_enclave_only`.
    proof_verified: ProofCheck,
    /// Whether --verifier found it valid too.
    verified_by_verifier: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verifying_key: Option<String>,
    #[serde(flatten)]
    files: Files,
    #[serde(flatten)]
    phases: Phases,
    resubmissions: Vec<&'static str>,
}

#[derive(Serialize)]
struct Detached {
    job: String,
    ticket: PathBuf,
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let program = match args.sp1.program()? {
        Some(program) => program,
        None => args.circuit.program(args.wtns.is_some())?,
    };
    let input = args.read_input()?;
    let mut options = JobOptions {
        limits: Limits {
            time_ms: args.time_limit.unwrap_or(0).saturating_mul(1000),
            memory_bytes: args.memory_limit.unwrap_or(0).saturating_mul(1024 * 1024),
            ..Limits::default()
        },
        start_within: Duration::from_secs(args.start_within),
        ..JobOptions::default()
    };
    args.sp1.set(&mut options);
    let bars = Bars::new(output);
    let observe = |event: &Event<'_>| bars.tell(event);
    let observer = Observer::new(&observe);
    let proven = match &args.ticket {
        None => {
            client
                .prove_with(&program, &input, &options, observer)
                .await?
        }
        Some(path) => {
            let submitted = client.submit(&program, &input, &options, observer).await?;
            files::write(path, &submitted.ticket_bytes(), true)?;
            if args.detach {
                bars.done();
                let detached = Detached {
                    job: submitted.job().to_string(),
                    ticket: path.clone(),
                };
                let text = format!(
                    "accepted: job {}\nfetch it with: soundproof jobs fetch --ticket {}",
                    detached.job,
                    path.display()
                );
                output.result(&detached, text);
                return Ok(());
            }
            submitted.wait(observer).await?
        }
    };
    bars.done();
    let verified = args.sp1.verify(&proven.proof)?;
    report(&proven, &args.out, verified, output)
}

/// Writes the files and says what was made; `jobs fetch` does so too.
/// `verified`: an outside verifier found the proof valid.
pub(super) fn report(
    proven: &Proven,
    out: &Path,
    verified: bool,
    output: Output,
) -> Result<(), Failure> {
    let written = Files::in_folder(out, &proven.receipt.system);
    written.write(proven)?;
    let phases = Phases::of(proven);
    let mut text = format!(
        "{}\n\nproof    {}\npublic   {}\nreceipt  {}\n",
        proven.verdict,
        written.proof.display(),
        written.public.display(),
        written.receipt.display()
    );
    let verifying_key = proven.receipt.verifying_key.as_ref().map(|key| hex(&key.0));
    if let Some(key) = &verifying_key {
        text.push_str(&format!("\nverifying key  {key}"));
    }
    text.push_str(match (proven.proof_verified, verified) {
        (ProofCheck::ByClient, _) => "\nverified by    the enclave, and here\n",
        (_, true) => "\nverified by    the enclave, and here by --verifier\n",
        _ => {
            "\nverified by    the enclave alone, as the receipt says; to verify it here: \
             --verifier, or SP1's SDK\n"
        }
    });
    for (name, ms) in phases.rows() {
        text.push_str(&format!("\n{name:<10} {ms:>10.1} ms"));
    }
    if !proven.resubmissions.is_empty() {
        text.push_str(&format!(
            "\n\nsubmitted {} times",
            proven.resubmissions.len() + 1
        ));
    }
    output.result(
        &Report {
            job: proven.job.to_string(),
            verdict: verdict(proven),
            system: proven.receipt.system.clone(),
            mode: proven.receipt.mode.clone(),
            proof_verified: proven.proof_verified,
            verified_by_verifier: verified,
            verifying_key,
            files: written,
            phases,
            resubmissions: proven
                .resubmissions
                .iter()
                .map(|code| code.name())
                .collect(),
        },
        text,
    );
    Ok(())
}

impl Args {
    fn read_input(&self) -> Result<Input, Failure> {
        let given = [&self.input, &self.wtns, &self.sp1.stdin];
        let Some(path) = given.into_iter().find_map(Option::as_ref) else {
            return Err(Failure::usage(
                "no input",
                "Give --input or --wtns, or --stdin for an SP1 program.",
            ));
        };
        if path.as_os_str() == "-" {
            let mut bytes = files::stdin()?;
            return Ok(Input::bytes(core::mem::take(&mut *bytes)));
        }
        if !path.is_file() {
            return Err(Failure::new(
                Code::FileUnreadable,
                format!("{} is no file", path.display()),
            ));
        }
        Ok(Input::file(path))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Progress on a terminal; nothing elsewhere.
pub(super) struct Bars {
    upload: ProgressBar,
    job: ProgressBar,
    all: MultiProgress,
}

impl Bars {
    pub(super) fn new(output: Output) -> Self {
        // Stderr; hidden where it is no terminal.
        let all = MultiProgress::new();
        if output.is_json() {
            all.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let upload = all.add(ProgressBar::new(0));
        upload.set_style(style("upload  {bar:40} {bytes}/{total_bytes}"));
        let job = all.add(ProgressBar::new(1000));
        job.set_style(style("job     {bar:40} {msg}"));
        Self { upload, job, all }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Accepted { verdict, .. } => self.note(format!(
                "evidence accepted: {} platform{}",
                verdict.platform.name(),
                verdict
                    .release
                    .as_ref()
                    .map(|name| format!(", release {name}"))
                    .unwrap_or_default()
            )),
            Event::Program { role, bytes } => {
                self.note(format!("sending the {role}, {bytes} bytes"));
            }
            Event::Uploaded { bytes, of } => {
                self.upload.set_length(*of);
                self.upload.set_position(*bytes);
            }
            Event::Acknowledged(job) => self.note(format!("accepted: job {job}")),
            Event::State(state) => self.job.set_message(state.name()),
            Event::Progress {
                phase, permille, ..
            } => {
                self.job.set_message((*phase).to_owned());
                self.job.set_position(u64::from(*permille));
            }
            Event::Resubmitting {
                submission,
                because,
            } => self.note(format!("submitting anew, number {submission}: {because}")),
            Event::Verified => self.job.finish_with_message("verified"),
            _ => {}
        }
    }

    fn note(&self, text: String) {
        // An error here means that there is no terminal to tell.
        let _ = self.all.println(text);
    }

    pub(super) fn done(&self) {
        let _ = self.all.clear();
    }
}
