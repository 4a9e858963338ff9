//! A stage with folders of its own, which may write programs and start them.
//!
//! `unsafe` for `pre_exec`: a test becomes another user, or gives up a
//! capability, before it runs itself again.
#![allow(unsafe_code)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use soundproof_protocol::error::Code;
use soundproof_prover::sandbox::{Layer, SandboxLevel};
use soundproof_prover::supervisor::{JobRequest, Supervisor, SupervisorError};
use tokio_util::sync::CancellationToken;

use super::support::{FOLDER_BYTES, Probe, alive, config_with_folders, field, named, wait_until};

/// Fails if something is missing that SP1's executor needs.
#[tokio::test]
async fn what_a_program_that_starts_programs_needs_works() {
    let probe = Probe::with_folders().await;
    probe.works().await;
}

/// Fails if anything of the machine is to be seen, or anything of a job is left.
#[tokio::test]
async fn folders_are_empty_private_and_gone_afterwards() {
    let planted = format!("soundproof-planted-{}", std::process::id());
    for folder in ["/tmp", "/dev/shm"] {
        fs::write(format!("{folder}/{planted}"), "x").unwrap();
    }
    let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    let probe = Probe::with_folders().await;
    probe.report("work").await;
    let seen = probe.report("list").await;
    let lines: Vec<_> = seen.lines().collect();
    let [root, temporary, shared, processes] = lines[..] else {
        panic!("{seen}");
    };
    // To be listed it must be granted, and the root is not; that it holds nothing
    // else is seen from below.
    assert!(root.starts_with("/ 755  PermissionDenied"), "{seen}");
    assert_eq!(
        (temporary, shared),
        ("/tmp 700  ", "/dev/shm 700  "),
        "{seen}"
    );
    let others: Vec<_> = processes
        .split_whitespace()
        .skip(2)
        .filter(|name| !["1", "self", "thread-self"].contains(name))
        .collect();
    assert!(others.is_empty(), "{seen}");
    assert_eq!(mounts(), before, "a mount is seen outside");
    for name in ["/tmp/program", "/dev/shm/probe_m", "/dev/shm/sem.probe_s"] {
        assert!(!fs::exists(name).unwrap(), "{name} is left");
    }
    for folder in ["/tmp", "/dev/shm"] {
        fs::remove_file(format!("{folder}/{planted}")).unwrap();
    }
}

/// Invariant 9 for such a stage. Fails if the prover, or a program that it
/// started, gets further than its folders and its own processes.
#[tokio::test]
async fn hostile_code_finds_no_way_out_of_its_folders() {
    // What may succeed, since it reaches nothing but what is the process's own.
    let own = [
        "openat .",
        "open path .",
        "openat /dev/shm",
        "open path /dev/shm",
        "openat /proc/self/mem",
        "open path /proc/self/mem",
        "openat /proc/self/maps",
        "open path /proc/self/maps",
        "open path /proc/1/mem",
        "create",
        "unlinkat",
        "pipe",
        "dup",
        "socketpair",
        "kill all",
        "fork",
    ];
    let probe = Probe::with_folders().await;
    for (what, other) in [("escape", "openat /proc/1/mem"), ("escape-below", "")] {
        let report = probe.report(what).await;
        let attempts: Vec<_> = report.lines().filter(|line| line.contains(": ")).collect();
        assert!(attempts.len() > 90, "{report}");
        let succeeded: Vec<_> = attempts
            .iter()
            .filter_map(|line| line.strip_suffix(": ALLOWED"))
            .filter(|name| !own.contains(name) && *name != other)
            .collect();
        assert!(succeeded.is_empty(), "{what}: {succeeded:?}");
        for refused in [
            "socket tcp",
            "socket unix",
            "mount",
            "unshare",
            "ptrace attach",
        ] {
            let line = format!("{refused}: PermissionDenied");
            assert!(attempts.contains(&line.as_str()), "{what}: {line}");
        }
        for absent in ["/etc/passwd", "/dev/null", "/var/run/dstack.sock"] {
            let line = format!("open path {absent}: NotFound");
            assert!(attempts.contains(&line.as_str()), "{what}: {line}");
        }
    }
    assert!(!fs::exists("/tmp/soundproof-probe").unwrap());
}

