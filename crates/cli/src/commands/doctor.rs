//! `soundproof doctor`: looks at everything on the way to a proof, and says
//! what is wrong and what to do about it.

use crate::{connect::Connect, daemon, failure::Failure, output::Output};
use serde::Serialize;
use soundproof::{
    Client, now_ms,
    protocol::{error::Code, mode::ModeOffer},
};
use soundproof_attester::{AttestError, Machine, Problem, detect};
use soundproof_collateral::{Condition, Holdings};
use std::path::{Path, PathBuf};

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
    Warn,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    finding: Finding,
    found: String,
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
    platforms(&mut checks, &Machine::this());
    if let Some(path) = &args.collateral {
        endorsements(&mut checks, path, now_ms());
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
        Finding::Warn => "WARN",
        Finding::Bad => "BAD ",
    };
    format!(
        "{mark}  {:<12} {}  {}",
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

/// What this machine can attest with: each module is looked for, and one that
/// is there makes evidence once. Only `soundproofd` needs it, so that a machine
/// that has none of it is as healthy as any.
fn platforms(checks: &mut Checks, machine: &Machine) {
    let mut here = false;
    let mut absent = Vec::new();
    for found in detect::survey(machine) {
        if found.is_absent() {
            absent.push(found.module.name());
            continue;
        }
        here = true;
        let made = found.attester.and_then(|attester| {
            let evidence = detect::rehearse(&*attester)?;
            Ok((attester.platform(), evidence))
        });
        match made {
            Ok((platform, evidence)) => {
                let log = match evidence.event_log {
                    Some(_) => ", with an event log",
                    None => "",
                };
                let bytes = evidence.carried_len();
                let name = platform.name();
                checks.good(
                    "platform",
                    format!("{name}: makes evidence, {bytes} bytes{log}"),
                );
            }
            Err(error) => failed(checks, "platform", found.module.name(), &error),
        }
    }
    if !here {
        let found = format!(
            "no TEE here ({} looked for); only `soundproofd` needs one",
            absent.join(", ")
        );
        checks.good("platform", found);
    }
    match detect::rehearse_gpus_of(machine) {
        Ok(evidence) => checks.good("gpus", format!("attest, {} bytes", evidence.len())),
        Err(AttestError::Device(error)) if error.is_absent() => {
            checks.good("gpus", "none of NVIDIA's");
        }
        // A GPU outside a TEE, as on any desk.
        Err(AttestError::Device(error))
            if !here && matches!(error.problem, Problem::NotConfidential(_)) =>
        {
            checks.good("gpus", format!("do not attest: {}", error.problem));
        }
        Err(error) => failed(checks, "gpus", "nvidia", &error),
    }
}

/// What is held of this machine's vendor, from where, until when.
fn endorsements(checks: &mut Checks, path: &Path, now_ms: u64) {
    const NAME: &str = "endorsements";
    let holdings = match Holdings::read(path) {
        Ok(holdings) => holdings,
        Err(error) => {
            return checks.add(NAME, Finding::Bad, error.to_string(), error.remedy());
        }
    };
    for item in &holdings.items {
        let condition = holdings.condition(item, now_ms);
        let finding = match condition {
            Condition::Good => Finding::Good,
            Condition::Overdue => Finding::Warn,
            _ => Finding::Bad,
        };
        let found = format!(
            "{}, from {}: {}",
            item.target.name(),
            item.source,
            holdings.words(item, now_ms)
        );
        checks.add(NAME, finding, found, condition.remedy());
    }
    for name in &holdings.damaged {
        let found = format!("{}: damaged", path.join(name).display());
        let remedy = "The server fetches it anew when it needs it; or remove the file.";
        checks.add(NAME, Finding::Bad, found, remedy);
    }
    if holdings.items.is_empty() && holdings.damaged.is_empty() {
        checks.add(
            NAME,
            Finding::Bad,
            format!("{}: none", path.display()),
            "Open a session, so that the server fetches them; or bring a bundle: `soundproof collateral fetch`.",
        );
    }
}

fn failed(checks: &mut Checks, name: &'static str, module: &str, error: &AttestError) {
    let code = match error {
        AttestError::Device(error) => error.problem.code(),
        _ => "failed",
    };
    let found = format!("{module}: {code}: {error}");
    checks.add(name, Finding::Bad, found, error.remedy());
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

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_attester::{azure::Imds, nvml::Nvml};
    use soundproof_testkit::fakes::{
        self, Access,
        agent::{self, FakeAgent},
        configfs::{self, FakeConfigfs},
        imds::{self, FakeImds},
        nsm::{self, FakeNsm},
        nvml,
        tpm::{self, FakeTpm},
    };
    use std::sync::Arc;

    fn looked_at(machine: &Machine) -> Vec<Check> {
        let mut checks = Checks::default();
        platforms(&mut checks, machine);
        checks.0
    }

    /// One check is bad: it names the module and the failure, and says what to
    /// do.
    fn assert_named(machine: &Machine, module: &str, code: &str) {
        let checks = looked_at(machine);
        let bad: Vec<_> = checks
            .iter()
            .filter(|one| one.finding == Finding::Bad)
            .collect();
        let [bad] = bad.as_slice() else {
            panic!("{module} {code}: {checks:?}");
        };
        let start = format!("{module}: {code}: ");
        assert!(bad.found.starts_with(&start), "{start}: {}", bad.found);
        assert!(!bad.remedy.is_empty(), "{}", bad.found);
    }

    #[test]
    fn a_machine_without_a_tee_is_healthy() {
        let folder = tempfile::tempdir().unwrap();
        let checks = looked_at(&fakes::machine(folder.path()));
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|one| one.finding == Finding::Good));
        for name in ["nitro", "dstack", "configfs-tsm", "azure"] {
            assert!(checks[0].found.contains(name), "{}", checks[0].found);
        }
    }

    #[test]
    fn every_platform_that_works_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = fakes::machine(folder.path());
        machine.configfs = FakeConfigfs::tdx(configfs::Behaviour::default());
        std::fs::write(&machine.event_log, [1]).unwrap();
        machine.nsm = FakeNsm::new(nsm::Behaviour::default());
        let socket = folder.path().join("run/dstack.sock");
        let _agent = FakeAgent::start(&socket, agent::Behaviour::default()).unwrap();
        let report = fakes::tpm::td_report(&tpm::vouching(b"{}"));
        let report = tpm::hcl_report(false, &report, b"{}");
        machine.tpm = FakeTpm::new(report, tpm::Behaviour::default());
        let imds = FakeImds::start(imds::Behaviour::default()).unwrap();
        machine.host = Arc::new(Imds::at(imds.address(), machine.retry));
        let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
        let library = nvml::build(folder.path(), make, &nvml::Behaviour::default()).unwrap();
        machine.gpus = Arc::new(Nvml::new(library, machine.retry));
        let checks = looked_at(&machine);
        let found: Vec<&str> = checks.iter().map(|one| one.found.as_str()).collect();
        for start in ["nitro: ", "dstack: ", "tdx: ", "azure-tdx: ", "attest, "] {
            assert!(found.iter().any(|one| one.starts_with(start)), "{found:?}");
        }
        assert!(found[2].ends_with("with an event log"), "{found:?}");
        assert!(checks.iter().all(|one| one.finding == Finding::Good));
    }

    /// For each module: no permission, throttled, a malformed answer. That
    /// there is no device is the machine without a TEE.
    #[test]
    fn every_failure_of_every_module_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = fakes::machine(folder.path());

        for (code, behaviour) in [
            (
                "no_permission",
                configfs::Behaviour {
                    access: Access::Denied,
                    ..Default::default()
                },
            ),
            (
                "throttled",
                configfs::Behaviour {
                    busy: 3,
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                configfs::Behaviour {
                    stale: true,
                    ..Default::default()
                },
            ),
        ] {
            let mut machine = empty.clone();
            machine.configfs = FakeConfigfs::snp(behaviour);
            assert_named(&machine, "configfs-tsm", code);
        }
        let mut machine = empty.clone();
        let make: fakes::Maker = Arc::new(|_: &[u8]| Vec::new());
        machine.configfs = FakeConfigfs::new("arm_cca_guest", make, Default::default());
        assert_named(&machine, "configfs-tsm", "wrong_provider");

        for (code, behaviour) in [
            (
                "no_permission",
                nsm::Behaviour {
                    access: Access::Denied,
                    ..Default::default()
                },
            ),
            (
                "throttled",
                nsm::Behaviour {
                    busy: 3,
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                nsm::Behaviour {
                    answer: Some(vec![0xff]),
                    ..Default::default()
                },
            ),
        ] {
            let mut machine = empty.clone();
            machine.nsm = FakeNsm::new(behaviour);
            assert_named(&machine, "nitro", code);
        }

        for (code, behaviour) in [
            (
                "no_permission",
                agent::Behaviour {
                    status: Some(403),
                    ..Default::default()
                },
            ),
            (
                "throttled",
                agent::Behaviour {
                    status: Some(503),
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                agent::Behaviour {
                    body: Some("[".into()),
                    ..Default::default()
                },
            ),
            (
                "refused",
                agent::Behaviour {
                    status: Some(500),
                    ..Default::default()
                },
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let machine = fakes::machine(folder.path());
            let socket = folder.path().join("var/run/tappd.sock");
            let _agent = FakeAgent::start(&socket, behaviour).unwrap();
            assert_named(&machine, "dstack", code);
        }

        let report = tpm::td_report(&tpm::vouching(b"{}"));
        let report = tpm::hcl_report(false, &report, b"{}");
        for (code, behaviour) in [
            (
                "no_permission",
                tpm::Behaviour {
                    access: Access::Denied,
                    ..Default::default()
                },
            ),
            (
                "throttled",
                tpm::Behaviour {
                    retry: 3,
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                tpm::Behaviour {
                    answer: Some(vec![1]),
                    ..Default::default()
                },
            ),
        ] {
            let mut machine = empty.clone();
            machine.tpm = FakeTpm::new(report.clone(), behaviour);
            assert_named(&machine, "azure", code);
        }
        for (code, behaviour) in [
            (
                "throttled",
                imds::Behaviour {
                    throttled: 3,
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                imds::Behaviour {
                    stale: true,
                    ..Default::default()
                },
            ),
            (
                "no_device",
                imds::Behaviour {
                    status: Some(404),
                    ..Default::default()
                },
            ),
        ] {
            let mut machine = empty.clone();
            machine.tpm = FakeTpm::new(report.clone(), tpm::Behaviour::default());
            let imds = FakeImds::start(behaviour).unwrap();
            machine.host = Arc::new(Imds::at(imds.address(), machine.retry));
            assert_named(&machine, "azure", code);
        }

        for (code, behaviour) in [
            (
                "no_permission",
                nvml::Behaviour {
                    start: 4,
                    ..Default::default()
                },
            ),
            (
                "throttled",
                nvml::Behaviour {
                    busy: 3,
                    ..Default::default()
                },
            ),
            (
                "malformed_answer",
                nvml::Behaviour {
                    claimed: Some(0),
                    ..Default::default()
                },
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut machine = fakes::machine(folder.path());
            let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
            let library = nvml::build(folder.path(), make, &behaviour).unwrap();
            machine.gpus = Arc::new(Nvml::new(library, machine.retry));
            assert_named(&machine, "nvidia", code);
        }
    }

    #[test]
    fn a_gpu_on_a_desk_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let mut machine = fakes::machine(folder.path());
        let off = nvml::Behaviour {
            confidential: false,
            ..Default::default()
        };
        let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
        let library = nvml::build(folder.path(), make, &off).unwrap();
        machine.gpus = Arc::new(Nvml::new(library, machine.retry));
        let checks = looked_at(&machine);
        assert!(
            checks.iter().all(|one| one.finding == Finding::Good),
            "{checks:?}"
        );
        // In a TEE it is.
        machine.nsm = FakeNsm::new(nsm::Behaviour::default());
        assert_named(&machine, "nvidia", "not_confidential");
    }
}
