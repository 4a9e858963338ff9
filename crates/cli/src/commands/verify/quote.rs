//! `soundproof verify quote`: the file `quote.json` that a dstack guest agent
//! writes, and that dstack-ingress and sp1-tee-private-proving publish. Uses
//! no network.

use super::MAX_DOCUMENT;
use crate::{connect::PolicyFile, failure::Failure, files, output::Output};
use serde::Serialize;
use soundproof::{
    Policy, Verdict,
    evidence::{
        Hex,
        dstack::{
            Carried, QuoteJson,
            compose::MAX_COMPOSE,
            ingress::{MAX_LIST, NOT_SHOWN, Sha256Sums},
            log::MAX_LOG,
            quote_json::{MAX_QUOTE_JSON, VmConfig},
        },
        examine,
    },
    now_ms,
    protocol::{
        attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS, Platform},
        cbor::Bytes,
        error::Code,
    },
};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// quote.json: a GetQuote answer of dstack's guest agent
    #[arg(value_name = "QUOTE.JSON")]
    file: PathBuf,
    /// The event log, where quote.json has none
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,
    /// app-compose.json, byte for byte: what it says is then judged too
    #[arg(long, value_name = "FILE")]
    compose: Option<PathBuf>,
    /// Intel's collateral for the machine, JSON as a PCCS client writes it;
    /// without it no signature can be verified
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// dstack-ingress's list of what the quote is for
    #[arg(long, value_name = "FILE")]
    sha256sum: Option<PathBuf>,
    /// A file that the list should name: a TLS certificate, acme-account.json;
    /// as often as there are such files
    #[arg(long, value_name = "FILE", requires = "sha256sum")]
    certificate: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyFile,
    /// Explain it only, by no policy
    #[arg(long)]
    explain: bool,
    /// Judge as of this time, RFC 3339, or `now`
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: String,
}

#[derive(Serialize)]
struct Report<'a> {
    holds: bool,
    verdict: &'a Verdict,
    /// The host's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    vm_config: Option<&'a VmConfig>,
    /// Files whose digests the quote carries, by way of the list.
    bound: Vec<String>,
    problems: Vec<String>,
    not_shown: Vec<&'static str>,
}

pub(super) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let file = read_quote(&args.file)?;
    let evidence = evidence(args, &file)?;
    let endorsements = match &args.collateral {
        Some(path) => files::read(path, MAX_ENDORSEMENTS)?,
        None => Vec::new(),
    };
    let endorsements = Endorsements::new(evidence.platform, endorsements);
    let sums = args.sha256sum.as_deref().map(read_sums).transpose()?;
    let policy: Option<Policy> = if args.explain {
        None
    } else {
        Some(args.policy.read()?)
    };
    let expected = sums.as_ref().map(Sha256Sums::report_data);
    let verdict = examine(
        &evidence,
        &endorsements,
        policy.as_ref(),
        expected.as_ref(),
        at(&args.at)?,
    );
    let (bound, mut problems) = certificates(args, sums.as_ref(), &verdict)?;
    problems.extend(beside(&file, &verdict));
    let holds = verdict.verified && verdict.failures().next().is_none() && problems.is_empty();
    let report = Report {
        holds,
        verdict: &verdict,
        vm_config: file.vm_config.as_ref(),
        bound,
        problems,
        not_shown: if sums.is_some() {
            NOT_SHOWN.to_vec()
        } else {
            vec!["what the report data stands for: no --sha256sum was given"]
        },
    };
    output.result(&report, text(&report, args));
    if holds || args.explain {
        Ok(())
    } else {
        Err(Failure::judged(
            Code::EvidenceRejected,
            "the quote does not hold",
        ))
    }
}

fn at(text: &str) -> Result<u64, Failure> {
    match text {
        "now" => Ok(now_ms()),
        text => crate::time::parse(text),
    }
}

fn read_quote(path: &Path) -> Result<QuoteJson, Failure> {
    let bytes = files::read(path, MAX_QUOTE_JSON)?;
    QuoteJson::parse(&bytes).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "Name the guest agent's answer to GetQuote, as JSON.",
        )
    })
}

