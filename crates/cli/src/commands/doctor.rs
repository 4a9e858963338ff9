//! `soundproof doctor`: looks at everything on the way to a proof, and says
//! what is wrong and what to do about it.

mod endorsements;
mod platforms;

pub(crate) use platforms::collect;

use crate::{connect::Connect, daemon, failure::Failure, output::Output};
use serde::Serialize;
use soundproof::{
    Client, now_ms,
    protocol::{error::Code, mode::ModeOffer},
};
use std::path::PathBuf;

/// Seconds by which the server's clock may differ before it is worth a word.
const MAX_SKEW_S: u64 = 120;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: Connect,
    /// Look at this machine's endorsements too: a bundle, or the folder of a
    /// cache, which is `collateral` in a server's data folder
    #[arg(long, value_name = "PATH")]
    collateral: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finding {
    Good,
    /// It is not here, and need not be.
    Absent,
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    finding: Finding,
    found: String,
    /// On whose side a platform's failure is.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    remedy: &'static str,
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn good(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Finding::Good, found, "");
    }

    fn add(
        &mut self,
        name: &'static str,
        finding: Finding,
        found: impl Into<String>,
        remedy: &'static str,
    ) {
        self.0.push(Check {
            name,
            finding,
            found: found.into(),
            side: None,
            remedy,
        });
    }

    fn error(&mut self, name: &'static str, error: &soundproof::Error) {
        self.add(name, Finding::Bad, error.to_string(), error.remedy());
    }
}

pub(crate) async fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let mut checks = Checks::default();
    checks.good("version", env!("CARGO_PKG_VERSION"));
    this_machine(&mut checks);
    platforms::look(&mut checks, &platforms::machine()?);
    if let Some(path) = &args.collateral {
        endorsements::look(&mut checks, path, now_ms());
    }
    if args.connect.url.is_some() {
        let onlooker = args.connect.onlooker()?;
        if server(&mut checks, &onlooker).await {
            evidence(&mut checks, args, &onlooker).await;
        }
    } else {
        checks.add(
            "server",
            Finding::Warn,
            "none was named",
            "Name one with --url to look at it too.",
        );
    }
    let healthy = checks.0.iter().all(|check| check.finding != Finding::Bad);
    let lines: Vec<String> = checks.0.iter().map(line).collect();
    output.result(
        &Report {
            healthy,
            checks: checks.0,
        },
        lines.join("\n"),
    );
    if healthy {
        Ok(())
    } else {
        Err(
            Failure::judged(Code::EvidenceRejected, "something is wrong; see above")
                .remedy("See each line's remedy."),
        )
    }
}

fn line(check: &Check) -> String {
    let mark = match check.finding {
        Finding::Good => "good",
        Finding::Absent => "none",
        Finding::Warn => "WARN",
        Finding::Bad => "BAD ",
    };
    let side = match check.side {
        Some(side) => format!(" (on the {side}'s side)"),
        None => String::new(),
    };
    format!(
        "{mark}  {:<12} {}{side}  {}",
        check.name, check.found, check.remedy
    )
    .trim_end()
    .to_owned()
}

/// Where secrets of this user's own could come to lie.
fn this_machine(checks: &mut Checks) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        match getrlimit(Resource::Core).current {
            Some(0) => checks.good("core dumps", "off"),
            _ => checks.add(
                "core dumps",
                Finding::Warn,
                "on: a crash of a client may write its input to disk",
                "Turn them off: ulimit -c 0.",
            ),
        }
    }
    // Its first line is a heading.
    if let Ok(swaps) = std::fs::read_to_string("/proc/swaps") {
        if swaps.lines().count() > 1 {
            checks.add(
                "swap",
                Finding::Warn,
                "on: this machine's memory may reach its disk",
                "Encrypt the swap, or turn it off.",
            );
        } else {
            checks.good("swap", "off");
        }
    }
    match daemon::find(daemon::SOUNDPROOFD) {
        Ok(path) => checks.good("soundproofd", path.display().to_string()),
        Err(_) => checks.good(
            "soundproofd",
            "not installed here; only `serve` and `demo` need it",
        ),
    }
}

