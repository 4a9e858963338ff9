//! Supervisor and sandbox through the public interface, with a prover that is
//! hostile on request (`probe/`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod folders;
mod gpu;
mod support;

use std::time::Duration;

use soundproof_protocol::error::Code;
use soundproof_protocol::mode::ModeInfo;
use soundproof_prover::sandbox::{Layer, SandboxLevel};
use soundproof_prover::supervisor::{Supervisor, SupervisorError};
use soundproof_prover::wire::MAX_VERIFYING_KEY;
use support::{Probe, alive, field, wait_until};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_job_passes_both_stages() {
    let probe = Probe::start().await;
    let (progress, mut seen) = tokio::sync::mpsc::channel(8);
    let result = probe
        .run_with("echo|echo|hello", |request| request.progress = progress)
        .await
        .unwrap();
    assert_eq!(&result.proof[..], b"hello|");
    assert!(result.verified);
    assert_eq!(result.version, "probe 1");
    assert_eq!(
        result
            .stages
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["run", "finish"]
    );
    let phase = seen.recv().await.unwrap();
    assert_eq!((phase.phase.as_str(), phase.permille), ("probing", 500));
}

#[tokio::test]
async fn what_the_prover_is_stands_in_its_info() {
    let probe = Probe::start().await;
    let info = probe.supervisor.info();
    assert_eq!(info.system, "probe");
    assert_eq!(info.modes, [ModeInfo::hiding("plain")]);
    assert_eq!(info.stages.len(), 2);
    assert_eq!(
        info.executable,
        support::digest_of_file(&support::executable())
    );
}

#[tokio::test]
async fn a_stage_without_parts_is_skipped_and_the_last_cannot_be() {
    let probe = Probe::start().await;
    let result = probe
        .run_with("echo|plain", |request| {
            request.parts.retain(|part| part.role == "key")
        })
        .await
        .unwrap();
    assert_eq!(&result.proof[..], b"plain");
    assert_eq!(result.stages.len(), 1);
    let failure = probe
        .run_with("echo|plain", |request| {
            request.parts.retain(|part| part.role == "script")
        })
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::ProgramPartMissing);
    let failure = probe
        .run_with("echo", |request| request.mode = "other".into())
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::ModeUnavailable);
}

/// Invariant 9. Fails if a layer of the sandbox lets through any of the hundred
/// attempts in `probe/escape.rs`, or if a descriptor of the keeper's is open in
/// a prover.
#[tokio::test]
async fn hostile_code_finds_no_way_out() {
    let probe = Probe::start().await;
    for input in ["escape|echo|", "echo|escape|"] {
        let result = probe.run(input).await.unwrap();
        let report = String::from_utf8_lossy(&result.proof).into_owned();
        let attempts: Vec<_> = report
            .trim_matches('|')
            .lines()
            .filter(|line| line.contains(": "))
            .collect();
        assert!(attempts.len() > 100, "{report}");
        // Refused by the list of system calls, before any other layer has to:
        // with another error, a call got further than it may.
        let refused =
            |line: &&str| line.ends_with(": PermissionDenied") || *line == "clone3: Unsupported";
        let others: Vec<_> = attempts
            .iter()
            .filter(|line| !refused(line) && !line.starts_with("descriptors"))
            .collect();
        assert!(others.is_empty(), "{others:#?}");
        assert!(report.contains("descriptors beyond 3: 0"), "{report}");
    }
    assert!(!std::path::Path::new("/tmp/soundproof-probe").exists());
}

/// Fails if the allow-list is too short for threads or a just-in-time compiler,
/// or if limits, user or environment are not what the sandbox promises.
#[tokio::test]
async fn what_a_prover_needs_works_inside() {
    let probe = Probe::start().await;
    let info = probe.supervisor.info();
    let result = probe.run("threads|echo|").await.unwrap();
    let report = String::from_utf8_lossy(&result.proof).into_owned();
    assert_eq!(field(&report, "sum"), "5", "{report}");
    assert_eq!(field(&report, "compiled"), "true", "{report}");
    for limit in ["core", "fsize", "env"] {
        assert_eq!(field(&report, limit), "0", "{report}");
    }
    if info.sandbox.contains(Layer::User) {
        assert_ne!(field(&report, "uid"), "0/0", "{report}");
        assert_eq!(
            field(&report, "threads"),
            support::THREADS.to_string(),
            "{report}"
        );
    }
    // The stage that runs no program must not compile either.
    let result = probe.run("echo|threads|").await.unwrap();
    let report = String::from_utf8_lossy(&result.proof).into_owned();
    assert_eq!(field(&report, "compiled"), "false", "{report}");
}

