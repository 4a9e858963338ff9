//! `soundproof explain`: shows evidence of any platform, in whatever container
//! it is kept, to a person, before any policy. It accepts nothing.

use crate::{failure::Failure, files, output::Output, time::parse};
use serde::Serialize;
use serde_json::Value;
use soundproof::{
    Verdict,
    evidence::{
        container::{self, Found, MAX_FILE},
        explain_under,
        parts::{GpusExplained, LogExplained, explain_gpus, explain_log},
        policy::Anchor,
    },
    now_ms,
    protocol::{
        attestation::{Endorsements, Evidence},
        error::Code,
        receipt::SessionEvidence,
        transcript::Transcript,
    },
};
use soundproof_collateral::{Bundle, bundle::MAX_BUNDLE};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A quote, report or document; a session's evidence or a receipt bundle;
    /// a GPU's report; an event log; a token: as it is, in JSON, hex or base64
    file: PathBuf,
    /// The vendor's certificates and collateral, without which little can be
    /// verified: DCAP collateral in JSON; for SEV-SNP certificates and list of
    /// AMD's, in DER or PEM, in as many files as they are; or as `collateral
    /// fetch` writes it
    #[arg(long, value_name = "FILE")]
    endorsements: Vec<PathBuf>,
    /// A software platform's anchor
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Explain as of this time, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Serialize)]
struct Explained<'a> {
    layers: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpus: Option<GpusExplained>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogExplained>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a Value>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let bytes = files::read(&args.file, MAX_FILE)?;
    let opened = container::open(&bytes).map_err(|error| {
        Failure::new(
            Code::EvidenceRejected,
            format!("{}: {error}", args.file.display()),
        )
    })?;
    let now_ms = match &args.at {
        Some(text) => parse(text)?,
        None => now_ms(),
    };
    let anchor = anchor(args)?;
    let gpus = match &opened.found {
        Found::Gpu(gpus) => Some(explain_gpus(gpus, anchor.as_ref(), now_ms)),
        _ => None,
    };
    let log = match &opened.found {
        Found::EventLog(bytes) => Some(explain_log(bytes).map_err(|error| {
            Failure::new(
                Code::EvidenceRejected,
                format!("{}: {error}", args.file.display()),
            )
        })?),
        _ => None,
    };
    let mut session = None;
    let verdict = match &opened.found {
        Found::Session(found) => {
            session = Some(session_facts(found));
            let named = endorsements(args, &found.evidence, Some(&found.endorsements))?;
            let endorsements = named.as_ref().unwrap_or(&found.endorsements);
            Some(explain_under(&found.evidence, endorsements, anchor, now_ms))
        }
        Found::Evidence(evidence, beside) => {
            let named = endorsements(args, evidence, beside.as_deref())?;
            let none = Endorsements::new(evidence.platform, Vec::new());
            let endorsements = named.as_ref().or(beside.as_deref()).unwrap_or(&none);
            Some(explain_under(evidence, endorsements, anchor, now_ms))
        }
        _ => None,
    };
    let token = match &opened.found {
        Found::Token(claims) => Some(claims),
        _ => None,
    };
    let explained = Explained {
        layers: &opened.layers,
        session,
        verdict: verdict.as_ref(),
        gpus,
        log,
        token,
    };
    output.result(&explained, text(&explained));
    Ok(())
}

fn anchor(args: &Args) -> Result<Option<Anchor>, Failure> {
    let Some(path) = &args.anchor else {
        return Ok(None);
    };
    let pem = String::from_utf8(files::read(path, 64 * 1024)?).unwrap_or_default();
    Anchor::from_pem(&pem)
        .map(Some)
        .map_err(|error| Failure::new(Code::PolicyInvalid, error.to_string()))
}

