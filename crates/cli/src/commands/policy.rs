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
    evidence::policy::{Anchor, Platforms, Release, Review, TrustRules, observed},
    now_ms,
    protocol::error::Code,
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
    #[arg(long, value_name = "URL", required_unless_present = "release")]
    from: Option<String>,
    /// A policy published with a release: its measurements and provers are
    /// accepted, not those that the server shows. May be given several times
    #[arg(long, value_name = "FILE")]
    release: Vec<PathBuf>,
    /// Accept every machine on earth, and not only the one that the server
    /// showed: who has a machine in hand can attack it physically
    #[arg(long)]
    any_machine: bool,
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
    accepts_the_server: Option<bool>,
    review: Review,
    verdict: Option<&'a Verdict>,
}

async fn init(args: &Init, output: Output) -> Result<(), Failure> {
    if args.out.exists() && !args.force {
        return Err(Failure::usage(
            format!("{} is there already", args.out.display()),
            "Name another file with --out, or replace it with --force.",
        ));
    }
    let connect = Connect {
        url: args.from.clone(),
        policy: Default::default(),
        api_key_file: args.api_key_file.clone(),
        danger_plain_http: false,
    };
    let examined = match &args.from {
        Some(_) => Some(connect.onlooker()?.examine().await?),
        None => None,
    };
    let first_use = args.release.is_empty();
    let policy = policy_from(examined.as_ref(), args)?;
    let text = policy_text(&policy, args)?;
    // What was written is what will be read.
    let read = Policy::from_toml(&text).map_err(invalid)?;
    files::write(&args.out, text.as_bytes(), false)?;
    let judged = match &examined {
        Some(_) => Some(judge(&connect, read).await?),
        None => None,
    };
    let review = policy.review(now_ms() / 1000);
    let mut lines: Vec<String> = examined.iter().map(measurements_text).collect();
    lines.extend(judged.iter().map(|verdict| format!("{verdict}\n")));
    lines.push(review_text(&review));
    lines.push(format!("\nwrote {}", args.out.display()));
    lines.push(
        if first_use {
            "TRUST ON FIRST USE: it accepts exactly what this server showed just now. Compare the \
             measurements with those that the release's makers publish before you rely on it."
        } else {
            "It accepts what the releases' files accept."
        }
        .into(),
    );
    let written = Written {
        policy: &args.out,
        trust_on_first_use: first_use,
        accepts_the_server: judged.clone().map(|verdict| verdict.accept().is_ok()),
        review,
        verdict: judged.as_ref(),
    };
    output.result(&written, lines.join("\n"));
    Ok(())
}

fn invalid(error: soundproof::PolicyError) -> Failure {
    Failure::new(Code::PolicyInvalid, error.to_string())
}

/// The policy with each line explained, under what is to be known of it.
fn policy_text(policy: &Policy, args: &Init) -> Result<String, Failure> {
    let mut text = String::from(if args.release.is_empty() {
        FIRST_USE
    } else {
        FROM_RELEASE
    });
    let platforms = policy.platform.accepted();
    if platforms.iter().any(|platform| platform.is_software()) {
        text.push_str(SOFTWARE);
    }
    if let Some(url) = &args.from {
        text.push_str(&format!("#\n# Server: {url}\n"));
    }
    text.push('\n');
    text.push_str(&policy.to_commented_toml().map_err(invalid)?);
    Ok(text)
}

/// What is to be compared with what the release's makers publish.
fn measurements_text(examined: &Examined) -> String {
    let facts = examined.verdict.facts.as_ref();
    let facts = facts.and_then(|facts| serde_json::to_value(facts).ok());
    let values = facts.as_ref().and_then(|facts| facts.get("measurements"));
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

/// From the releases' files; what they do not say, from what the server shows.
fn policy_from(examined: Option<&Examined>, args: &Init) -> Result<Policy, Failure> {
    let mut policy: Option<Policy> = None;
    for path in &args.release {
        let next = read_policy(path)?;
        match &mut policy {
            None => policy = Some(next),
            Some(policy) => {
                policy.release.extend(next.release);
                policy.trust.prover.extend(next.trust.prover);
                policy.platform.add_missing(next.platform);
            }
        }
    }
    let observed = examined
        .map(|examined| observe(examined, args))
        .transpose()?;
    let mut policy = match (policy, &observed, examined) {
        (Some(policy), _, _) => policy,
        (None, Some((_, release)), Some(examined)) => Policy {
            trust: TrustRules::exactly(&examined.trust),
            release: vec![release.clone()],
            ..Policy::default()
        },
        (None, ..) => Policy::default(),
    };
    if let Some((platforms, _)) = observed {
        policy.platform.add_missing(platforms);
    } else {
        let named: Vec<_> = policy.release.iter().flat_map(Release::platforms).collect();
        for platform in named {
            policy.platform.add_missing(Platforms::strictest(platform));
        }
    }
    if args.any_machine {
        policy.platform.accept_any_machine();
    }
    Ok(policy)
}

fn observe(examined: &Examined, args: &Init) -> Result<(Platforms, Release), Failure> {
    let software = examined.verdict.platform.is_software();
    let anchor = software
        .then(|| anchor(examined, args.anchor.as_deref()))
        .transpose()?;
    let session = &examined.evidence;
    observed(
        &session.evidence,
        &session.endorsements,
        anchor,
        "first-use",
        now_ms(),
    )
    .ok_or_else(|| {
        Failure::new(
            Code::EvidenceRejected,
            format!(
                "the server's evidence cannot be read:\n{}",
                examined.verdict
            ),
        )
    })
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
    digest: String,
    platforms: Vec<&'static str>,
    releases: Vec<String>,
    provers: usize,
    #[serde(flatten)]
    review: Review,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

async fn check(args: &Check, output: Output) -> Result<(), Failure> {
    let policy = read_policy(&args.file)?;
    let verdict = match &args.connect.url {
        Some(_) => Some(judge(&args.connect, policy.clone()).await?),
        None => None,
    };
    let platforms = policy.platform.accepted();
    let checked = Checked {
        valid: true,
        digest: policy.digest().to_string(),
        platforms: platforms.iter().map(|platform| platform.name()).collect(),
        releases: policy.release.iter().map(|r| r.name.clone()).collect(),
        provers: policy.trust.prover.len(),
        review: policy.review(now_ms() / 1000),
        verdict,
    };
    let mut lines = vec![
        format!("digest     {}", checked.digest),
        review_text(&checked.review),
    ];
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

fn review_text(review: &Review) -> String {
    let each = |label: &'static str, lines: &[String]| {
        lines
            .iter()
            .map(move |line| format!("{label:<11}{line}"))
            .collect::<Vec<_>>()
    };
    let mut lines = each("accepts", &review.lets_through);
    lines.extend(each("WARN", &review.warnings));
    lines.extend(each("NOTHING IS ACCEPTED:", &review.accepts_nothing));
    lines.join("\n")
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