#[tokio::test]
async fn the_level_reached_is_reported_and_a_missing_layer_stops_the_start() {
    let probe = Probe::start().await;
    let level = probe.supervisor.info().sandbox.clone();
    for layer in [
        Layer::Seccomp,
        Layer::NoNewPrivileges,
        Layer::Powerless,
        Layer::Descriptors,
        Layer::Dump,
    ] {
        assert!(level.contains(layer), "{level}");
    }
    if rustix::process::geteuid().is_root() {
        assert!(
            level.contains(Layer::User) && level.contains(Layer::Namespaces),
            "{level}"
        );
    }
    // The same, with a layer switched off that is required: no start.
    let mut config = support::config();
    config.first_user = None;
    config.required = SandboxLevel::full();
    match Supervisor::start(config).await {
        Err(SupervisorError::Sandbox(missing)) => {
            assert!(missing.contains(Layer::User), "{missing}")
        }
        other => panic!("{other:?}"),
    }
}

/// Invariant 9. Fails if a process serves two jobs, or lives on after its own.
#[tokio::test]
async fn a_process_that_ran_a_program_serves_one_job_and_is_gone() {
    let probe = Probe::start().await;
    let mut runners = Vec::new();
    let mut finishers = Vec::new();
    for _ in 0..4 {
        let result = probe.run("who|echo|").await.unwrap();
        let runner: u32 = field(&String::from_utf8_lossy(&result.proof), "pid")
            .parse()
            .unwrap();
        let finisher: u32 = field(&String::from_utf8_lossy(&result.public), "pid")
            .parse()
            .unwrap();
        assert!(!alive(runner), "the process outlived its job");
        assert!(alive(finisher));
        assert!(!runners.contains(&runner));
        runners.push(runner);
        finishers.push(finisher);
    }
    finishers.dedup();
    assert_eq!(
        finishers.len(),
        1,
        "the stage without program code stays warm"
    );
}

/// Fails if the next job of a program has to wait for a process, or for the
/// program to be loaded.
#[tokio::test]
async fn the_next_process_is_started_ahead_with_the_program_loaded() {
    let probe = Probe::with_script("derive this").await;
    let result = probe.run("who|echo|").await.unwrap();
    assert_eq!(
        field(&String::from_utf8_lossy(&result.proof), "log"),
        "source-11,"
    );
    wait_until("processes are loaded", || probe.stage("run").loaded == 2).await;
    let fetched = probe.fetches();
    let result = probe.run("who|echo|").await.unwrap();
    // Loaded from what the first process derived, and nothing was fetched again.
    assert_eq!(
        field(&String::from_utf8_lossy(&result.proof), "log"),
        "derived-12,"
    );
    assert_eq!(probe.fetches(), fetched);
}

/// A key that the prover computed is the job's; one that cannot be one is not.
#[tokio::test]
async fn a_verifying_key_comes_with_the_result() {
    let probe = Probe::start().await;
    assert_eq!(probe.run("echo|echo|").await.unwrap().verifying_key, None);
    for len in [1, MAX_VERIFYING_KEY] {
        let result = probe.run(&format!("echo|vkey {len}|")).await.unwrap();
        assert_eq!(result.verifying_key, Some(vec![1; len]));
    }
    for len in [0, MAX_VERIFYING_KEY + 1] {
        let failure = probe.run(&format!("echo|vkey {len}|")).await.unwrap_err();
        assert_eq!(failure.code, Code::ProverProtocol, "{len}");
    }
}

