//! `soundproof verify`: evidence, a quote, a proof, a receipt. Nothing but
//! `evidence --url` uses the network.

mod quote;

use crate::{
    connect::{Connect, PolicyFile},
    failure::Failure,
    files,
    output::Output,
    sp1::{self, Key},
    time,
};
use serde::Serialize;
use soundproof::{
    Beside, Program, Verdict, claimed_end_ms,
    evidence::{appraise, explain, verify_session},
    now_ms,
    protocol::{
        attestation::{Endorsements, MAX_ENDORSEMENTS},
        cbor,
        error::Code,
        receipt::{Bundle, MAX_BUNDLE, SessionEvidence},
        trust::TrustConfiguration,
    },
    verify_bundle,
};
use std::path::{Path, PathBuf};

/// Bytes of a key, proof or public values file at most.
const MAX_DOCUMENT: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Judge evidence: a server's, or what a file holds
    Evidence(Evidence),
    /// Published quotes: dstack's, dstack-ingress's, sp1-tee-private-proving's
    Quote(Box<quote::Args>),
    /// Verify a proof under a verifying key
    Proof(Proof),
    /// Check a receipt bundle, with no network
    Receipt(Receipt),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Evidence {
    /// A receipt bundle, or a session's evidence
    #[arg(conflicts_with = "url", required_unless_present = "url")]
    file: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
    /// Judge a file by the endorsements in this one, as `collateral fetch`
    /// writes it, instead of its own
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    collateral: Option<PathBuf>,
    /// Explain it only, by no policy; nothing is accepted
    #[arg(long)]
    explain: bool,
    /// Keep a server's evidence in this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Proof {
    /// verification_key.json
    #[arg(long, value_name = "FILE")]
    vkey: PathBuf,
    /// proof.json
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// public.json
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Receipt {
    /// receipt.bundle
    bundle: PathBuf,
    #[command(flatten)]
    policy: PolicyFile,
    /// The proof that the receipt should be for
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Its public values
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// Judge as of this time, RFC 3339, or `now` [default: the time that the
    /// receipt claims, which is the host's word]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Newer endorsements to judge by, as `verify evidence --save` keeps them
    #[arg(long, value_name = "FILE")]
    endorsements_of: Option<PathBuf>,
    /// Newer endorsements to judge by, as `collateral fetch` writes them
    #[arg(long, value_name = "FILE", conflicts_with = "endorsements_of")]
    collateral: Option<PathBuf>,
    /// For SP1: the program's vk.hash_bytes() that the receipt should name
    #[arg(long, value_name = "HEX", value_parser = sp1::key)]
    verifying_key: Option<Key>,
    /// Accept a receipt of a server's direct path too: nobody appraised the
    /// enclave before the input left its owner
    #[arg(long)]
    danger_unappraised: bool,
}

pub(crate) async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Evidence(args) => evidence(args, output).await,
        Command::Quote(args) => quote::run(args, output),
        Command::Proof(args) => proof(args, output),
        Command::Receipt(args) => receipt(args, output),
    }
}

#[derive(Serialize)]
struct Judged<'a> {
    accepted: bool,
    explained_only: bool,
    verdict: &'a Verdict,
}

async fn evidence(args: &Evidence, output: Output) -> Result<(), Failure> {
    let verdict = match &args.file {
        Some(path) => judge_file(args, path)?,
        None => judge_server(args).await?,
    };
    let accepted = verdict.clone().accept().is_ok();
    let judged = Judged {
        accepted,
        explained_only: args.explain,
        verdict: &verdict,
    };
    let mut text = verdict.to_string();
    if args.file.is_some() {
        text.push_str(
            "\nA file's evidence was made for somebody's session, at some time: that it is fresh \
             cannot be said.",
        );
    }
    output.result(&judged, text);
    if accepted || args.explain {
        Ok(())
    } else {
        Err(Failure::judged(
            Code::EvidenceRejected,
            "the evidence was not accepted",
        ))
    }
}

fn judge_file(args: &Evidence, path: &Path) -> Result<Verdict, Failure> {
    let mut session = read_session(path)?;
    if let Some(bundle) = &args.collateral {
        session.endorsements = endorse(bundle, &session)?;
    }
    if args.explain {
        return Ok(explain(&session.evidence, &session.endorsements, now_ms()));
    }
    let policy = args.connect.policy.read()?;
    let invalid = |error: String| Failure::new(Code::TranscriptMismatch, error);
    let (_, binding) = verify_session(&session).map_err(|error| invalid(error.to_string()))?;
    let trust = TrustConfiguration::from_slice(&session.trust.0)
        .map_err(|error| invalid(error.to_string()))?;
    Ok(appraise(
        &session.evidence,
        &session.endorsements,
        &binding,
        &trust,
        &policy,
        now_ms(),
    ))
}

