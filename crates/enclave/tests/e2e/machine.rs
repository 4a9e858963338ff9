//! `soundproofd` and its collector as they are, on a machine whose interfaces
//! are fakes at the real ones' places: this test's own executable runs again in
//! namespaces for mounts and network, with an empty `/run`, and the metadata
//! service's address on its loopback. Where the system allows no namespaces it
//! is skipped, and says so.

use soundproof_attester::{
    AttestError, Machine,
    azure::{ADDRESS, Host as _},
    collector::Collector,
    detect::detect,
};
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::Binding,
    digest::Digest,
};
use soundproof_testkit::{
    fakes::{
        self,
        agent::{self, FakeAgent},
        imds::{self, FakeImds},
        tpm::{self, FakeTpm},
    },
    server::{ServerOptions, ServerProcess, executable},
};
use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const SET_UP: &str = "ip link set lo up && ip address add 169.254.169.254/32 dev lo \
    && mount -t tmpfs none /run";

/// Runs an ignored test of this file in namespaces of its own.
fn elsewhere(test: &str) {
    // As root its users stay as they are; others become root in there.
    let possible = ["-nm", "-rnm"].into_iter().find(|flags| {
        let mut command = Command::new("unshare");
        command.args([flags, "sh", "-c", SET_UP]);
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    });
    let Some(flags) = possible else {
        println!("skipped: {test}: no namespaces for mounts and network, or no ip");
        return;
    };
    let run = format!("{SET_UP} && exec \"$0\" --ignored --exact machine::{test} --nocapture");
    let status = Command::new("unshare")
        .args([flags, "sh", "-c", &run])
        .arg(std::env::current_exe().unwrap())
        .env("ELSEWHERE", "1")
        .status();
    assert!(status.unwrap().success(), "{test}: see above");
}

fn is_elsewhere() -> bool {
    std::env::var_os("ELSEWHERE").is_some()
}

#[test]
fn the_collector_asks_azures_metadata_service_at_its_address() {
    elsewhere("metadata");
}

#[test]
#[ignore = "run by another, in namespaces"]
fn metadata() {
    if !is_elsewhere() {
        return;
    }
    let own = executable(OsStr::new("soundproofd")).unwrap();
    let collector = Arc::new(Collector::of(own));
    let report = tpm::td_report(&[9; 64]).try_into().unwrap();
    // Nobody is there yet.
    let error = collector.td_quote(&report).unwrap_err();
    assert_eq!(error.problem.code(), "no_device", "{error}");
    assert_eq!(error.side().name(), "host");

    let make: fakes::Maker = Arc::new(|report: &[u8]| {
        let data = report.get(128..192).unwrap_or_default();
        fakes::unsigned_tdx_quote(data)
    });
    let behaviour = imds::Behaviour {
        certificates: vec![b"vcek".to_vec(), b"ask".to_vec(), b"ark".to_vec()],
        ..imds::Behaviour::default()
    };
    let imds = FakeImds::at(ADDRESS, make, behaviour).unwrap();
    let quote = collector.td_quote(&report).unwrap();
    assert_eq!(&quote[568..632], &[9; 64]);
    let certificates = collector.snp_certificates().unwrap();
    assert_eq!(certificates.signer, b"vcek");
    assert_eq!(certificates.chain, [b"ask", b"ark"]);
    type Change = fn(&mut imds::Behaviour);
    let changes: [(Change, &str); 4] = [
        (|now| now.status = Some(429), "throttled"),
        (|now| now.status = Some(403), "no_permission"),
        (|now| now.status = Some(400), "refused"),
        (|now| now.body = Some("[]".into()), "malformed_answer"),
    ];
    for (change, code) in changes {
        imds.behave(change);
        let error = collector.td_quote(&report).unwrap_err();
        assert_eq!(error.problem.code(), code, "{error}");
        assert!(error.place.contains("169.254.169.254"), "{error}");
        imds.behave(|now| (now.status, now.body) = (None, None));
        assert!(collector.td_quote(&report).is_ok());
    }

    // A keeper's module, which asks the vTPM itself and the host through it.
    let (folder, runtime) = (tempfile::tempdir().unwrap(), b"{}");
    let data = tpm::vouching(runtime);
    let hcl = tpm::hcl_report(false, &tpm::td_report(&data), runtime);
    let mut machine = fakes::machine(folder.path()).with_collector(collector);
    machine.tpm = FakeTpm::new(hcl, tpm::Behaviour::default());
    let azure = detect(&machine).unwrap();
    assert_eq!(azure.platform(), Platform::AzureTdx);
    let root = Digest([7; 32]);
    let binding = Binding::new(Platform::AzureTdx, Role::Keeper, root, None, None);
    let statement = azure.evidence(&binding).unwrap().statement.0;
    let carries = |bytes: &[u8]| statement.windows(bytes.len()).any(|part| part == bytes);
    assert!(carries(&fakes::unsigned_tdx_quote(&data)));
    assert!(carries(binding.tpm_nonce().as_bytes()));
}