/// Whether it answers at all.
async fn server(checks: &mut Checks, client: &Client) -> bool {
    match client.clock_offset_s().await {
        Ok(offset) => {
            checks.good("reachable", client.url());
            match offset {
                Some(ahead) if ahead.unsigned_abs() > MAX_SKEW_S => checks.add(
                    "clock",
                    Finding::Warn,
                    format!("the server's is {ahead} s ahead of this machine's"),
                    "Check this machine's clock: evidence is judged by it.",
                ),
                Some(ahead) => checks.good("clock", format!("{ahead} s apart")),
                None => checks.good("clock", "the server does not say its time"),
            }
        }
        Err(error) => {
            checks.error("reachable", &error);
            return false;
        }
    }
    match client.is_ready().await {
        Ok(true) => checks.good("ready", "yes"),
        Ok(false) => checks.add(
            "ready",
            Finding::Bad,
            "the server is up, and not ready for jobs",
            "Try again; the operator should look at the log.",
        ),
        Err(error) => checks.error("ready", &error),
    }
    modes(checks, client).await;
    true
}

/// What it says that it proves.
async fn modes(checks: &mut Checks, client: &Client) {
    let info = match client.info().await {
        Ok(info) => info,
        Err(error) => return checks.error("modes", &error),
    };
    for ModeOffer { system, mode } in &info.modes {
        let name = &mode.name;
        let mut found = match &mode.unavailable {
            None if !mode.hides && info.refuse_not_hiding => {
                format!("{system}/{name}: refused by the operator")
            }
            None => format!("{system}/{name}: offered"),
            Some(why) => format!("{system}/{name}: not offered: {why}"),
        };
        if !mode.hides {
            found.push_str("; does not hide its witness");
        }
        checks.good("mode", found);
    }
}

async fn evidence(checks: &mut Checks, args: &Args, onlooker: &Client) {
    let examined = match onlooker.examine().await {
        Ok(examined) => examined,
        Err(error) => return checks.error("session", &error),
    };
    checks.good(
        "session",
        format!(
            "opened in {:.1} ms, sealed with {}",
            examined.opening.as_secs_f64() * 1000.0,
            examined.transcript.suite.name()
        ),
    );
    match examined.tls_key {
        Some(key) => checks.good("tls key", format!("vouched for by the evidence: {key}")),
        None => checks.good("tls key", "none: plain HTTP"),
    }
    for prover in &examined.trust.provers {
        checks.good(
            "prover",
            format!(
                "{} {}, executable {}",
                prover.system, prover.version, prover.executable
            ),
        );
    }
    if examined.trust.sp1_direct {
        checks.add(
            "direct path",
            Finding::Warn,
            "on: SP1's own clients may hand this server their inputs in clear; what this client \
             and `soundproof connect` seal does not pass there",
            "Never point an SDK at this server itself: use `soundproof connect`.",
        );
    } else {
        checks.good("direct path", "off");
    }
    let client = match args.connect.client() {
        Ok(client) => client,
        Err(_) => {
            return checks.add(
                "policy",
                Finding::Warn,
                "none: evidence was looked at, and not judged",
                "Name one with --policy.",
            );
        }
    };
    match client.open_session().await {
        Ok(session) => {
            checks.good("evidence", "accepted by your policy");
            for warning in session.verdict().warnings() {
                checks.add(
                    "evidence",
                    Finding::Warn,
                    format!("{}: {}", warning.name, warning.found),
                    warning.remedy,
                );
            }
        }
        Err(error) => {
            let failures = error.verdict().into_iter().flat_map(|v| v.failures());
            for failure in failures {
                checks.add(
                    "evidence",
                    Finding::Bad,
                    format!(
                        "{}: expected {}; found {}",
                        failure.name, failure.expected, failure.found
                    ),
                    failure.remedy,
                );
            }
            checks.error("evidence", &error);
        }
    }
}
