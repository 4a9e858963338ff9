//! `soundproof connect` in front of the real processes, with a prover that
//! proves nothing: the SDK's calls, who is let in, and what is refused.

use crate::{
    sp1_sdk::{
        CORE, FAILED_PRECONDITION, GROTH16, NOT_FOUND, PERMISSION_DENIED, Sdk, UNAVAILABLE, elf,
        random, vk_hash,
    },
    world::World,
};
use soundproof::{
    Beside, Client, Error, Policy,
    protocol::{
        digest::{Digest, Hasher},
        receipt::Bundle,
    },
    verify_bundle,
};
use soundproof_sp1_proxy::{Door, Proxy, ProxyError, Receipts, Rhythm, Settings};
use soundproof_testkit::server::{Kind, ServerOptions, executable};
use std::{
    ffi::OsStr,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Quick enough for tests; what they assert does not depend on it.
const RHYTHM: Rhythm = Rhythm {
    look: Duration::from_millis(200),
    margin: Duration::from_secs(90),
};

pub(crate) fn options() -> ServerOptions {
    ServerOptions {
        provers: vec![("sp1".into(), "soundproof-fake-sp1".into())],
        ..ServerOptions::default()
    }
}

/// What the fake prover makes of a program and an input.
pub(crate) fn expected(mode: &str, elf: &[u8], stdin: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new();
    for piece in [mode.as_bytes(), &vk_hash(elf), &Digest::of(stdin).0] {
        hasher.update(piece);
    }
    [&b"a fake proof "[..], &hasher.finish().0].concat()
}

async fn start(client: Client, acknowledged: bool) -> Result<(Proxy, Arc<Receipts>), ProxyError> {
    let receipts = Arc::new(Receipts::in_memory());
    let proxy = with(client, acknowledged, receipts.clone()).await?;
    Ok((proxy, receipts))
}

async fn with(
    client: Client,
    acknowledges_not_hiding: bool,
    receipts: Arc<Receipts>,
) -> Result<Proxy, ProxyError> {
    let settings = Settings {
        client,
        acknowledges_not_hiding,
        door: Door::open(([127, 0, 0, 1], 0).into(), None).await.unwrap(),
        receipts,
        rhythm: RHYTHM,
    };
    Ok(Proxy::start(settings).await?.0)
}

/// Broken if the unmodified SDK's calls led to no proof, to another one, or
/// to one without a receipt that anybody can check.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_calls_lead_to_a_proof_and_a_receipt() {
    let world = World::with(&options());
    let folder = tempfile::tempdir().unwrap();
    let receipts = Arc::new(Receipts::in_folder(folder.path().join("receipts")).unwrap());
    let proxy = with(world.client(), true, receipts.clone()).await.unwrap();
    let sdk = Sdk::new(proxy.url());
    let (elf, stdin) = (elf(), random(3 << 20));
    // The second finds the program registered.
    for (mode, name) in [(CORE, "core"), (GROTH16, "groth16")] {
        let proof = sdk.prove(&elf, &stdin, mode).await;
        assert_eq!(proof, expected(name, &elf, &stdin));
    }
    let kept = receipts.list();
    assert_eq!(kept.len(), 2);
    let mut names: Vec<String> = std::fs::read_dir(folder.path().join("receipts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut expected_names: Vec<String> = kept
        .iter()
        .map(|kept| format!("{}.bundle", hex::encode(kept.request)))
        .collect();
    expected_names.sort();
    assert_eq!(names, expected_names, "receipts and nothing else");
    for kept in kept {
        for mode in ["core", "groth16"] {
            let proof = expected(mode, &elf, &stdin);
            let mut written = kept.bundle.windows(proof.len());
            assert!(!written.any(|window| window == proof));
        }
        let bundle = Bundle::from_slice(&kept.bundle).unwrap();
        let now = soundproof::now_ms();
        let report = verify_bundle(&bundle, &Beside::default(), &world.policy, now).unwrap();
        assert!(report.accepted, "{:?}", report.problems);
        let (proof, key) = (report.proof, report.verifying_key.unwrap());
        assert!(
            ["core", "groth16"]
                .iter()
                .any(|mode| Digest::of(&expected(mode, &elf, &stdin)) == proof)
        );
        assert_eq!(key, hex::encode(vk_hash(&elf)));
    }
    proxy.stop().await;
}

/// Broken if a proof that may reveal its input could be had unknowingly.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hide_must_be_acknowledged_and_the_text_says_how() {
    let world = World::with(&options());
    let (proxy, _) = start(world.client(), false).await.unwrap();
    let sdk = Sdk::new(proxy.url());
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    for (mode, text) in [
        (CORE, "--acknowledge-not-hiding"),
        (2, "--acknowledge-not-hiding"),
        (3, "the fake has no circuit files"),
    ] {
        let refused = sdk.request(vk_hash(&elf), b"x", mode).await.unwrap_err();
        assert_eq!(refused.code, FAILED_PRECONDITION);
        assert!(refused.text.contains(text), "{}", refused.text);
    }
    let proof = sdk.prove(&elf, b"an input", GROTH16).await;
    assert_eq!(proof, expected("groth16", &elf, b"an input"));
}

/// Broken if a program were taken for another, or a failure's words came out.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_clear_and_a_substituted_program_is_forgotten() {
    let world = World::with(&options());
    let (proxy, receipts) = start(world.client(), true).await.unwrap();
    let sdk = Sdk::new(proxy.url());
    let (elf, other) = (elf(), [&elf()[..], b"another"].concat());
    // Somebody registered another program under this key.
    sdk.register(&other, vk_hash(&elf)).await.unwrap();
    let id = sdk.request(vk_hash(&elf), b"x", CORE).await.unwrap();
    assert_eq!(sdk.end(&id).await, None);
    let gone = sdk.request(vk_hash(&elf), b"x", CORE).await.unwrap_err();
    assert_eq!(gone.code, NOT_FOUND, "{}", gone.text);
    // Registered anew, all is well.
    let proof = sdk.prove(&elf, b"x", CORE).await;
    assert_eq!(proof, expected("core", &elf, b"x"));
    let id = sdk.request(vk_hash(&elf), b"panic", CORE).await.unwrap();
    assert_eq!(sdk.end(&id).await, None);
    // One that would take an hour is stopped, and its place is free.
    let id = sdk.request(vk_hash(&elf), b"sleep", CORE).await.unwrap();
    sdk.cancel(&id).await.unwrap();
    assert_eq!(sdk.end(&id).await, None);
    let proof = sdk.prove(&elf, b"y", CORE).await;
    assert_eq!(proof, expected("core", &elf, b"y"));
    assert_eq!(receipts.list().len(), 2);
}

