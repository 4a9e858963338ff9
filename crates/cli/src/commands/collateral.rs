//! `soundproof collateral`: fetch endorsements into a file, for machines
//! without a network, and show what is in one. What is fetched is verified by
//! whoever judges by it, not here.

use crate::{connect::Connect, failure::Failure, files, output::Output};
use clap::ArgGroup;
use serde::Serialize;
use soundproof::{
    evidence::container::{self, Found, MAX_FILE},
    now_ms,
    protocol::{
        attestation::{Endorsements, Evidence},
        error::Code,
        receipt::SessionEvidence,
    },
};
use soundproof_collateral::{
    Bundle, Collateral, CollateralConfig, CollateralError, Condition, Evaluation, Holdings, Item,
    Kind, SourceConfig, Target, item,
    target::{PckCa, Tee, product},
};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Fetch the endorsements of a machine into a file
    Fetch(Box<Fetch>),
    /// Show what a file or a cache of endorsements holds, from where, and
    /// whether it can be used
    Show(Show),
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("of").required(true).args(["evidence", "url", "fmspc", "chip_id"])))]
pub(crate) struct Fetch {
    /// Evidence of the machine: what `verify evidence --save` keeps, a receipt
    /// bundle, a quote or report, in any container that `explain` reads
    #[arg(value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
    /// An Intel machine's family, 12 hex digits
    #[arg(long, value_name = "HEX", value_parser = hex::<6>)]
    fmspc: Option<Hex<6>>,
    /// With --fmspc: who issues its PCK certificates
    #[arg(long, value_name = "NAME", default_value = "platform", value_parser = ["platform", "processor"])]
    pck_ca: String,
    /// With --fmspc: what it runs
    #[arg(long, value_name = "NAME", default_value = "tdx", value_parser = ["tdx", "sgx"])]
    tee: String,
    /// An AMD chip, 128 hex digits
    #[arg(long, value_name = "HEX", value_parser = hex::<64>, requires = "tcb", requires = "product")]
    chip_id: Option<Hex<64>>,
    /// With --chip-id: REPORTED_TCB as it stands in the report, 16 hex digits
    #[arg(long, value_name = "HEX", value_parser = hex::<8>)]
    tcb: Option<Hex<8>>,
    /// With --chip-id: Milan, Genoa or Turin
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Where to fetch from, in this order [default: the vendors' services];
    /// KIND is pcs, pccs, kds, rim or ocsp
    #[arg(long, value_name = "KIND=URL", value_parser = source)]
    source: Vec<SourceConfig>,
    /// PEM file of the certificates that sources' TLS certificates must stand
    /// under [default: the system's]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// HTTP proxy to reach the sources through
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Intel's newest TCB evaluation instead of the one that is enforced
    #[arg(long)]
    early: bool,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A bundle, DCAP collateral in JSON, or the folder of a cache: a server's
    /// is `collateral` in its data folder
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// Bytes of a fixed length, as hexadecimal digits.
#[derive(Debug, Clone, Copy)]
struct Hex<const N: usize>([u8; N]);

fn hex<const N: usize>(text: &str) -> Result<Hex<N>, String> {
    let mut bytes = [0; N];
    let digits = text.as_bytes().chunks(2);
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("it must have {} hexadecimal digits", 2 * N));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let pair = core::str::from_utf8(pair).map_err(|error| error.to_string())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|error| error.to_string())?;
    }
    Ok(Hex(bytes))
}

fn source(text: &str) -> Result<SourceConfig, String> {
    let (kind, url) = text.split_once('=').ok_or("write it as pccs=https://…")?;
    // A bundle has no results: those are of one session.
    let kind = Kind::ALL
        .iter()
        .copied()
        .find(|known| known.name() == kind && *known != Kind::Nras)
        .ok_or_else(|| format!("{kind:?} is none of pcs, pccs, kds, rim, ocsp"))?;
    Ok(SourceConfig::new(kind, url))
}

pub(crate) async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Fetch(args) => fetch(args, output).await,
        Command::Show(args) => show(&args.path, output),
    }
}

async fn fetch(args: &Fetch, output: Output) -> Result<(), Failure> {
    let subject = args.subject().await?;
    let mut config = CollateralConfig::default();
    if !args.source.is_empty() {
        config.sources = args.source.clone();
    }
    for source in &mut config.sources {
        source.ca = args.tls_ca.clone();
        source.proxy = args.proxy.clone();
    }
    if args.early {
        config.evaluation = Evaluation::Early;
    }
    let collateral = Collateral::new(config).map_err(failure)?;
    let now = now_ms();
    let (items, missing) = match &subject {
        Subject::Machine(target) => {
            let item = collateral.fetch_now(target, now).await;
            (vec![item.map_err(failure)?], Vec::new())
        }
        Subject::Evidence(evidence, given) => {
            let fetched = collateral.fetch_for(evidence, given.as_deref(), now).await;
            let fetched = fetched.map_err(failure)?;
            (fetched.items, fetched.missing)
        }
    };
    if items.is_empty() {
        return Err(match (missing.into_iter().next(), &subject) {
            (Some(error), _) => failure(error),
            (None, Subject::Evidence(evidence, _)) => needs_none(evidence),
            (None, Subject::Machine(_)) => Failure::new(Code::Internal, "nothing was fetched"),
        });
    }
    let bundle = Bundle::new(items.iter().map(|item| (**item).clone()));
    files::write(&args.out, &bundle.to_vec(), false)?;
    let mut report = Report::new(&Holdings::read(&args.out).map_err(failure)?, now);
    report.missing = missing.iter().map(ToString::to_string).collect();
    let text = format!("{report}\nwritten to {}", args.out.display());
    output.result(&report, text);
    Ok(())
}