#[test]
fn the_daemon_takes_a_dstack_guest_for_one_and_names_what_is_wrong() {
    elsewhere("dstack");
}

/// Broken if the daemon went on without evidence, or chose another platform.
#[test]
#[ignore = "run by another, in namespaces"]
fn dstack() {
    if !is_elsewhere() {
        return;
    }
    let socket = Path::new("/run/dstack.sock");
    let agent = FakeAgent::start(socket, agent::Behaviour::default()).unwrap();
    let log = match started() {
        // What clients need beside it is not here, which the gateway says.
        Ok(server) => server.log_tail(),
        // A machine that could not run a prover safely; evidence comes first.
        Err(error) => error.to_string(),
    };
    assert!(log.contains("the platform makes evidence"), "{log}");
    assert!(log.contains("platform=\"dstack\""), "{log}");
    assert!(!log.contains("SOFTWARE PLATFORM"), "{log}");
    let asked = agent.asked();
    assert!(asked.contains(&"POST /GetQuote".into()), "{asked:?}");

    type Change = fn(&mut agent::Behaviour);
    let changes: [(Change, &str, &str); 5] = [
        (
            |now| now.status = Some(403),
            "may not use it",
            "right to write",
        ),
        (
            |now| now.status = Some(503),
            "busy, 10 times",
            "one report at a time",
        ),
        (
            |now| now.body = Some("[".into()),
            "malformed answer",
            "newer than this",
        ),
        (
            |now| now.stale = true,
            "carries other data",
            "newer than this",
        ),
        (|now| now.status = Some(500), "refused", "guest agent's log"),
    ];
    for (change, named, remedy) in changes {
        agent.behave(change);
        let log = started().err().unwrap().to_string();
        for said in ["dstack guest agent at", named, remedy] {
            assert!(log.contains(said), "{said}: {log}");
        }
        assert!(!log.contains("the platform makes evidence"), "{log}");
        assert!(!log.contains("SOFTWARE PLATFORM"), "{log}");
        agent.behave(|now| *now = agent::Behaviour::default());
    }
}

/// On whatever platform this machine is.
fn started() -> io::Result<ServerProcess> {
    ServerProcess::start(&ServerOptions {
        args: vec!["--platform".into(), "auto".into()],
        env: vec![("RUST_LOG".into(), "info".into())],
        ..ServerOptions::default()
    })
}

/// Invariant 8, broken if the software platform were chosen where there is no
/// other.
#[test]
fn without_a_platform_the_daemon_does_not_start() {
    if !matches!(detect(&Machine::this()), Err(AttestError::NoPlatform(_))) {
        println!("skipped: this machine has a platform, or a part of one");
        return;
    }
    let log = started().err().unwrap().to_string();
    assert!(log.contains("no platform that makes evidence"), "{log}");
    for sought in ["/dev/nsm", "dstack.sock", "/dev/tpmrm0", "tsm/report"] {
        assert!(log.contains(sought), "{sought}: {log}");
    }
    assert!(log.contains("--platform software"), "{log}");
    assert!(!log.contains("SOFTWARE PLATFORM"), "{log}");
}