#[tokio::test]
async fn folders_have_a_size() {
    let probe = Probe::with_folders().await;
    for what in ["fill", "fill-shared"] {
        let report = probe.report(what).await;
        assert_eq!(field(&report, "errno"), format!("Some({})", libc::ENOSPC));
        let written: u64 = field(&report, "written").parse().unwrap();
        assert!(
            written <= FOLDER_BYTES && written > FOLDER_BYTES / 2,
            "{report}"
        );
    }
    // The operator's word counts.
    let mut config = config_with_folders();
    config.default_stage.folder_bytes = Some(FOLDER_BYTES / 4);
    let probe = Probe::of(config, "plain script").await;
    let report = probe.report("fill").await;
    let written: u64 = field(&report, "written").parse().unwrap();
    assert!(written <= FOLDER_BYTES / 4, "{report}");
}

/// Memory is bounded for all processes of a job together; and an end by a signal
/// means what it means elsewhere, though the first process of a namespace is
/// shielded from some.
#[tokio::test]
async fn every_bad_end_has_its_code() {
    let probe = Probe::with_folders().await;
    for (how, code) in [
        ("gobble-below", Code::MemoryLimit),
        ("gobble", Code::MemoryLimit),
        ("panic", Code::ProverPanic),
        ("abort", Code::ProverPanic),
        ("segfault", Code::ProverDied),
        ("exit", Code::ProverProtocol),
        ("flood", Code::ProverProtocol),
        ("fail", Code::ConstraintFailed),
    ] {
        let failure = probe.run(&format!("{how}|echo|")).await.unwrap_err();
        assert_eq!(failure.code, code, "{how}");
    }
    let result = probe.run("stdout|stderr|x").await.unwrap();
    assert_eq!(&result.proof[..], b"x|");
}

/// Invariant 9. Fails if a program, or one that it started, that never looks
/// whether anybody listens is alive when its job is over.
#[tokio::test]
async fn no_process_of_a_job_survives_it() {
    let probe = Probe::with_folders().await;
    for round in 0..3 {
        let word = format!("word-{}-{round}", std::process::id());
        let input = format!("spin-below {word}|echo|");
        // The child knows the word; its own child is found by its parent.
        let below = || family(&named(&word));
        if round == 0 {
            let failure = probe
                .run_with(&input, |request| request.limits.time_ms = 500)
                .await
                .unwrap_err();
            assert_eq!(failure.code, Code::TimeLimit);
            assert_eq!(below(), Vec::<u32>::new());
            continue;
        }
        let cancel = CancellationToken::new();
        let (result, pids) = tokio::join!(
            probe.run_with(&input, |request| request.cancel = cancel.clone()),
            async {
                wait_until("both spin", || below().len() == 2).await;
                let pids = below();
                if round == 1 {
                    cancel.cancel();
                } else {
                    // The prover itself is killed from outside.
                    let runners = probe.children();
                    let runner = |pid: &&u32| family(&[**pid]).len() == 3;
                    super::support::kill(*runners.iter().find(runner).unwrap());
                }
                pids
            }
        );
        let code = result.unwrap_err().code;
        assert!(
            matches!(code, Code::Cancelled | Code::ProverDied),
            "{code:?}"
        );
        assert!(pids.iter().all(|pid| !alive(*pid)), "round {round}");
    }
    assert_eq!(probe.stage("run").busy, 0);
    probe.run("echo|echo|").await.unwrap();
}

/// These processes and all that descend from them.
fn family(first: &[u32]) -> Vec<u32> {
    let mut all = first.to_vec();
    let mut at = 0;
    while let Some(parent) = all.get(at) {
        let threads = fs::read_dir(format!("/proc/{parent}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .map(|pid| pid.parse::<u32>().unwrap()),
            );
        }
        at += 1;
    }
    all.retain(|pid| alive(*pid));
    all
}

#[tokio::test]
#[ignore = "is run by the next test, in a process of its own"]
async fn keeper_with_folders_to_be_killed() {
    let probe = Probe::with_folders().await;
    let word = format!("word-{}", std::process::id());
    let said = async {
        wait_until("both spin", || family(&named(&word)).len() == 2).await;
        println!("\nchildren {:?}", family(&[std::process::id()]));
    };
    let input = format!("spin-below {word}|echo|");
    let _ = tokio::join!(probe.run(&input), said);
}

/// Fails if a program outlives a keeper that had no chance to clean up.
#[tokio::test]
async fn a_killed_keeper_takes_programs_along() {
    use std::io::{BufRead, BufReader};
    let mut keeper = again("folders::keeper_with_folders_to_be_killed")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("children "))
        .unwrap();
    let processes: Vec<u32> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(processes.len() >= 5, "{line}");
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    for pid in processes {
        wait_until("it died with its keeper", || !alive(pid)).await;
    }
}