fn show(path: &Path, output: Output) -> Result<(), Failure> {
    let holdings = Holdings::read(path).map_err(failure)?;
    let report = Report::new(&holdings, now_ms());
    output.result(&report, &report);
    if report.usable {
        return Ok(());
    }
    let unusable = Failure::judged(
        Code::EndorsementsUnavailable,
        format!("{}: not all of it can be used; see above", path.display()),
    );
    let worst = report.items.iter().find(|line| !line.condition.is_usable());
    Err(unusable.remedy(worst.map_or(
        "Let the server fetch them again, or bring a new bundle: `soundproof collateral fetch`.",
        |line| line.condition.remedy(),
    )))
}

/// What is fetched for.
enum Subject {
    Machine(Target),
    Evidence(Box<Evidence>, Option<Box<Endorsements>>),
}

impl Fetch {
    async fn subject(&self) -> Result<Subject, Failure> {
        if let Some(Hex(fmspc)) = self.fmspc {
            return Ok(Subject::Machine(Target::Dcap {
                tee: if self.tee == "sgx" {
                    Tee::Sgx
                } else {
                    Tee::Tdx
                },
                fmspc,
                ca: if self.pck_ca == "processor" {
                    PckCa::Processor
                } else {
                    PckCa::Platform
                },
            }));
        }
        if let (Some(Hex(chip_id)), Some(Hex(tcb))) = (self.chip_id, self.tcb) {
            let name = self.product.as_deref().unwrap_or_default();
            let product = product(name).ok_or_else(|| {
                Failure::usage(
                    format!("{name} is no product line"),
                    "It is Milan (Zen 3), Genoa (Zen 4, Bergamo and Siena too) or Turin (Zen 5).",
                )
            })?;
            return Ok(Subject::Machine(Target::Vcek {
                product: Some(product),
                chip_id: Box::new(chip_id),
                tcb,
            }));
        }
        if let Some(path) = &self.evidence {
            return of_file(path);
        }
        let examined = self.connect.onlooker()?.examine().await?;
        Ok(of_session(examined.evidence))
    }
}

/// Evidence of any platform, in any container.
fn of_file(path: &Path) -> Result<Subject, Failure> {
    let bytes = files::read(path, MAX_FILE)?;
    let no_evidence =
        |why: String| Failure::new(Code::EvidenceRejected, format!("{}: {why}", path.display()));
    let opened = container::open(&bytes).map_err(|error| no_evidence(error.to_string()))?;
    match opened.found {
        Found::Session(session) => Ok(of_session(*session)),
        Found::Evidence(evidence, beside) => Ok(Subject::Evidence(evidence, beside)),
        _ => Err(no_evidence("it holds no evidence of a processor".into())),
    }
}

fn of_session(session: SessionEvidence) -> Subject {
    let given = Some(Box::new(session.endorsements));
    Subject::Evidence(Box::new(session.evidence), given)
}

fn needs_none(evidence: &Evidence) -> Failure {
    Failure::usage(
        format!(
            "evidence of {} needs no endorsements",
            evidence.platform.name()
        ),
        "Judge it as it is.",
    )
}

/// In the words of its own.
pub(crate) fn failure(error: CollateralError) -> Failure {
    let code = match &error {
        CollateralError::Bundle { .. } => Code::BundleInvalid,
        CollateralError::Config(_) => Code::UrlRefused,
        _ => Code::EndorsementsUnavailable,
    };
    Failure::new(code, error.to_string()).remedy(error.remedy())
}

/// What a bundle or a cache holds.
#[derive(Serialize)]
struct Report {
    /// Whether all of it can be used.
    usable: bool,
    items: Vec<Line>,
    /// Files of a cache that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<String>,
    /// What could not be fetched, which a policy may do without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    target: String,
    key: String,
    source: String,
    fetched: String,
    from: String,
    until: String,
    /// The part that ends first.
    ends_first: &'static str,
    holds_now: bool,
    condition: Condition,
    #[serde(skip)]
    words: String,
    bytes: usize,
}

impl Report {
    fn new(holdings: &Holdings, now_ms: u64) -> Self {
        let line = |item: &Item| Line {
            target: item.target.name(),
            key: item.target.key(),
            source: item.source.clone(),
            fetched: item::date(item.fetched_ms),
            from: item::date(item.window.from_ms),
            until: item::date(item.window.until_ms),
            ends_first: item.window.until_part,
            holds_now: holdings.condition(item, now_ms).is_usable(),
            condition: holdings.condition(item, now_ms),
            words: holdings.words(item, now_ms),
            bytes: item.body.len(),
        };
        Self {
            usable: holdings.is_usable(now_ms),
            items: holdings.items.iter().map(line).collect(),
            damaged: holdings.damaged.clone(),
            missing: Vec::new(),
        }
    }
}

impl core::fmt::Display for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut lines = Vec::new();
        for line in &self.items {
            let state = if line.holds_now {
                "holds now"
            } else {
                "CANNOT BE USED NOW"
            };
            lines.push(format!("of       {}", line.target));
            lines.push(format!(
                "from     {}, fetched {}",
                line.source, line.fetched
            ));
            lines.push(format!("is       {state}: {}", line.words));
        }
        let damaged = self.damaged.iter();
        lines.extend(damaged.map(|name| format!("DAMAGED  {name}")));
        let missing = self.missing.iter();
        lines.extend(missing.map(|error| format!("MISSING  {error}")));
        if lines.is_empty() {
            lines.push("nothing is in it".into());
        }
        f.write_str(&lines.join("\n"))
    }
}