async fn judge_server(args: &Evidence) -> Result<Verdict, Failure> {
    if args.explain || args.save.is_some() {
        let examined = args.connect.onlooker()?.examine().await?;
        if let Some(path) = &args.save {
            files::write(path, &cbor::to_vec(&examined.evidence), false)?;
        }
        if args.explain {
            return Ok(examined.verdict);
        }
    }
    match args.connect.client()?.open_session().await {
        Ok(session) => Ok(session.verdict().clone()),
        Err(error) => match error.verdict() {
            Some(verdict) => Ok(verdict.clone()),
            None => Err(error.into()),
        },
    }
}

/// Endorsements for a session's evidence out of a file of them.
fn endorse(bundle: &Path, session: &SessionEvidence) -> Result<Endorsements, Failure> {
    soundproof_collateral::Bundle::read(bundle)
        .and_then(|bundle| bundle.endorse(&session.evidence, Some(&session.endorsements)))
        .map_err(super::collateral::failure)
}

/// A session's evidence, as it is or in a receipt bundle.
fn read_session(path: &Path) -> Result<SessionEvidence, Failure> {
    let bytes = files::read(path, MAX_BUNDLE)?;
    cbor::from_slice::<SessionEvidence>(&bytes, MAX_BUNDLE)
        .or_else(|_| Bundle::from_slice(&bytes).map(|bundle| bundle.session))
        .map_err(|error| not_a_bundle(path, &error.to_string()))
}

fn not_a_bundle(path: &Path, why: &str) -> Failure {
    Failure::new(Code::BundleInvalid, format!("{}: {why}", path.display()))
}

fn proof(args: &Proof, output: Output) -> Result<(), Failure> {
    let read = |path: &Path| files::read(path, MAX_DOCUMENT);
    let (vkey, proof, public) = (read(&args.vkey)?, read(&args.proof)?, read(&args.public)?);
    // Verification needs no proving key.
    let program = Program::keys(Vec::new(), vkey)?;
    program.verify(&proof, &public)?;
    let signals = program.public_count().unwrap_or_default();
    output.result(
        &serde_json::json!({ "verified": true, "public_signals": signals }),
        format!("the proof verifies; it has {signals} public signals"),
    );
    Ok(())
}

fn receipt(args: &Receipt, output: Output) -> Result<(), Failure> {
    let bytes = files::read(&args.bundle, MAX_BUNDLE)?;
    let bundle = Bundle::from_slice(&bytes)
        .map_err(|error| not_a_bundle(&args.bundle, &error.to_string()))?;
    let policy = args.policy.read()?;
    let optional = |path: &Option<PathBuf>| {
        path.as_deref()
            .map(|path| files::read(path, MAX_DOCUMENT))
            .transpose()
    };
    let (proof, public) = (optional(&args.proof)?, optional(&args.public)?);
    let newer = |path: &Path| read_session(path).map(|session| session.endorsements);
    let endorsements = match (&args.endorsements_of, &args.collateral) {
        (Some(path), _) => Some(newer(path)?),
        (None, Some(path)) => Some(endorse(path, &bundle.session)?),
        (None, None) => None,
    };
    if endorsements
        .as_ref()
        .is_some_and(|newer| newer.body.0.len() > MAX_ENDORSEMENTS)
    {
        return Err(not_a_bundle(&args.bundle, "the endorsements are too long"));
    }
    let at = match args.at.as_deref() {
        None => claimed_end_ms(&bundle)?,
        Some("now") => now_ms(),
        Some(text) => time::parse(text)?,
    };
    let beside = Beside {
        proof: proof.as_deref(),
        public_values: public.as_deref(),
        endorsements: endorsements.as_ref(),
        verifying_key: args.verifying_key.map(|Key(bytes)| bytes),
        danger_unappraised: args.danger_unappraised,
    };
    let report = verify_bundle(&bundle, &beside, &policy, at)?;
    let mut lines = vec![
        report.verdict.to_string(),
        String::new(),
        format!("proof of   {}/{}", report.system, report.mode),
    ];
    lines.extend(
        report
            .verifying_key
            .iter()
            .map(|key| format!("program    verifying key {key}")),
    );
    lines.push(format!(
        "public     values with SHA-256 {}",
        report.public_values
    ));
    lines.push(format!(
        "appraised  {}",
        if report.client_appraised {
            "by the client, before it sealed the input"
        } else {
            "by nobody: the input was sealed on arrival, by the server's direct path"
        }
    ));
    lines.extend(
        report
            .checked
            .iter()
            .map(|what| format!("holds      {what}")),
    );
    lines.extend(
        report
            .unchecked
            .iter()
            .map(|what| format!("not given  {what}")),
    );
    lines.extend(
        report
            .problems
            .iter()
            .map(|what| format!("PROBLEM    {what}")),
    );
    lines.push(format!(
        "judged as of {}; the receipt claims {} to {}, by the host's clock",
        time::show(at),
        time::show(report.claimed_start_ms),
        time::show(report.claimed_end_ms)
    ));
    lines.push(if report.accepted {
        "the receipt is accepted".into()
    } else {
        "THE RECEIPT IS NOT ACCEPTED".into()
    });
    output.result(&report, lines.join("\n"));
    if report.accepted {
        Ok(())
    } else {
        Err(Failure::judged(
            Code::ReceiptInvalid,
            "the receipt was not accepted",
        ))
    }
}