/// This program once more, for one test that is otherwise left out.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command
}

#[tokio::test]
async fn the_layer_is_reached() {
    let probe = Probe::with_folders().await;
    let level = probe.supervisor.info().sandbox.clone();
    assert!(level.contains(Layer::Folders), "{level}");
    if rustix::process::geteuid().is_root() {
        let mut config = config_with_folders();
        config.required = SandboxLevel::full();
        let supervisor = Supervisor::start(config).await.unwrap();
        assert_eq!(supervisor.info().sandbox, SandboxLevel::full());
    }
}

#[tokio::test]
#[ignore = "is run by the next test, as another user"]
async fn as_another_user() {
    assert!(!rustix::process::geteuid().is_root());
    match Supervisor::start(config_with_folders()).await {
        Err(SupervisorError::Start(why)) => {
            assert!(why.contains("allow unprivileged user namespaces"), "{why}");
            println!("\nrefused: {why}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => {
            let probe = Probe::with_folders().await;
            let report = probe.report("work").await;
            assert!(
                report.lines().all(|line| line.ends_with(": ok")),
                "{report}"
            );
            let level = probe.supervisor.info().sandbox.clone();
            assert!(level.contains(Layer::Folders) && level.contains(Layer::Powerless));
            println!("\nworks");
        }
    }
}

/// Without root it works by a user namespace, or is refused for a reason that
/// says what to do; never in folders that others see.
#[tokio::test]
async fn another_user_gets_private_folders_or_none() {
    if !rustix::process::geteuid().is_root() {
        return; // every other test is that one
    }
    // Where that user can read it.
    let copy = tempfile::Builder::new()
        .prefix("soundproof")
        .tempdir_in("/tmp");
    let copy = copy.unwrap();
    fs::set_permissions(
        copy.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let program = copy.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::copy(super::support::executable(), copy.path().join("probe")).unwrap();
    let output = Command::new(&program)
        .args([
            "folders::as_another_user",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("SOUNDPROOF_PROBE", copy.path().join("probe"))
        .uid(63_990)
        .gid(63_990)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("works") || said.contains("refused: "),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "is run by the next test, without a capability"]
async fn where_there_can_be_no_folders() {
    match Supervisor::start(config_with_folders()).await {
        Err(SupervisorError::Start(why)) => println!("\nrefused: {why}"),
        other => panic!("{other:?}"),
    }
    // A prover that needs none starts.
    Probe::start().await.run("echo|echo|").await.unwrap();
}

/// Fails if a stage that needs private folders runs without them.
#[tokio::test]
async fn no_folders_no_start() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut keeper = again("folders::where_there_can_be_no_folders");
    // SAFETY: two system calls between fork and exec.
    unsafe {
        keeper.pre_exec(|| {
            const CAP_SYS_ADMIN: libc::c_int = 21;
            match libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let output = keeper.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("run as root, or allow unprivileged user namespaces"),
        "{said}"
    );
}

/// A process is not started with folders that its stage does not need, or
/// without those that it needs: here the folders would leave no memory.
#[tokio::test]
async fn folders_that_leave_no_memory() {
    let mut config = config_with_folders();
    config.default_stage.folder_bytes = Some(config.default_stage.memory_bytes);
    assert!(matches!(
        Supervisor::start(config).await,
        Err(SupervisorError::Config(_))
    ));
}

/// Started ahead, with its program loaded, as any other: of several parts, one of
/// which some process derived something from before it had any input.
#[tokio::test]
async fn processes_with_folders_are_started_ahead() {
    let probe = Probe::of(config_with_folders(), "derive this").await;
    let job = async || {
        let extra = probe.part("extra", "more");
        let with_extra = |request: &mut JobRequest| request.parts.push(extra);
        let result = probe.run_with("who|echo|", with_extra).await.unwrap();
        String::from_utf8_lossy(&result.proof).into_owned()
    };
    assert_eq!(field(&job().await, "log"), "source-11,source-4,");
    wait_until("processes are loaded", || probe.stage("run").loaded == 2).await;
    let fetched = probe.fetches();
    let report = job().await;
    assert_eq!(field(&report, "log"), "derived-12,source-4,");
    assert_eq!(field(&report, "pid"), "1");
    assert_eq!(probe.fetches(), fetched, "all of it was at hand");
}