/// Fails if a mode is taken that needs more memory than a job has.
#[tokio::test]
async fn a_mode_that_does_not_fit_is_not_offered() {
    let mut config = support::config();
    config.executable = support::config_named("probe-large").executable;
    let probe = Probe::of(config, "plain script").await;
    let modes = &probe.supervisor.info().modes;
    assert!(modes[0].offered());
    let why = modes[1].unavailable.as_deref().unwrap();
    assert_eq!(
        why,
        "needs 1024 GiB of memory for one job; this server gives 0 GiB"
    );
    probe.run("echo|echo|").await.unwrap();
    let failure = probe
        .run_with("echo|echo|", |request| request.mode = "large".into())
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::ModeUnavailable);
}

#[tokio::test]
async fn only_so_many_programs_are_kept_loaded() {
    let probe = Probe::start().await;
    for n in 0..3 {
        let script = format!("derive {n}");
        probe.run_script(&script, "echo|echo|").await.unwrap();
        wait_until("processes are loaded", || probe.stage("run").loaded >= 2).await;
    }
    wait_until("the oldest is evicted", || probe.stage("run").loaded <= 4).await;
}

#[tokio::test]
async fn every_bad_end_has_its_code_and_the_next_job_succeeds() {
    let probe = Probe::start().await;
    let cases = [
        ("fail", Code::ConstraintFailed),
        ("panic", Code::ProverPanic),
        ("abort", Code::ProverPanic),
        ("segfault", Code::ProverDied),
        ("exit", Code::ProverProtocol),
        ("gobble", Code::MemoryLimit),
        ("oversized", Code::ProverProtocol),
        ("kind", Code::ProverProtocol),
        ("empty", Code::ProverProtocol),
        ("garbage", Code::ProverProtocol),
        ("torn", Code::ProverProtocol),
        ("flood", Code::ProverProtocol),
        ("derived-late", Code::ProverProtocol),
        ("hello-again", Code::ProverProtocol),
    ];
    for (how, code) in cases {
        for input in [format!("{how}|echo|"), format!("echo|{how}|")] {
            let failure = probe.run(&input).await.unwrap_err();
            assert_eq!(failure.code, code, "{input}");
        }
        probe.run("echo|echo|").await.unwrap();
    }
    for (input, code) in [
        ("long|", Code::ProverProtocol),
        ("short|", Code::ProverProtocol),
        ("huge|", Code::MemoryLimit),
        ("huge-proof|", Code::ProverProtocol),
        ("echo|huge|", Code::ProverProtocol),
        ("echo|huge-proof|", Code::OutputTooLarge),
    ] {
        assert_eq!(probe.run(input).await.unwrap_err().code, code, "{input}");
        probe.run("echo|echo|").await.unwrap();
    }
}

/// Fails too if a library that prints to standard output breaks the protocol.
#[tokio::test]
async fn a_flood_on_standard_error_or_output_is_swallowed() {
    let probe = Probe::start().await;
    for input in ["stderr|stderr|x", "stdout|stdout|x"] {
        let result = probe.run(input).await.unwrap();
        assert_eq!(&result.proof[..], b"x|");
    }
}

/// The detail of a failure reaches the caller; a stage that failed well and
/// runs no program code stays.
#[tokio::test]
async fn a_stage_that_stays_survives_a_failed_job() {
    let probe = Probe::start().await;
    let before = probe.run("echo|echo|").await.unwrap();
    let failure = probe.run("echo|fail|").await.unwrap_err();
    assert_eq!(
        (failure.code, failure.detail.as_str()),
        (Code::ConstraintFailed, "line 7")
    );
    let after = probe.run("echo|echo|").await.unwrap();
    let pid = |bytes: &[u8]| field(&String::from_utf8_lossy(bytes), "pid").to_owned();
    assert_eq!(pid(&before.public), pid(&after.public));
}

#[tokio::test]
async fn a_deadline_kills() {
    let probe = Probe::start().await;
    for input in ["sleep|echo|", "echo|sleep|"] {
        let failure = probe
            .run_with(input, |request| request.limits.time_ms = 50)
            .await
            .unwrap_err();
        assert_eq!(failure.code, Code::TimeLimit, "{input}");
    }
    probe.run("echo|echo|").await.unwrap();
}

