//! `soundproof policy`: write one to begin with, and check one.

use crate::{
    connect::{Connect, read_policy},
    failure::Failure,
    files,
    output::Output,
};
use serde::Serialize;
use soundproof::{
    Examined, Policy, Verdict,
    evidence::policy::{Anchor, Platforms, Release, SoftwarePlatform, TdxPlatform, TrustRules},
    protocol::{attestation::Platform, error::Code},
};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write a policy from what a server shows, or from a release's file
    Init(Init),
    /// Read a policy, say what it accepts, and judge a server by it
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The server to look at
    #[arg(long, value_name = "URL")]
    from: String,
    /// A policy published with a release: its measurements and provers are
    /// accepted, not those that the server shows
    #[arg(long, value_name = "FILE")]
    release: Option<PathBuf>,
    /// The software platform's anchor, as its operator gave it to you
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    out: PathBuf,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    /// File that holds the API key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The policy
    file: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init(args, output).await,
        Command::Check(args) => check(args, output).await,
    }
}

const FIRST_USE: &str = "\
# TRUST ON FIRST USE. This policy accepts exactly what one server showed on
# one day. Nobody has said that what it showed is worth trusting: compare the
# measurements below with those that the release's makers publish, and the
# prover's digest with that of an executable that you built yourself. Until
# then this protects against a server that changes later, and not against one
# that was bad from the start.
";
const FROM_RELEASE: &str = "\
# Releases and provers are those of the release's file. What the operator may
# have set is as the release's file says.
";
const SOFTWARE: &str = "\
#
# THE SOFTWARE PLATFORM: NO HARDWARE PROTECTS ANYTHING. For development only.
";

#[derive(Serialize)]
struct Written<'a> {
    policy: &'a Path,
    trust_on_first_use: bool,
    accepts_the_server: bool,
    verdict: &'a Verdict,
}

async fn init(args: &Init, output: Output) -> Result<(), Failure> {
    if args.out.exists() && !args.force {
        return Err(Failure::usage(
            format!("{} is there already", args.out.display()),
            "Name another file with --out, or replace it with --force.",
        ));
    }
    let connect = Connect {
        url: Some(args.from.clone()),
        policy: Default::default(),
        api_key_file: args.api_key_file.clone(),
        danger_plain_http: false,
    };
    let examined = connect.onlooker()?.examine().await?;
    let policy = policy_from(&examined, args)?;
    let invalid =
        |error: soundproof::PolicyError| Failure::new(Code::PolicyInvalid, error.to_string());
    let mut text = String::from(match args.release {
        Some(_) => FROM_RELEASE,
        None => FIRST_USE,
    });
    if examined.verdict.platform == Platform::Software {
        text.push_str(SOFTWARE);
    }
    text.push_str(&format!("#\n# Server: {}\n\n", args.from));
    text.push_str(&policy.to_toml().map_err(invalid)?);
    // What was written is what will be read.
    let read = Policy::from_toml(&text).map_err(invalid)?;
    files::write(&args.out, text.as_bytes(), false)?;
    let judged = judge(&connect, read).await?;
    let accepts = judged.clone().accept().is_ok();
    let lines = format!(
        "{}\n{judged}\n\nwrote {}\n{}",
        measurements_text(&examined),
        args.out.display(),
        if args.release.is_some() {
            "It accepts what the release's file accepts."
        } else {
            "TRUST ON FIRST USE: it accepts exactly what this server showed just now. Compare the \
             measurements with those that the release's makers publish before you rely on it."
        }
    );
    let written = Written {
        policy: &args.out,
        trust_on_first_use: args.release.is_none(),
        accepts_the_server: accepts,
        verdict: &judged,
    };
    output.result(&written, lines);
    Ok(())
}

/// What is to be compared with what the release's makers publish.
fn measurements_text(examined: &Examined) -> String {
    let facts = examined.verdict.facts.as_ref();
    let values = facts.and_then(|facts| serde_json::to_value(facts.measurements).ok());
    let mut text = String::from("the server's measurements:\n");
    for (name, value) in values.iter().filter_map(|v| v.as_object()).flatten() {
        text.push_str(&format!(
            "{name:<15}{}\n",
            value.as_str().unwrap_or_default()
        ));
    }
    for prover in &examined.trust.provers {
        text.push_str(&format!(
            "prover         {} {}, SHA-256 {}\n",
            prover.system, prover.version, prover.executable
        ));
    }
    text
}