fn endorsements(
    args: &Args,
    evidence: &Evidence,
    beside: Option<&Endorsements>,
) -> Result<Option<Endorsements>, Failure> {
    let files = args.endorsements.iter();
    let files: Vec<_> = files
        .map(|path| files::read(path, MAX_BUNDLE))
        .collect::<Result<_, _>>()?;
    // A bundle that has those of this machine.
    if let [bytes] = files.as_slice()
        && let Ok(bundle) = Bundle::from_slice(bytes)
        && let Ok(found) = bundle.endorse(evidence, None)
    {
        return Ok(Some(found));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let found = container::endorsements(evidence, beside, &files);
    let what = "--endorsements: not what this platform's vendor hands out";
    found
        .map(Some)
        .ok_or_else(|| Failure::new(Code::EvidenceRejected, what))
}

/// What the session's transcript says; the evidence vouches for it where its
/// binding is that of the session, which `verify evidence` checks.
fn session_facts(session: &SessionEvidence) -> Value {
    let Ok(transcript) = Transcript::from_slice(&session.transcript.0) else {
        return Value::Null;
    };
    serde_json::json!({
        "session": transcript.session.to_string(),
        "role": transcript.role.name(),
        "lifetime_s": transcript.lifetime_s,
    })
}

fn text(explained: &Explained<'_>) -> String {
    let mut lines = vec![format!("it is {}", explained.layers.join(", in it "))];
    if let Some(session) = &explained.session {
        show("what the session says", session, &mut lines);
    }
    if let Some(token) = explained.token {
        show(
            "what the token says; nobody checked its signature",
            token,
            &mut lines,
        );
    }
    if let Some(explained) = &explained.gpus {
        let gpus = serde_json::to_value(&explained.gpus).unwrap_or_default();
        show(said(explained.verified), &gpus, &mut lines);
        lines.push(String::new());
        lines.extend(explained.checks.iter().map(ToString::to_string));
        lines.push("GPUs alone: whose session they are in is a platform's to say".into());
    }
    if let Some(log) = &explained.log {
        let value = serde_json::to_value(log).unwrap_or_default();
        lines.push(
            "\nwhat it CLAIMS: without a quote of these registers anybody may have written it:"
                .into(),
        );
        flatten(&value, &mut lines);
    }
    let Some(verdict) = explained.verdict else {
        return lines.join("\n");
    };
    let facts = serde_json::to_value(&verdict.facts).unwrap_or_default();
    show(said(verdict.verified), &facts, &mut lines);
    if !verdict.gpus.is_empty() {
        let gpus = serde_json::to_value(&verdict.gpus).unwrap_or_default();
        show("its GPUs", &gpus, &mut lines);
    }
    lines.push(format!("\n{verdict}"));
    lines.join("\n")
}

fn show(title: &str, value: &Value, lines: &mut Vec<String>) {
    lines.push(format!("\n{title}:"));
    flatten(value, lines);
}

fn said(verified: bool) -> &'static str {
    if verified {
        "what it says, signed up to the root"
    } else {
        "what it CLAIMS: it was not verified, anybody may have written this"
    }
}

/// A line for each value, named by its path. Walks without recursion.
fn flatten(value: &Value, lines: &mut Vec<String>) {
    let mut todo = vec![(String::new(), value)];
    while let Some((path, value)) = todo.pop() {
        let below = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        match value {
            Value::Object(map) => {
                todo.extend(map.iter().rev().map(|(name, value)| (below(name), value)));
            }
            Value::Array(list) if list.iter().all(|v| !v.is_object() && !v.is_array()) => {
                let list: Vec<String> = list.iter().map(scalar).collect();
                lines.push(format!("{path:<32} {}", list.join(", ")));
            }
            Value::Array(list) => {
                let each = list.iter().enumerate().rev();
                todo.extend(each.map(|(index, value)| (below(&index.to_string()), value)));
            }
            Value::Null => {}
            value => lines.push(format!("{path:<32} {}", scalar(value))),
        }
    }
}

/// Parts of it come from strangers: no control characters.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text
            .chars()
            .map(|c| {
                let plain = !c.is_control()
                    && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                if plain { c } else { '\u{fffd}' }
            })
            .collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_named_by_their_path() {
        let value = serde_json::json!({
            "a": {"b": 1, "c": null}, "list": ["x", true], "each": [{"k": "v"}, {"k": "\u{1b}[2J"}],
        });
        let mut lines = Vec::new();
        flatten(&value, &mut lines);
        let lines: Vec<_> = lines
            .iter()
            .map(|l| l.split_whitespace().collect::<Vec<_>>())
            .collect();
        let mut sorted = lines.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            [
                vec!["a.b", "1"],
                vec!["each.0.k", "v"],
                vec!["each.1.k", "\u{fffd}[2J"],
                vec!["list", "x,", "true"],
            ]
        );
    }
}