/// Fails if a cancelled job's process goes on.
#[tokio::test]
async fn cancelling_kills() {
    let probe = Probe::start().await;
    let cancel = CancellationToken::new();
    let pids = probe.children();
    let (result, ()) = tokio::join!(
        probe.run_with("sleep|echo|", |request| request.cancel = cancel.clone()),
        async {
            wait_until("the job is at work", || probe.stage("run").busy == 1).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        }
    );
    assert_eq!(result.unwrap_err().code, Code::Cancelled);
    assert_eq!(
        pids.iter().filter(|pid| !alive(**pid)).count(),
        1,
        "one process was killed"
    );
    assert_eq!(probe.stage("run").busy, 0);
    probe.run("echo|echo|").await.unwrap();
}

/// Invariant 9. Fails if what one job does to its process reaches another.
#[tokio::test]
async fn a_poison_job_harms_no_other() {
    let probe = Probe::start().await;
    for poison in ["panic", "gobble", "segfault", "flood", "exit"] {
        let bad = format!("{poison}|echo|");
        let (good, bad) = tokio::join!(probe.run("nap|echo|good"), probe.run(&bad));
        assert_eq!(&good.unwrap().proof[..], b"good|");
        assert!(bad.is_err());
    }
}

#[tokio::test]
async fn a_process_killed_from_outside_is_a_server_fault_worth_another_try() {
    let probe = Probe::start().await;
    let before = probe.children();
    let (result, ()) = tokio::join!(probe.run("sleep|echo|"), async {
        wait_until("the job is at work", || probe.stage("run").busy == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        for pid in before
            .iter()
            .filter(|pid| support::stage_of(**pid) == "run")
        {
            support::kill(*pid);
        }
    });
    let code = result.unwrap_err().code;
    assert_eq!(code, Code::ProverDied);
    assert!(code.retryable());
    probe.run("echo|echo|").await.unwrap();
}

/// Processes that wait for a job and die are replaced, not handed out.
#[tokio::test]
async fn idle_processes_that_died_are_not_used() {
    let probe = Probe::start().await;
    probe.run("echo|echo|").await.unwrap();
    wait_until("processes are loaded", || probe.stage("run").loaded == 2).await;
    for pid in probe.children() {
        support::kill(pid);
        wait_until("it is dead", || !alive(pid)).await;
    }
    probe.run("echo|echo|").await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_loaded() {
    let probe = Probe::start().await;
    let failure = probe
        .run_script("bad program", "echo|echo|")
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::WasmInvalid);
    let failure = probe
        .run_script("dies while loading", "echo|echo|")
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::ProverProtocol);
    let failure = probe
        .run_script("spins while loading", "echo|echo|")
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::TimeLimit);
    probe.run("echo|echo|").await.unwrap();
}

/// Bytes from the store are not believed. Fails if a process is given a part
/// whose digest was not checked.
#[tokio::test]
async fn a_store_that_lies() {
    let probe = Probe::start().await;
    for (lie, code) in [
        (support::Lie::Flip, Code::BlobCorrupt),
        (support::Lie::Short, Code::BlobCorrupt),
        (support::Lie::Long, Code::BlobCorrupt),
        (support::Lie::Missing, Code::BlobMissing),
        (support::Lie::Huge, Code::MemoryLimit),
    ] {
        probe.lie(Some(lie));
        let failure = probe
            .run_script(&format!("script {lie:?}"), "echo|echo|")
            .await
            .unwrap_err();
        assert_eq!(failure.code, code, "{lie:?}");
        let failure = probe
            .run_key(&format!("key {lie:?}"), "echo|echo|")
            .await
            .unwrap_err();
        assert_eq!(failure.code, code, "{lie:?}");
        probe.lie(None);
        probe.run("echo|echo|").await.unwrap();
    }
}

#[tokio::test]
async fn input_that_fails_on_the_way() {
    let probe = Probe::start().await;
    for parts in [&["script", "key"][..], &["key"]] {
        let failure = probe
            .run_with("echo|echo|", |request| {
                request
                    .parts
                    .retain(|part| parts.contains(&part.role.as_str()));
                request.input = support::broken_input(Code::ChunkInvalid);
            })
            .await
            .unwrap_err();
        assert_eq!(failure.code, Code::ChunkInvalid);
    }
    let failure = probe
        .run_with("echo|", |request| request.input.len = u64::MAX)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::InputTooLarge);
    let failure = probe
        .run_with("echo|", |request| request.input.len += 1)
        .await
        .unwrap_err();
    assert_eq!(
        failure.code,
        Code::ChunkInvalid,
        "a stream shorter than it said"
    );
    let failure = probe
        .run_with("echo|", |request| request.input.len -= 1)
        .await
        .unwrap_err();
    assert_eq!(
        failure.code,
        Code::ChunkInvalid,
        "a stream longer than it said"
    );
    probe.run("echo|echo|").await.unwrap();
}

