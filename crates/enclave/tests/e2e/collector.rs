//! The collector's process, started for real by `soundproofd`, with a fake of
//! NVIDIA's library in the place where the loader finds NVIDIA's: what it
//! brings into sessions, and what happens when the library dies, hangs, prints,
//! or writes into every pipe that it finds. The daemon names the failure, gives
//! no session without its GPUs, and goes on.

use soundproof::{
    Client, Examined, Policy, Retry,
    evidence::{
        Verdict, appraise,
        gpu::{GpuEvidence, GpuKind},
        policy::GpuRules,
        verify_session,
    },
    now_ms,
    protocol::{binding::GpuNonce, error::Code, trust::TrustConfiguration},
};
use soundproof_testkit::{
    fakes::nvml::{self, Deed, FakeNvml, GpuMaker},
    gpu::GpuPki,
    server::{Kind, ServerOptions, ServerProcess},
};
use std::{io, path::Path, sync::Arc};

/// A server whose GPUs are a fake library's.
struct World {
    server: ServerProcess,
    gpus: FakeNvml,
    _folder: tempfile::TempDir,
}

/// Of the server's environment, and none of the collector's business.
const SECRET: (&str, &str) = ("SOUNDPROOF_TEST_OF_ENVIRONMENT", "not for the collector");
/// Long enough for a fake at any speed.
const LIMIT_S: u64 = 8;

impl World {
    fn start() -> Self {
        Self::with(Deed::Answer).unwrap()
    }

    fn with(deed: Deed) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let pki = GpuPki::sound(now_ms() / 1000);
        let make: GpuMaker =
            Arc::new(move |_, nonce| (pki.report(nonce), pki.chain_pem().into_bytes()));
        let gpus = nvml::obedient(folder.path(), make, &nvml::Behaviour::default())?;
        gpus.does(deed);
        let config = folder.path().join("soundproofd.toml");
        std::fs::write(&config, format!("[keeper]\ncollector_s = {LIMIT_S}\n"))?;
        let found_by_the_loader = folder.path().display().to_string();
        let server = ServerProcess::start(&ServerOptions {
            args: vec![
                "--config".into(),
                config.into(),
                "--gpus".into(),
                "nvidia".into(),
            ],
            env: vec![
                ("LD_LIBRARY_PATH".into(), found_by_the_loader),
                (SECRET.0.into(), SECRET.1.into()),
            ],
            ..ServerOptions::default()
        })?;
        Ok(Self {
            server,
            gpus,
            _folder: folder,
        })
    }

    fn client(&self) -> Client {
        Client::builder(self.server.url(), self.policy())
            .retry(Retry::NEVER)
            .build()
            .unwrap()
    }

    fn policy(&self) -> Policy {
        let policy = std::fs::read_to_string(self.server.policy().unwrap()).unwrap();
        Policy::from_toml(&policy).unwrap()
    }

    /// A session, with the evidence of its GPU, made for it.
    async fn session(&self) -> Examined {
        let examined = self.client().examine().await.unwrap();
        let session = &examined.evidence;
        let gpu = session.evidence.gpu.as_ref().expect("evidence of GPUs");
        let evidence = GpuEvidence::from_slice(&gpu.0).unwrap();
        let [gpu] = &evidence.gpus[..] else {
            panic!("{} GPUs", evidence.gpus.len());
        };
        assert_eq!(gpu.kind, GpuKind::Nvidia);
        let root = session.path.root_from(&examined.transcript.leaf()).unwrap();
        assert_eq!(&gpu.report.0[4..36], GpuNonce::new(root).as_bytes());
        examined
    }

    fn collectors(&self) -> Vec<u32> {
        self.server.pids(Kind::Collector).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.server.logs().join("stderr")).unwrap()
    }
}

fn judged(examined: &Examined, policy: &Policy) -> Verdict {
    let session = &examined.evidence;
    let (_, binding) = verify_session(session).unwrap();
    let trust = TrustConfiguration::from_slice(&session.trust.0).unwrap();
    appraise(
        &session.evidence,
        &session.endorsements,
        &binding,
        &trust,
        policy,
        now_ms(),
    )
}