fn policy_from(examined: &Examined, args: &Init) -> Result<Policy, Failure> {
    let platform = examined.verdict.platform;
    let measurements = examined
        .verdict
        .facts
        .as_ref()
        .map(|facts| facts.measurements)
        .ok_or_else(|| {
            Failure::new(
                Code::EvidenceRejected,
                format!(
                    "the server's evidence cannot be read:\n{}",
                    examined.verdict
                ),
            )
        })?;
    let mut policy = match &args.release {
        Some(path) => read_policy(path)?,
        None => Policy {
            trust: TrustRules::exactly(&examined.trust),
            release: vec![Release {
                name: "first-use".into(),
                software: (platform == Platform::Software).then_some(measurements),
                tdx: (platform == Platform::Tdx).then_some(measurements),
            }],
            ..Policy::default()
        },
    };
    match platform {
        Platform::Tdx => policy.platform.tdx = Some(TdxPlatform::default()),
        Platform::Software => {
            policy.platform = Platforms {
                software: Some(SoftwarePlatform {
                    anchor_pem: anchor(examined, args.anchor.as_deref())?,
                }),
                ..policy.platform
            };
        }
        _ => {
            return Err(Failure::new(
                Code::EvidenceRejected,
                "the server is on a platform that this version does not know",
            ));
        }
    }
    Ok(policy)
}

/// The software platform's anchor: from a file, or the end of the chain that
/// the server showed.
fn anchor(examined: &Examined, file: Option<&Path>) -> Result<Anchor, Failure> {
    let pem = match file {
        Some(path) => String::from_utf8(files::read(path, 64 * 1024)?).unwrap_or_default(),
        None => shown_anchor(&examined.evidence.endorsements.body.0).ok_or_else(|| {
            Failure::usage(
                "the server does not show its software platform's anchor",
                "Name the anchor's file with --anchor.",
            )
        })?,
    };
    Anchor::from_pem(&pem).map_err(|error| Failure::new(Code::PolicyInvalid, error.to_string()))
}

/// The last certificate of the chain that signed the TCB info.
fn shown_anchor(endorsements: &[u8]) -> Option<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let collateral: serde_json::Value = serde_json::from_slice(endorsements).ok()?;
    let chain = collateral.get("tcb_info_issuer_chain")?.as_str()?;
    Some(chain.get(chain.rfind(BEGIN)?..)?.trim().to_owned() + "\n")
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
    platforms: Vec<&'static str>,
    releases: Vec<String>,
    provers: usize,
    warnings: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

async fn check(args: &Check, output: Output) -> Result<(), Failure> {
    let policy = read_policy(&args.file)?;
    let verdict = match &args.connect.url {
        Some(_) => Some(judge(&args.connect, policy.clone()).await?),
        None => None,
    };
    let checked = Checked {
        valid: true,
        platforms: [
            policy.platform.software.as_ref().map(|_| "software"),
            policy.platform.tdx.as_ref().map(|_| "tdx"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        releases: policy.release.iter().map(|r| r.name.clone()).collect(),
        provers: policy.trust.prover.len(),
        warnings: warnings(&policy),
        verdict,
    };
    let or_none = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let platforms: Vec<String> = checked.platforms.iter().map(|p| (*p).to_owned()).collect();
    let mut lines = vec![
        format!("platforms  {}", or_none(&platforms)),
        format!("releases   {}", or_none(&checked.releases)),
        format!("provers    {}", checked.provers),
    ];
    lines.extend(
        checked
            .warnings
            .iter()
            .map(|warning| format!("WARN       {warning}")),
    );
    if let Some(verdict) = &checked.verdict {
        lines.push(format!("\n{verdict}"));
    }
    output.result(&checked, lines.join("\n"));
    match checked.verdict.map(Verdict::accept) {
        Some(Err(_)) => Err(Failure::judged(
            Code::EvidenceRejected,
            "this policy does not accept the server's evidence",
        )),
        _ => Ok(()),
    }
}

fn warnings(policy: &Policy) -> Vec<&'static str> {
    let nothing = policy.platform.software.is_none() && policy.platform.tdx.is_none();
    [
        (nothing, "it names no platform, and accepts nothing"),
        (
            policy.release.is_empty(),
            "it names no release, and accepts nothing",
        ),
        (
            policy.trust.prover.is_empty(),
            "it names no prover, and accepts nothing",
        ),
        (
            policy.trust.sandbox.is_none(),
            "it does not say which sandbox layers are required, and accepts nothing",
        ),
        (
            policy.platform.software.is_some(),
            "it accepts a software platform: NO HARDWARE PROTECTS ANYTHING",
        ),
        (
            policy.trust.swap,
            "it accepts machines with swap: secrets may reach a disk",
        ),
        (
            !policy.trust.danger.is_empty(),
            "it accepts `danger` options of the operator",
        ),
        (
            !policy.trust.durable.is_empty(),
            "it accepts keys that outlive the machine",
        ),
    ]
    .into_iter()
    .filter_map(|(holds, warning)| holds.then_some(warning))
    .collect()
}

/// A server's verdict under a policy.
async fn judge(connect: &Connect, policy: Policy) -> Result<Verdict, Failure> {
    let client = connect.client_of(connect.url()?, policy)?;
    match client.open_session().await {
        Ok(session) => Ok(session.verdict().clone()),
        Err(error) => match error.verdict() {
            Some(verdict) => Ok(verdict.clone()),
            None => Err(error.into()),
        },
    }
}
