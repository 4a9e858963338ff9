//! A large input goes up in parts, is cut, resumes; the gateway's memory does
//! not grow with it.

use crate::world::{World, small};
use soundproof::{Event, Input, JobOptions, Observer, protocol::error::Code};
use soundproof_testkit::server::{ServerOptions, executable};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// MiB of the input; the full check sets 2048.
fn size_mib() -> u64 {
    std::env::var("SOUNDPROOF_LARGE_MIB")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(256)
}

/// Most memory that a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_input_is_cut_resumes_and_ends_with_its_size_code() {
    let dir = tempfile::tempdir().unwrap();
    // The prover takes less than what is sent.
    let prover = executable("soundproof-prover-groth16".as_ref()).unwrap();
    let config = dir.path().join("config.toml");
    let text = format!("[prover.groth16]\nexecutable = {prover:?}\nmax_input_bytes = 67108864\n");
    std::fs::write(&config, text).unwrap();
    let world = World::with(&ServerOptions {
        provers: vec![],
        args: vec!["--config".into(), config.into()],
        ..ServerOptions::default()
    });
    let path = dir.path().join("large");
    let mut file = std::fs::File::create(&path).unwrap();
    let block = vec![b' '; 1 << 20];
    for _ in 0..size_mib() {
        file.write_all(&block).unwrap();
    }
    drop(file);

    let client = world.client();
    let session = std::sync::Arc::new(client.open_session().await.unwrap());
    let mut upload = client
        .upload(
            &session,
            &small(),
            &Input::file(&path),
            &JobOptions::default(),
        )
        .unwrap();
    let gateway = world.server.gateway().unwrap().unwrap();
    let before = peak_kib(gateway);

    // Cut half-way: the call is dropped with its connections.
    let half = size_mib() << 19;
    let reached = AtomicBool::new(false);
    let watch = |event: &Event<'_>| {
        if let Event::Uploaded { bytes, .. } = event
            && *bytes > half
        {
            reached.store(true, Ordering::Relaxed);
        }
    };
    {
        let observer = Observer::new(&watch);
        let run = upload.run(observer);
        tokio::pin!(run);
        loop {
            tokio::select! {
                done = &mut run => panic!("not cut: {:?}", done.map(|_| ())),
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                    if reached.load(Ordering::Relaxed) { break }
                }
            }
        }
    }
    let submitted = upload.run(Default::default()).await.unwrap();
    let grown = peak_kib(gateway).saturating_sub(before);
    let error = submitted.wait(Default::default()).await.unwrap_err();
    assert!(matches!(error.code(), Code::InputTooLarge), "{error}");
    println!(
        "{} MiB went up; the gateway grew by {grown} KiB",
        size_mib()
    );
    assert!(grown <= 64 * 1024, "the gateway grew by {grown} KiB");
}
