//! A stage that may reach a GPU. The machine needs none: what is tested is what
//! such a stage can reach besides.

use soundproof_prover::sandbox::Layer;
use soundproof_prover::supervisor::{ProverConfig, Supervisor, SupervisorError};

use super::support::{Probe, config_named};

fn config() -> ProverConfig {
    config_named("probe-gpu")
}

fn allowed() -> ProverConfig {
    let mut config = config();
    config.gpu = true;
    config
}

/// Fails if an executable could put secrets on a GPU by saying that it does.
#[tokio::test]
async fn a_gpu_must_be_allowed() {
    assert!(matches!(
        Supervisor::start(config()).await,
        Err(SupervisorError::Gpu)
    ));
    let supervisor = Supervisor::start(allowed()).await.unwrap();
    let stages = &supervisor.info().stages;
    assert!(stages.iter().any(|stage| stage.gpu), "it says so");
    assert!(supervisor.info().sandbox.contains(Layer::Namespaces));
}

#[tokio::test]
async fn what_a_program_with_a_gpu_needs_works() {
    let probe = Probe::of(allowed(), "plain script").await;
    probe.works().await;
}

/// Invariant 9 for such a stage. Fails if it reaches a network, another device
/// than GPUs and those that hold nothing, a quoting device, a key, or a process
/// of another.
#[tokio::test]
async fn hostile_code_with_a_gpu_finds_no_way_but_the_gpu() {
    let probe = Probe::of(allowed(), "plain script").await;
    for what in ["escape", "escape-below"] {
        let report = probe.report(what).await;
        let attempts: Vec<_> = report.lines().filter(|line| line.contains(": ")).collect();
        assert!(attempts.len() > 90, "{report}");
        for refused in [
            "socket tcp",
            "socket udp",
            "socket netlink",
            "socket packet",
            "socket vsock",
            "mount",
            "unshare",
            "setns",
            "ptrace attach",
            "ptrace seize",
            "keyctl",
            "bpf",
            "mmap write+exec",
            "mknodat",
        ] {
            let line = format!("{refused}: PermissionDenied");
            assert!(attempts.contains(&line.as_str()), "{what}: {line}");
        }
        for path in [
            "/etc/passwd",
            "/dev/tdx_guest",
            "/dev/sev-guest",
            "/dev/tpm0",
            "/sys/kernel/config/tsm/report",
            "/var/run/dstack.sock",
        ] {
            for call in ["open path", "openat"] {
                let name = format!("{call} {path}");
                let line = attempts.iter().find(|line| line.starts_with(&name));
                let line = line.unwrap_or_else(|| panic!("{what}: {name} was not tried"));
                assert!(!line.ends_with("ALLOWED"), "{what}: {line}");
            }
        }
    }
}
