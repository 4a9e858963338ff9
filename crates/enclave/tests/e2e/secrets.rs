//! Invariants 3 and 4: outside enclave memory the secret is nowhere; inside,
//! it is gone when the job is over.

use crate::world::{World, input_with, small};
use soundproof::{Event, Input, Observer, Program};
use soundproof_testkit::{
    secrets::{Needles, core_files},
    server::Kind,
};
use std::path::PathBuf;

/// A field element that nothing else will happen to be.
fn secret() -> ([u8; 32], String) {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes[0] = 0x1f; // below the modulus 0x3064…
    (bytes, format!("0x{}", hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Broken if anything wrote the witness down (a log line at trace level, a
/// temporary file, an error's text), or if a process kept it: the search finds
/// a planted secret, so it would find this one.
#[tokio::test]
async fn the_secret_is_in_no_file_log_event_or_live_memory() {
    let world = World::start();
    let (bytes, text) = secret();
    let good = input_with(&text);
    // Two that fail: an error's text must not repeat inputs.
    let (mut failing, mut wrong) = (good.clone(), good.clone());
    failing["z"] = serde_json::json!("0");
    wrong["b"] = serde_json::json!("not a number");
    leaves_no_trace(&world, &small(), &bytes, &text, &[good], &[failing, wrong]).await;
}

/// The same for a real identity: Semaphore's circuit of depth 20. Inputs and
/// circuit come from the folder that `cargo xtask test` names.
#[tokio::test]
async fn a_semaphore_identity_leaves_no_trace() {
    let Some(demo) = std::env::var_os("SOUNDPROOF_DEMO_DIR").map(PathBuf::from) else {
        println!("skipped: SOUNDPROOF_DEMO_DIR is not set; run cargo xtask test");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("node")
        .arg(demo.join("make-input.mjs"))
        .args(["--depth", "20", "--count", "2", "--out"])
        .arg(dir.path())
        .status();
    assert!(made.unwrap().success());
    let text = std::fs::read_to_string(dir.path().join("secret-0.txt")).unwrap();
    let bytes = big_endian(text.trim());
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap()
    };
    let good = read("input-0.json");
    let mut failing = good.clone();
    failing["merkleProofSiblings"].as_array_mut().unwrap().pop();
    let artifacts = demo.join("node_modules/@zk-kit/semaphore-artifacts");
    let file = |kind: &str| artifacts.join(format!("semaphore-20.{kind}"));
    let program = Program::circom(file("wasm"), file("zkey"), file("json")).unwrap();
    let world = World::start();
    leaves_no_trace(&world, &program, &bytes, text.trim(), &[good], &[failing]).await;
}

/// A decimal number below 2^256, as 32 bytes.
fn big_endian(decimal: &str) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    for digit in decimal.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    bytes
}

/// Proves `good`, fails with `bad`, and then searches everything.
async fn leaves_no_trace(
    world: &World,
    program: &Program,
    secret: &[u8; 32],
    text: &str,
    good: &[serde_json::Value],
    bad: &[serde_json::Value],
) {
    let needles = Needles::new(&[("secret", *secret)]).unwrap();
    let heard = std::sync::Mutex::new(String::new());
    let listen = |event: &Event<'_>| {
        heard.lock().unwrap().push_str(&format!("{event:?}\n"));
    };
    let client = world.client();
    for input in good {
        let (input, options) = (Input::json(input), Default::default());
        client
            .prove_with(program, &input, &options, Observer::new(&listen))
            .await
            .unwrap();
    }
    for input in bad {
        let error = client.prove(program, Input::json(input)).await.unwrap_err();
        heard
            .lock()
            .unwrap()
            .push_str(&format!("{error}\n{error:?}\n"));
    }
    // The end of a killed process lags behind the outcome's arrival.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{}{path}", world.server.url())).send();
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    let jobs = get("/v1/jobs").await.unwrap().text().await.unwrap();
    let missing = get("/v1/jobs/none").await.unwrap().text().await.unwrap();
    let texts = format!("{}{metrics}{jobs}{missing}", heard.lock().unwrap());

    // The search works: it finds a planted secret.
    let planted = tempfile::tempdir().unwrap();
    std::fs::write(planted.path().join("planted"), format!("x{text}y")).unwrap();
    assert!(!needles.folder(planted.path()).unwrap().hits.is_empty());

    let hits = |report: soundproof_testkit::secrets::Report, what: &str| {
        assert!(report.bytes > 0, "{what}: nothing was searched");
        assert!(report.hits.is_empty(), "{what}: {:?}", report.hits);
    };
    hits(
        needles.bytes("events, errors, metrics", texts.as_bytes()),
        "texts",
    );
    hits(needles.folder(world.server.data()).unwrap(), "data");
    hits(needles.folder(world.server.logs()).unwrap(), "logs");
    if !rustix::process::geteuid().is_root() {
        println!("the processes' memory was not searched: only root may read it");
        return;
    }
    let mut pids: Vec<u32> = world
        .server
        .children()
        .unwrap()
        .iter()
        .map(|(pid, _)| *pid)
        .collect();
    pids.push(world.server.keeper());
    assert!(pids.len() >= 3, "keeper, gateway and provers: {pids:?}");
    for pid in pids {
        hits(
            needles.process(pid).unwrap(),
            &format!("memory of {}", name(pid)),
        );
    }
}

fn name(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!(
        "{pid} {}",
        String::from_utf8_lossy(&line).replace('\0', " ")
    )
}

/// Also as root a gateway that was taken over may not trace the keeper. Broken
/// if any of its threads kept CAP_SYS_PTRACE.
#[tokio::test]
async fn the_gateway_may_look_into_no_process() {
    const NET_BIND_SERVICE: u64 = 1 << 10;
    let world = World::start();
    let gateways = world.server.pids(Kind::Gateway).unwrap();
    let gateway = gateways.first().unwrap();
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{gateway}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(value(set) & !NET_BIND_SERVICE, 0, "{set} {status}");
        }
        assert_eq!(value("NoNewPrivs:"), 1);
        threads += 1;
    }
    assert!(threads > 1, "its runtime has threads");
}

/// The search of memory finds a secret that a live process holds: this one's
/// child, which reads it and waits.
#[test]
fn the_search_finds_a_secret_in_a_live_process() {
    use std::io::Write as _;
    let (bytes, text) = secret();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "read secret; read wait"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{text}").unwrap();
    let needles = Needles::new(&[("planted", bytes)]).unwrap();
    let mut found = false;
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        found = !needles.process(child.id()).unwrap().hits.is_empty();
        if found {
            break;
        }
    }
    drop(stdin);
    let _ = child.wait();
    assert!(found);
}

#[tokio::test]
async fn a_crash_leaves_no_core_file() {
    let mut world = World::start();
    let (_, text) = secret();
    world.prove(&input_with(&text)).await;
    let (data, logs) = (
        world.server.data().to_owned(),
        world.server.logs().to_owned(),
    );
    let own = std::env::current_dir().unwrap();
    // A crash as such crashes: SIGSEGV, whose default action is a core dump.
    for (pid, _) in world.server.children().unwrap() {
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::SEGV);
    }
    let pid = rustix::process::Pid::from_raw(world.server.keeper() as i32).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap()
        .to_owned();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    rustix::process::kill_process(pid, rustix::process::Signal::SEGV).unwrap();
    let _ = world.server.kill_keeper();
    let found = core_files(&[&data, &logs, &own]).unwrap();
    assert!(found.is_empty(), "{found:?}");
}