/// Fails if a prover could fill the keeper's memory, or if that it tried looked
/// like an accident.
#[tokio::test]
async fn a_proof_that_is_too_large() {
    let mut config = support::config();
    config.max_output_bytes = 1000;
    let probe = Probe::of(config, "plain script").await;
    let long = format!("echo|echo|{}", "x".repeat(2000));
    let failure = probe.run(&long).await.unwrap_err();
    assert_eq!(failure.code, Code::OutputTooLarge);
    assert!(
        probe.run("echo|echo|").await.is_ok(),
        "and the next goes on"
    );
}

#[tokio::test]
async fn a_large_input_passes_whole() {
    let probe = Probe::start().await;
    let payload = "x".repeat(5 << 20);
    let result = probe.run(&format!("echo|echo|{payload}")).await.unwrap();
    assert_eq!(result.proof.len(), payload.len() + 1);
}

#[tokio::test]
async fn executables_that_do_not_say_hello() {
    let config_named = |name| {
        let mut config = support::config_named(name);
        config.hello_time = Duration::from_secs(2);
        config
    };
    for (name, text) in [
        ("probe-silent", "no hello in time"),
        ("probe-dies", "this probe dies"),
    ] {
        match Supervisor::start(config_named(name)).await {
            Err(SupervisorError::Start(why)) => assert_eq!(why, text),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(
        Supervisor::start(config_named("probe-floods")).await,
        Err(SupervisorError::Hello(_))
    ));
    let mut config = support::config();
    config.executable = "/nonexistent".into();
    assert!(matches!(
        Supervisor::start(config).await,
        Err(SupervisorError::Executable(_))
    ));
    let mut config = support::config();
    config.digest = Some(soundproof_protocol::digest::Digest([7; 32]));
    assert!(matches!(
        Supervisor::start(config).await,
        Err(SupervisorError::Digest { .. })
    ));
}

#[tokio::test]
async fn stages_that_may_use_more_memory_than_there_is() {
    let mut config = support::config();
    config.memory_bytes = config.default_stage.memory_bytes;
    assert!(matches!(
        Supervisor::start(config).await,
        Err(SupervisorError::Config(_))
    ));
}

/// Fails if a prover outlives its keeper, in order or not.
#[tokio::test]
async fn nothing_outlives_the_supervisor() {
    let probe = Probe::start().await;
    probe.run("echo|echo|").await.unwrap();
    let children = probe.children();
    assert!(!children.is_empty());
    probe.supervisor.shutdown().await;
    assert!(children.iter().all(|pid| !alive(*pid)));

    let probe = Probe::start().await;
    let children = probe.children();
    drop(probe);
    for pid in children {
        wait_until("it is gone", || !alive(pid)).await;
    }
}

/// A keeper for the next test: starts a job that sleeps, says which processes
/// it has, and waits to be killed.
#[tokio::test]
#[ignore = "is run by the next test, in a process of its own"]
async fn keeper_to_be_killed() {
    let probe = Probe::start().await;
    let said = async {
        wait_until("the job is at work", || probe.stage("run").busy == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        println!("\nchildren {:?}", probe.children());
    };
    let _ = tokio::join!(probe.run("sleep|echo|"), said);
}

/// Fails if a prover that is at work (and so does not notice that its socket
/// was closed) outlives a keeper that had no chance to clean up.
#[tokio::test]
async fn a_killed_keeper_takes_its_provers_along() {
    use std::io::{BufRead, BufReader};
    let mut keeper = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["keeper_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("children "))
        .unwrap();
    let children: Vec<u32> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(children.len() >= 2, "{line}");
    assert!(children.iter().all(|pid| alive(*pid)));
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    for pid in children {
        wait_until("it died with its keeper", || !alive(pid)).await;
    }
}