fn read_sums(path: &Path) -> Result<Sha256Sums, Failure> {
    let bytes = files::read(path, MAX_LIST)?;
    Sha256Sums::parse(&bytes).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "Name the file sha256sum.txt that was published beside the quote, unchanged.",
        )
    })
}

/// With an event log it is dstack's; without one a bare trust domain's, which
/// says less.
fn evidence(args: &Args, file: &QuoteJson) -> Result<Evidence, Failure> {
    let events = match &args.event_log {
        Some(path) => Some(files::read(path, MAX_LOG)?),
        None => file.event_log.clone(),
    };
    let compose = args
        .compose
        .as_deref()
        .map(|path| files::read(path, MAX_COMPOSE))
        .transpose()?;
    let log = events.map(|events| {
        let carried = Carried {
            events: events.into(),
            compose: compose.map(Into::into),
            mr_config: None,
        };
        Bytes(carried.to_bytes())
    });
    Ok(Evidence {
        platform: if log.is_some() {
            Platform::Dstack
        } else {
            Platform::Tdx
        },
        statement: Bytes(file.quote.clone()),
        event_log: log,
        gpu: None,
        runtime: None,
    })
}

/// Which of the files the quote names, and what is wrong.
fn certificates(
    args: &Args,
    sums: Option<&Sha256Sums>,
    verdict: &Verdict,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    let Some(sums) = sums else {
        return Ok((bound, problems));
    };
    let binding_holds = verdict.failures().all(|check| check.name != "report_data");
    for path in &args.certificate {
        let bytes = files::read(path, MAX_DOCUMENT)?;
        match sums.name_of(&bytes) {
            Some(name) if binding_holds => bound.push(name.to_owned()),
            Some(_) => {}
            None => problems.push(format!("{} is not in the list", path.display())),
        }
    }
    Ok((bound, problems))
}

/// What the file says beside the quote must not contradict it.
fn beside(file: &QuoteJson, verdict: &Verdict) -> Vec<String> {
    let mut problems = Vec::new();
    let carried = verdict.facts.as_ref().and_then(|facts| facts.report_data());
    if let (Some(said), Some(carried)) = (file.report_data, carried)
        && said != carried
    {
        problems.push(format!(
            "quote.json says the report data is {}, and the quote has another",
            Hex(said)
        ));
    }
    if file
        .vm_config
        .as_ref()
        .is_some_and(VmConfig::claims_development)
    {
        problems.push(
            "the host says that it runs a development image, whose operator can log in".to_owned(),
        );
    }
    problems
}

fn text(report: &Report<'_>, args: &Args) -> String {
    let mut lines = vec![report.verdict.to_string(), String::new()];
    if let Some(config) = report.vm_config {
        lines.push(format!(
            "host says  image {}, {}, {} processors, {} MiB, {} GPUs: nobody vouches for it",
            config.image.as_deref().unwrap_or("of no name"),
            if config.os_image_hash.is_empty() {
                "no hash"
            } else {
                &config.os_image_hash
            },
            config.cpu_count,
            config.memory_size >> 20,
            config.num_gpus
        ));
    }
    if args.collateral.is_none() {
        lines.push(
            "not given  Intel's collateral (--collateral): no signature was verified, and \
             everything above is what the file claims"
                .to_owned(),
        );
    }
    lines.extend(
        report
            .bound
            .iter()
            .map(|name| format!("bound      {name}: the quote carries its digest")),
    );
    lines.extend(
        report
            .problems
            .iter()
            .map(|what| format!("PROBLEM    {what}")),
    );
    lines.extend(
        report
            .not_shown
            .iter()
            .map(|what| format!("not shown  {what}")),
    );
    lines.push(if report.holds {
        "the quote holds; seal nothing to it: it was made for no session of yours".to_owned()
    } else {
        "THE QUOTE DOES NOT HOLD".to_owned()
    });
    lines.join("\n")
}
