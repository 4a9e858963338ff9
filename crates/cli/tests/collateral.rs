//! `soundproof collateral` and `verifier`, as a shell sees them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value;
use soundproof_attester::{
    Attester as _,
    software::{Options, Profile, SoftwarePlatform},
};
use soundproof_collateral::{Collateral, CollateralConfig, Kind, SourceConfig, Target};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, Document, FakeServices},
    gpu::GpuPki,
    pki::measured,
    session,
};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    time::SystemTime,
};
use tempfile::TempDir;

/// A machine, now.
fn platform(folder: &Path) -> SoftwarePlatform {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let keys = folder.join("keys");
    SoftwarePlatform::open_or_create(&keys, &measured(), Options::default(), now_ms).unwrap()
}

fn soundproof(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_soundproof"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A service in a runtime of its own, since the command is waited for.
fn service() -> (tokio::runtime::Runtime, FakeServices) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let service = runtime.block_on(FakeServices::start()).unwrap();
    (runtime, service)
}

#[test]
fn fetch_show_and_judge_by_it() {
    let folder = TempDir::new().unwrap();
    let platform = platform(folder.path());
    let (_runtime, service) = service();
    service.give_dcap(&platform.endorsements().unwrap().body.0);
    let source = format!("pccs={}", service.url);
    let fetch = [
        "--json",
        "collateral",
        "fetch",
        "--source",
        &source,
        "--out",
        "x.bundle",
    ];
    let by_family = [&fetch[..], &["--fmspc", "50524f4f4600"]].concat();
    let output = soundproof(folder.path(), &by_family);
    assert!(output.status.success(), "{output:?}");
    let report = json(&output);
    assert_eq!(report["items"][0]["key"], "dcap/tdx/50524f4f4600/platform");
    assert_eq!(report["items"][0]["holds_now"], true);
    // The same by evidence, of which only the statement is given.
    let trust = session::trust();
    let nonce = soundproof::protocol::id::Nonce([3; 32]);
    let transcript = session::transcript(nonce, &trust);
    let mut session = session::attest(&platform, &transcript, &trust, 0, 1).unwrap();
    let quote = folder.path().join("quote.bin");
    std::fs::write(quote, &session.evidence.statement.0).unwrap();
    let output = soundproof(folder.path(), &[&fetch[..], &["quote.bin"]].concat());
    assert_eq!(json(&output)["items"][0]["key"], report["items"][0]["key"]);
    let show = soundproof(folder.path(), &["collateral", "show", "x.bundle"]);
    let text = String::from_utf8(show.stdout).unwrap();
    assert!(
        text.contains("Intel TDX family 50524f4f4600") && text.contains("holds now"),
        "{text}"
    );
    // A session without endorsements is judged by the bundle.
    session.endorsements.body.0.clear();
    let evidence = folder.path().join("session.evidence");
    std::fs::write(evidence, soundproof::protocol::cbor::to_vec(&session)).unwrap();
    let policy = platform.policy("test", &trust).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let verify = [
        "verify",
        "evidence",
        "session.evidence",
        "--policy",
        "policy.toml",
    ];
    assert!(!soundproof(folder.path(), &verify).status.success());
    let with = [&verify[..], &["--collateral", "x.bundle"]].concat();
    let output = soundproof(folder.path(), &with);
    assert!(output.status.success(), "{output:?}");
}

/// A server's cache, and what `doctor` and `collateral show` say of it.
#[test]
fn a_cache_is_looked_at() {
    let folder = TempDir::new().unwrap();
    let platform = platform(folder.path());
    let (runtime, service) = service();
    service.give_dcap(&platform.endorsements().unwrap().body.0);
    let mut config = CollateralConfig::default();
    config.sources = vec![SourceConfig::new(Kind::Pccs, &service.url)];
    config.cache = Some(folder.path().join("cache"));
    let collateral = Collateral::new(config).unwrap();
    let looked = |arguments: &[&str]| {
        let output = soundproof(folder.path(), arguments);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let report: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        (output.status.code(), report)
    };
    let show = ["--json", "collateral", "show", "cache"];
    let doctor = ["--json", "doctor", "--collateral", "cache"];
    let endorsements = |report: &Value| {
        let checks = report["checks"].as_array().unwrap().clone();
        let ours = checks
            .into_iter()
            .filter(|one| one["name"] == "endorsements");
        ours.collect::<Vec<_>>()
    };
    // Empty: nothing to judge by.
    assert_eq!(looked(&show).0, Some(1));
    let (code, report) = looked(&doctor);
    assert_eq!((code, &report["healthy"]), (Some(1), &false.into()));
    let target = Target::from_key("dcap/tdx/50524f4f4600/platform").unwrap();
    let now = soundproof::now_ms();
    runtime.block_on(collateral.get(&target, now)).unwrap();
    let (code, report) = looked(&show);
    assert_eq!((code, &report["usable"]), (Some(0), &true.into()));
    assert_eq!(report["items"][0]["condition"], "good");
    assert_eq!(report["items"][0]["source"], service.url);
    let (code, report) = looked(&doctor);
    assert_eq!(code, Some(0), "{report}");
    let [check] = <[_; 1]>::try_from(endorsements(&report)).unwrap();
    assert_eq!(check["finding"], "good");
    let found = check["found"].as_str().unwrap();
    assert!(
        found.contains(&service.url) && found.contains("holds until"),
        "{found}"
    );
    // Ended: as if it had been offline since.
    let hour = 3_600_000;
    let year = 366 * 24 * hour;
    let old = SoftwarePlatform::with_profile(
        &folder.path().join("keys"),
        &measured(),
        Options::default(),
        &Profile::default(),
        now - 2 * year,
    );
    let old = old.unwrap().endorsements().unwrap().body.0;
    service.give_dcap(&old);
    let old = runtime.block_on(collateral.fetch_now(&target, now - 2 * year + hour));
    old.unwrap();
    let (code, report) = looked(&show);
    assert_eq!((code, &report["usable"]), (Some(1), &false.into()));
    assert_eq!(report["items"][0]["condition"], "ended");
    let (code, report) = looked(&doctor);
    assert_eq!(code, Some(1));
    let [check] = <[_; 1]>::try_from(endorsements(&report)).unwrap();
    assert_eq!(check["finding"], "bad");
    let remedy = check["remedy"].as_str().unwrap();
    assert!(remedy.contains("Offline for too long"), "{remedy}");
    // Not there at all.
    let (code, _) = looked(&["--json", "doctor", "--collateral", "nowhere"]);
    assert_eq!(code, Some(1));
}

