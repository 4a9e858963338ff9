//! Invariants 3 and 4: outside enclave memory the secret is nowhere; inside,
//! it is gone when the job is over.

use crate::world::{World, input_with, small};
use soundproof::{Event, Input, Observer};
use soundproof_testkit::secrets::{Needles, core_files};

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
    let needles = Needles::new(&[("a0", bytes)]).unwrap();
    let heard = std::sync::Mutex::new(String::new());
    let listen = |event: &Event<'_>| {
        heard.lock().unwrap().push_str(&format!("{event:?}\n"));
    };
    let client = world.client();
    let good = input_with(&text);
    let sent = Input::json(&good);
    client
        .prove_with(&small(), &sent, &Default::default(), Observer::new(&listen))
        .await
        .unwrap();
    // One that fails in the circuit: its error's text must not repeat inputs.
    let mut failing = good.clone();
    failing["z"] = serde_json::json!("0");
    let error = client
        .prove(&small(), Input::json(&failing))
        .await
        .unwrap_err();
    let mut wrong = good.clone();
    wrong["b"] = serde_json::json!("not a number");
    let refused = client
        .prove(&small(), Input::json(&wrong))
        .await
        .unwrap_err();
    // The sweep of a killed process and the wiping are asynchronous to the
    // outcome's arrival only by the time that the kernel takes.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{}{path}", world.server.url())).send();
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    let jobs = get("/v1/jobs").await.unwrap().text().await.unwrap();
    let texts = format!(
        "{}{error}{error:?}{refused}{refused:?}{metrics}{jobs}",
        heard.lock().unwrap()
    );

    // The search works: it finds a planted secret, in a file and in memory.
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