/// A gateway that is killed is there again; whoever waits gets the proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_or_prover_costs_no_proof() {
    let world = World::with(&options());
    let (proxy, _) = start(world.client(), true).await.unwrap();
    let sdk = Sdk::new(proxy.url());
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    let id = sdk
        .request(vk_hash(&elf), &random(1 << 20), CORE)
        .await
        .unwrap();
    let gateway = world.server.gateway().unwrap().unwrap();
    world.server.kill_child(gateway).unwrap();
    assert!(sdk.end(&id).await.is_some());
    for prover in world.server.pids(Kind::Prover).unwrap() {
        world.server.kill_child(prover).unwrap();
    }
    let proof = sdk.prove(&elf, b"z", CORE).await;
    assert_eq!(proof, expected("core", &elf, b"z"));
}

/// Broken if anything were served while the verdict is not accept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_before_evidence_is_accepted() {
    let world = World::with(&options());
    let strict = Client::new(world.server.url(), Policy::default()).unwrap();
    let Err(ProxyError::Server(Error::Rejected(verdict))) = start(strict, true).await else {
        panic!("a policy that accepts nothing accepted");
    };
    assert!(verdict.failures().next().is_some());
}

/// A way to the server that can be led elsewhere.
struct Way(Arc<Mutex<Option<SocketAddr>>>);

impl Way {
    async fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to = Arc::new(Mutex::new(None));
        let leads = to.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to: Option<SocketAddr> = *leads.lock().unwrap();
                tokio::spawn(async move {
                    let Some(to) = to else { return };
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut there).await;
                    }
                });
            }
        });
        (Self(to), url)
    }

    fn to(&self, url: Option<&str>) {
        let address = url.map(|url| url.strip_prefix("http://").unwrap().parse().unwrap());
        *self.0.lock().unwrap() = address;
    }
}

/// Broken if a server that is another one than was accepted got an input.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_changes_stops_everything_and_an_absence_is_passing() {
    let accepted = World::with(&options());
    let (way, url) = Way::open().await;
    way.to(Some(accepted.server.url()));
    let client = Client::new(url, accepted.policy.clone()).unwrap();
    let (proxy, _) = start(client, true).await.unwrap();
    let sdk = Sdk::new(proxy.url());
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    let waiting = sdk.request(vk_hash(&elf), b"sleep", CORE).await.unwrap();

    // Nobody is there: the SDK is told to try again.
    way.to(None);
    drop(accepted);
    let text = refused_with(&sdk, UNAVAILABLE).await;
    assert!(!text.is_empty());

    // Somebody else is: the SDK is told why, at once, whatever it asks for.
    let other = World::with(&options());
    way.to(Some(other.server.url()));
    let text = refused_with(&sdk, FAILED_PRECONDITION).await;
    assert!(text.contains("rejected by your policy"), "{text}");
    for mode in [CORE, GROTH16] {
        let refused = sdk.request(vk_hash(&elf), b"x", mode).await.unwrap_err();
        assert_eq!(refused.code, FAILED_PRECONDITION);
    }
    // The request that was under way ends in the open, without a proof.
    assert_eq!(sdk.end(&waiting).await, None);
    assert!(jobs(&other).await.is_empty(), "something was sent");
}