#[tokio::test]
async fn the_collector_brings_the_gpus_into_every_session() {
    let world = World::start();
    let first = world.session().await;
    let second = world.session().await;
    assert_ne!(first.evidence.evidence.gpu, second.evidence.evidence.gpu);
    // One process for both, with nothing of the keeper's environment.
    let [pid] = world.collectors()[..] else {
        panic!("collectors: {:?}", world.collectors());
    };
    assert_environment_is_bare(pid);
    // Nor a right by which root could look into the keeper.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
        assert!(status.contains(line), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");

    // All of it is as it must be but for whose GPUs they are: a fake's are
    // none of NVIDIA's (invariant 8), and who names none accepts none.
    let mut policy = world.policy();
    let verdict = judged(&first, &policy);
    let codes = |verdict: &Verdict| -> Vec<_> {
        verdict.failures().map(|check| check.code.code()).collect()
    };
    assert_eq!(codes(&verdict), ["gpu_not_accepted"], "{verdict}");
    policy.gpu = Some(GpuRules {
        any_machine: true,
        ..GpuRules::default()
    });
    let verdict = judged(&first, &policy);
    let found = codes(&verdict);
    assert!(found.contains(&"anchor_mismatch"), "{verdict}");
    for made_for_it in ["gpu_nonce", "binding_mismatch", "evidence_malformed"] {
        assert!(!found.contains(&made_for_it), "{verdict}");
    }
    assert!(verdict.accept().is_err());
    let opened = world.client().open_session().await;
    assert_eq!(opened.err().unwrap().code(), Code::EvidenceRejected);
}

/// Where this user may look: of processes like it the system hides that.
fn assert_environment_is_bare(pid: u32) {
    let Ok(environment) = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ"))
    else {
        println!("skipped: the collector's environment cannot be read by this user");
        return;
    };
    let text = String::from_utf8_lossy(&environment);
    let names: Vec<_> = text
        .split_terminator('\0')
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert!(names.contains(&"LD_LIBRARY_PATH"), "{names:?}");
    let given = ["LD_LIBRARY_PATH", "RUST_LOG", "SOUNDPROOF_LOG_FORMAT"];
    assert!(names.iter().all(|name| given.contains(name)), "{names:?}");
    assert!(!text.contains(SECRET.1));
}

#[tokio::test]
async fn a_collector_that_was_killed_is_started_again_when_it_is_asked() {
    let world = World::start();
    world.session().await;
    let before = world.collectors();
    world.server.kill_child(before[0]).unwrap();
    world.session().await;
    let after = world.collectors();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
}

/// Broken if a session were given evidence without its GPUs, if the daemon went
/// with its collector, or if what came over the pipe were taken for an answer.
#[tokio::test]
async fn each_way_in_which_it_fails_is_named_and_the_daemon_goes_on() {
    let world = World::start();
    let keeper = world.server.keeper();
    let hang = format!("no answer within {} ms", LIMIT_S * 1000);
    for (deed, named) in [
        (Deed::Crash, "it ended while it was asked"),
        (Deed::Junk, "malformed answer: an answer that is none"),
        (Deed::Flood, "malformed answer: too long a frame"),
        (Deed::Hang, hang.as_str()),
    ] {
        let before = world.log().len();
        let collectors = world.collectors();
        world.gpus.does(deed);
        let error = world.client().examine().await.unwrap_err();
        assert_eq!(error.code(), Code::QuoteFailed, "{deed:?}: {error}");
        let log = world.log();
        let said = &log[before..];
        assert!(said.contains("collector process"), "{deed:?}: {said}");
        assert!(said.contains(named), "{deed:?}: {said}");
        assert!(said.contains("do without GPU evidence"), "{deed:?}: {said}");
        // Whatever it still does, it does no more.
        let left = world.collectors();
        assert!(left.is_empty(), "{deed:?}: {left:?} of {collectors:?}");

        world.gpus.does(Deed::Answer);
        world.session().await;
    }
    assert_eq!(world.server.keeper(), keeper);
    assert!(world.server.gateway().unwrap().is_some());
}

/// Broken if a library's words were read as an answer, or part of one.
#[tokio::test]
async fn what_the_library_prints_is_no_answer() {
    let world = World::with(Deed::Noise).unwrap();
    world.session().await;
    world.session().await;
    assert_eq!(world.collectors().len(), 1);
    assert!(world.log().contains("a line that nobody asked for"));
}

/// At the start as well: nothing listens that could give no session.
#[test]
fn a_collector_that_fails_at_the_start_stops_it() {
    for (deed, named) in [
        (Deed::Crash, "it ended while it was asked"),
        (Deed::Junk, "an answer that is none"),
    ] {
        let error = World::with(deed).err().unwrap().to_string();
        assert!(error.contains("collector process"), "{deed:?}: {error}");
        assert!(error.contains(named), "{deed:?}: {error}");
        assert!(error.contains("do without GPU evidence"), "{error}");
    }
}

/// Broken if one that hangs outlived its keeper.
#[tokio::test]
async fn a_collector_that_hangs_ends_with_its_keeper() {
    let mut world = World::start();
    world.session().await;
    assert_eq!(world.collectors().len(), 1);
    world.gpus.does(Deed::Hang);
    let client = world.client();
    let asked = tokio::spawn(async move { client.examine().await.is_err() });
    // It is asked, or about to be: it must go with the keeper either way.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.server.kill_keeper().unwrap();
    assert!(asked.await.unwrap());
}
