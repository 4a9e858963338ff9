//! The collector's two ends, over a process: this test's own executable again.

use super::code;
use soundproof_attester::{
    Interface,
    azure::{Host as _, Imds},
    collector::{Answerer, Collector, serve},
    nvml::{Gpus as _, LIBRARY, Nvml},
};
use soundproof_protocol::{binding::GpuNonce, digest::Digest};
use soundproof_testkit::fakes::{
    self,
    imds::{self, FakeImds},
    impatient, nvml,
};
use std::{
    io::{stdin, stdout},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// Not a test: what the collector's process runs.
#[test]
#[ignore = "the other end of the tests in this file"]
fn the_other_end() {
    let Ok(address) = std::env::var("FAKE_IMDS") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut machine = fakes::machine(folder.path());
    machine.host = Arc::new(Imds::at(address.parse().unwrap(), impatient()));
    let library = std::env::var("FAKE_NVML").unwrap_or_else(|_| LIBRARY.into());
    let gpus = Nvml::new(library, impatient());
    serve(stdin(), Unpolluted, &Answerer::new(&machine, gpus)).unwrap();
    std::process::exit(0);
}

/// The harness writes to standard output before a test does; ours is elsewhere.
struct Unpolluted;

impl std::io::Write for Unpolluted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/fd/3")
            .and_then(|mut file| file.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stdout().flush()
    }
}

fn collector(environment: Vec<(&'static str, String)>) -> Collector {
    Collector::new(move || {
        // Descriptor 3 is the pipe, and standard output nobody's.
        let mut command = Command::new("sh");
        let own = std::env::current_exe().unwrap();
        command.args(["-c", "exec 3>&1 >/dev/null; exec \"$0\" \"$@\""]);
        command.arg(own);
        command.args(["--ignored", "--exact", "collector::the_other_end"]);
        command.envs(environment.clone());
        command
    })
}

#[test]
fn the_network_and_the_library_are_asked_by_another_process() {
    let imds = FakeImds::start(imds::Behaviour {
        certificates: vec![b"vcek".to_vec(), b"ask".to_vec()],
        ..imds::Behaviour::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let make: nvml::GpuMaker = Arc::new(nvml::unsigned);
    let library = nvml::build(folder.path(), make, &nvml::Behaviour::default()).unwrap();
    let collector = collector(vec![
        ("FAKE_IMDS", imds.address().to_string()),
        ("FAKE_NVML", library.display().to_string()),
    ]);
    let report = fakes::tpm::td_report(&[9; 64]).try_into().unwrap();
    let quote = collector.td_quote(&report).unwrap();
    assert_eq!(&quote[568..632], &[9; 64]);
    let certificates = collector.snp_certificates().unwrap();
    assert_eq!(certificates.signer, b"vcek");
    assert_eq!(certificates.chain, [b"ask"]);
    let nonce = GpuNonce::new(Digest([7; 32]));
    let here = Nvml::new(&library, impatient()).evidence(&nonce).unwrap();
    assert_eq!(collector.evidence(&nonce).unwrap(), here);

    // What failed there has the same name here, and the process lives on.
    imds.behave(|now| now.throttled = 3);
    let error = collector.td_quote(&report).unwrap_err();
    assert_eq!(
        (code(&error), error.interface),
        ("throttled", Interface::Imds)
    );
    assert!(collector.td_quote(&report).is_ok());
}

#[test]
fn a_collector_that_dies_is_started_again() {
    let imds = FakeImds::start(imds::Behaviour::default()).unwrap();
    let address = imds.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let collector = Collector::new(move || {
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$PID\"; exec 3>&1 >/dev/null; exec \"$0\" \"$@\"";
        command.args(["-c", script]);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "collector::the_other_end"]);
        command.env("FAKE_IMDS", &address).env("PID", &pid);
        command
    });
    let report = fakes::tpm::td_report(&[9; 64]).try_into().unwrap();
    collector.td_quote(&report).unwrap();
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(collector.td_quote(&report).is_ok());
}

#[test]
fn one_that_cannot_start_is_silent_or_lies_is_named() {
    let report = [0; 1024];
    for (program, arguments, expected) in [
        ("/nonexistent/soundproofd", vec![], "no_device"),
        ("true", vec![], "died"),
        ("sleep", vec!["600"], "timed_out"),
        (
            "sh",
            vec!["-c", "printf '\\0\\0\\0\\1\\377'; exec cat >/dev/null"],
            "malformed_answer",
        ),
        ("yes", vec![], "malformed_answer"),
    ] {
        let collector = Collector::new(move || {
            let mut command = Command::new(program);
            command.args(&arguments);
            command
        });
        // Long enough for those that answer, at any speed.
        let limit = if program == "sleep" { 100 } else { 60_000 };
        let collector = collector.with_limit(Duration::from_millis(limit));
        let error = collector.td_quote(&report).unwrap_err();
        assert_eq!(code(&error), expected, "{program}: {error}");
        assert_eq!(error.interface, Interface::Collector);
    }
}