/// A session's GPU is fetched for too, and what is missing of it is said.
#[test]
fn a_gpus_endorsements_are_fetched() {
    let folder = TempDir::new().unwrap();
    let platform = platform(folder.path());
    let (_runtime, service) = service();
    service.give_dcap(&platform.endorsements().unwrap().body.0);
    let pki = GpuPki::sound(soundproof::now_ms() / 1000);
    service.give_gpu(&pki);
    service.behave(Document::Ocsp, Behaviour::Status(404));
    let trust = session::trust();
    let nonce = soundproof::protocol::id::Nonce([3; 32]);
    let transcript = session::transcript(nonce, &trust);
    let mut session = session::attest(&platform, &transcript, &trust, 0, 1).unwrap();
    session.evidence.gpu = Some(pki.evidence(&[1; 32]));
    let evidence = folder.path().join("session.evidence");
    std::fs::write(evidence, soundproof::protocol::cbor::to_vec(&session)).unwrap();
    let sources = ["pccs", "rim", "ocsp"].map(|kind| format!("{kind}={}", service.url));
    let [pccs, rim, ocsp] = &sources;
    let mut fetch = vec![
        "--json",
        "collateral",
        "fetch",
        "session.evidence",
        "--out",
        "x.bundle",
    ];
    for source in [pccs, rim, ocsp] {
        fetch.extend(["--source", source.as_str()]);
    }
    let output = soundproof(folder.path(), &fetch);
    assert!(output.status.success(), "{output:?}");
    let report = json(&output);
    assert_eq!(report["items"].as_array().unwrap().len(), 3, "{report}");
    assert_eq!(report["missing"].as_array().unwrap().len(), 5, "{report}");
    service.behave(Document::Ocsp, Behaviour::Sound);
    let report = json(&soundproof(folder.path(), &fetch));
    assert_eq!(report["items"].as_array().unwrap().len(), 8, "{report}");
    assert!(report["missing"].is_null(), "{report}");
}

#[test]
fn what_cannot_be_fetched_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let (_runtime, service) = service();
    service.behave_always(&Behaviour::Status(404));
    let source = format!("pccs={}", service.url);
    let fetch = [
        "--json",
        "collateral",
        "fetch",
        "--out",
        "x.bundle",
        "--source",
        &source,
    ];
    let output = soundproof(
        folder.path(),
        &[&fetch[..], &["--fmspc", "50524f4f4600"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    let error = &json(&output)["error"];
    assert_eq!(error["code"], "endorsements_unavailable");
    assert!(
        error["what"].as_str().unwrap().contains(&service.url),
        "{error}"
    );
    assert!(error["what"].as_str().unwrap().contains("404"), "{error}");
    assert!(!error["remedy"].as_str().unwrap().is_empty());
    assert!(!folder.path().join("x.bundle").exists());
    for wrong in [
        &["--fmspc", "5052"][..],
        &[],
        &["--chip-id", "00"],
        &["--fmspc", "50524f4f4600", "--source", "ftp=x"],
    ] {
        let output = soundproof(folder.path(), &[&fetch[..], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?} {output:?}");
    }
    std::fs::write(folder.path().join("garbage"), "no bundle").unwrap();
    let output = soundproof(folder.path(), &["--json", "collateral", "show", "garbage"]);
    assert_eq!(json(&output)["error"]["code"], "bundle_invalid");
}

/// It says where it listens, what key it signs with, and ends when it is told
/// to; the key stays the same.
#[test]
fn a_verifier_listens_and_stops() {
    let folder = TempDir::new().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let serve = [
        "--json",
        "verifier",
        "serve",
        "--policies",
        "policies",
        "--key",
        "key",
    ];
    let output = soundproof(folder.path(), &serve);
    assert_eq!(
        json(&output)["error"]["code"],
        "policy_invalid",
        "none in it"
    );
    std::fs::write(policies.join("nothing.toml"), "").unwrap();
    let off = [&serve[..], &["--listen", "0.0.0.0:0"]].concat();
    assert_eq!(soundproof(folder.path(), &off).status.code(), Some(2));
    let start = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_soundproof"))
            .args(serve)
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        listening
    };
    let (first, second) = (start(), start());
    assert!(
        first["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(first["policies"][0], "nothing");
    assert_eq!(first["key"], second["key"]);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(folder.path().join("key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "the key is its owner's only");
}