/// Until a call that takes something is refused with this code.
async fn refused_with(sdk: &Sdk, code: i32) -> String {
    loop {
        match sdk.artifact(2).await {
            Err(refused) if refused.code == code => return refused.text,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn jobs(world: &World) -> Vec<String> {
    let list = world.client().jobs(10, None, None).await.unwrap();
    list.jobs.iter().map(|job| job.id.to_string()).collect()
}

/// Broken if a web page, or a name that was rebound to loopback, gets an
/// answer from the network behind the door.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_knocks_in_vain() {
    let world = World::with(&options());
    let (proxy, _) = start(world.client(), true).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/sp1/artifacts/{}", proxy.url(), "0".repeat(64));
    let own = proxy.url().strip_prefix("http://").unwrap();
    let port = own.rsplit_once(':').unwrap().1;
    let localhost = format!("localhost:{port}");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", proxy.url()),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
        ("host", &localhost),
        ("host", "127.0.0.1:1"),
    ] {
        let request = http.put(&url).header(name, value).body("x");
        let status = request.send().await.unwrap().status();
        assert_eq!(status, 403, "{name}: {value}");
    }
    let status = http.put(&url).body("x").send().await.unwrap().status();
    assert_eq!(status, 404, "its own user's request");
    let sdk = Sdk::new(&proxy.url().replace("127.0.0.1", "localhost"));
    let refused = sdk.nonce().await.unwrap_err();
    assert_eq!(refused.code, PERMISSION_DENIED);
    assert!(refused.text.contains(proxy.url()), "{}", refused.text);
}

fn connect(world: &World) -> Command {
    let mut command = Command::new(executable(OsStr::new("soundproof")).unwrap());
    command
        .arg("connect")
        .arg(world.server.url())
        .arg("--policy")
        .arg(world.server.policy().unwrap())
        .stdin(Stdio::null());
    command
}

/// The command gets the URL, its output stays its own, and its exit code is
/// the proxy's.
#[test]
fn a_command_runs_with_the_url_and_its_exit_code_comes_back() {
    let world = World::with(&options());
    let output = connect(&world)
        .args(["--", "sh", "-c"])
        .arg("echo $NETWORK_RPC_URL; echo $SOUNDPROOF_RPC_URL; echo $NO_PROXY; exit 7")
        .env("NO_PROXY", "example.org")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let port: u16 = lines[0]
        .strip_prefix("http://127.0.0.1:")
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(port, 0);
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[2], "example.org,127.0.0.1,::1");

    // A signal that asks it to stop is the command's to obey.
    let mut running = connect(&world)
        .args(["--", "sh", "-c"])
        .arg("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(running.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(9));
    let killed = connect(&world)
        .args(["--", "sh", "-c", "kill -9 $$"])
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), Some(128 + 9));
}

/// Broken if a command were started in front of a server that is rejected.
#[test]
fn a_rejected_server_starts_no_command() {
    let world = World::with(&options());
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[platform.tdx]\n").unwrap();
    let mark = folder.path().join("mark");
    let output = Command::new(executable(OsStr::new("soundproof")).unwrap())
        .args(["connect", world.server.url(), "--policy"])
        .arg(&policy)
        .args(["--", "touch"])
        .arg(&mark)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!mark.exists());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("platform") && text.contains("what to do"),
        "{text}"
    );
    // Without a command it says so, too, and ends.
    let output = Command::new(executable(OsStr::new("soundproof")).unwrap())
        .args(["--json", "connect", world.server.url(), "--policy"])
        .arg(&policy)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["error"]["code"], "evidence_rejected");
}

/// What a script needs to know stands on one line, a token too.
#[test]
fn without_a_command_it_says_where_it_listens_until_it_is_stopped() {
    let world = World::with(&options());
    let mut running = connect(&world)
        .args(["--json", "--token"])
        .env_remove("SOUNDPROOF_TOKEN")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(running.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let report: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["event"], "listening");
    assert_eq!(report["offered"], serde_json::json!(["groth16"]));
    let url = report["url"].as_str().unwrap();
    let mut sdk = Sdk::new(url);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(sdk.nonce()).unwrap_err();
    assert!(refused.text.contains("401"), "{refused:?}");
    sdk.token = Some(report["token"].as_str().unwrap().into());
    runtime.block_on(sdk.nonce()).unwrap();
    let proof = runtime.block_on(sdk.prove(&elf(), b"x", GROTH16));
    assert_eq!(proof, expected("groth16", &elf(), b"x"));
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
}
