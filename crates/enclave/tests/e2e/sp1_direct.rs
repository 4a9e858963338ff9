//! The direct path in the real processes, with a prover that proves nothing:
//! the SDK straight to the enclave, what it leaves on the disk, and what is
//! left of it after a crash.

use crate::{
    sp1_connect::{expected, options},
    sp1_sdk::{
        CORE, GROTH16, NOT_FOUND, PERMISSION_DENIED, Sdk, UNIMPLEMENTED, elf, random, vk_hash,
    },
    world::World,
};
use soundproof::{Beside, protocol::receipt::Bundle, verify_bundle};
use soundproof_testkit::server::{ServerOptions, ServerProcess};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

const WINDOW: usize = 16;

fn direct() -> ServerOptions {
    ServerOptions {
        args: vec!["--sp1-direct".into()],
        ..options()
    }
}

/// The enclave says so as soon as it is ready for the SDK.
async fn ready(sdk: &Sdk) {
    while sdk.artifact(2).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Broken if the SDK got no proof, or a receipt that claims an appraisal.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_gets_its_proof_and_the_receipt_says_that_nobody_appraised() {
    let world = World::with(&direct());
    let sdk = Sdk::new(world.server.url());
    ready(&sdk).await;
    let (elf, stdin) = (elf(), random(3 << 20));
    let proof = sdk.prove(&elf, &stdin, GROTH16).await;
    assert_eq!(proof, expected("groth16", &elf, &stdin));
    let id = sdk.request(vk_hash(&elf), b"y", CORE).await.unwrap();
    let url = sdk.end(&id).await.unwrap();
    assert!(url.starts_with(world.server.url()), "{url}");
    let proof = sdk.get(&url).await.bytes().await.unwrap();
    assert_eq!(proof, expected("core", &elf, b"y"));

    let receipt = |id: &[u8]| format!("{}/sp1/receipts/{}", world.server.url(), hex::encode(id));
    let bundle = sdk.get(&receipt(&id)).await.bytes().await.unwrap();
    let bundle = Bundle::from_slice(&bundle).unwrap();
    let now = soundproof::now_ms();
    let report = verify_bundle(&bundle, &Beside::default(), &world.policy, now).unwrap();
    assert!(!report.client_appraised && !report.accepted);
    let beside = Beside {
        proof: Some(&proof),
        verifying_key: Some(vk_hash(&elf)),
        danger_unappraised: true,
        ..Beside::default()
    };
    let report = verify_bundle(&bundle, &beside, &world.policy, now).unwrap();
    assert!(report.accepted, "{:?}", report.problems);
    assert_eq!(sdk.get(&receipt(&[0; 32])).await.status(), 404);
}

/// Broken if the path were there without the operator's word.
#[tokio::test(flavor = "multi_thread")]
async fn off_by_default_and_the_answer_says_what_to_do() {
    let world = World::with(&options());
    let sdk = Sdk::new(world.server.url());
    let refused = sdk.nonce().await.unwrap_err();
    assert_eq!(refused.code, UNIMPLEMENTED);
    assert!(
        refused.text.contains("soundproof connect"),
        "{}",
        refused.text
    );
    assert!(!world.server.data().join("sp1-direct").exists());
    let url = format!("{}/sp1/artifacts/{}", world.server.url(), "0".repeat(64));
    assert_eq!(sdk.put(&url, vec![1]).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_requesters_on_the_list_are_served() {
    let listed = Sdk::new("http://127.0.0.1");
    let mut options = direct();
    options
        .args
        .extend(["--sp1-requester".into(), listed.address.to_string().into()]);
    let world = World::with(&options);
    let listed = listed.at(world.server.url());
    ready(&listed).await;
    listed.prove(&elf(), b"x", GROTH16).await;
    let stranger = Sdk::new(world.server.url());
    let refused = stranger.artifact(2).await.unwrap_err();
    assert_eq!(refused.code, PERMISSION_DENIED);
}

/// Every window of a secret that lies in one of the files below a folder.
fn found(secret: &[u8], folder: &Path) -> (u64, Vec<(PathBuf, usize)>) {
    let windows: HashSet<&[u8]> = secret.windows(WINDOW).collect();
    let (mut bytes, mut hits) = (0, Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // One that goes away meanwhile holds nothing.
            let Ok(content) = std::fs::read(&path) else {
                continue;
            };
            bytes += content.len() as u64;
            let hit = content
                .windows(WINDOW)
                .position(|window| windows.contains(window));
            hits.extend(hit.map(|at| (path, at)));
        }
    }
    (bytes, hits)
}

/// Broken if 16 bytes in a row of an input, as it came or as hexadecimal,
/// lay anywhere in the store or a log, at any time of a request's life.
#[tokio::test(flavor = "multi_thread")]
async fn no_window_of_an_input_lies_on_the_disk_or_in_a_log() {
    let world = World::with(&direct());
    let sdk = Sdk::new(world.server.url());
    ready(&sdk).await;
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    // The fake sleeps on it, so that it is searched for while it is kept.
    let mut secret = random(2 << 20);
    // Framed as zstd would be: what the prover makes of it does not matter.
    secret.splice(..4, [0x28, 0xb5, 0x2f, 0xfd]);
    let slow = [b"sleep", &secret[..]].concat();
    let stash = world.server.data().join("sp1-direct/stash");
    let search = |secret: &[u8]| {
        let hexadecimal = hex::encode(&secret[..4096]).into_bytes();
        let mut searched = 0;
        for folder in [world.server.data(), world.server.logs()] {
            for needle in [secret, &hexadecimal] {
                let (bytes, hits) = found(needle, folder);
                assert_eq!(hits, []);
                searched += bytes;
            }
        }
        searched
    };
    let (uri, url) = sdk.artifact(2).await.unwrap();
    assert_eq!(sdk.put(&url, slow.clone()).await, 200);
    assert!(largest(&stash) as usize > slow.len(), "it is there, sealed");
    assert!(search(&slow) > slow.len() as u64);
    let id = sdk.ask(vk_hash(&elf), uri, CORE).await.unwrap();
    let quick = sdk.request(vk_hash(&elf), &secret, CORE).await.unwrap();
    search(&slow);
    sdk.cancel(&id).await.unwrap();
    assert_eq!(sdk.end(&id).await, None);
    assert!(sdk.end(&quick).await.is_some());
    search(&secret);
    // The search finds what is there.
    std::fs::write(
        world.server.logs().join("control"),
        &slow[100..100 + WINDOW],
    )
    .unwrap();
    let (_, hits) = found(&slow, world.server.logs());
    assert_eq!(hits, [(world.server.logs().join("control"), 0)]);
    // And what ended is kept no longer than its proof.
    while largest(&stash) as usize > slow.len() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn largest(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .max()
        .unwrap_or(0)
}

/// A gateway that is killed takes up from its journal what it had accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_loses_no_request() {
    let world = World::with(&direct());
    let sdk = Sdk::new(world.server.url());
    ready(&sdk).await;
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    for pause in [0, 5, 50, 500] {
        let stdin = random(1 << 20);
        let id = sdk.request(vk_hash(&elf), &stdin, CORE).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let gateway = world.server.gateway().unwrap().unwrap();
        world.server.kill_child(gateway).unwrap();
        let url = sdk.end(&id).await.expect("a proof");
        let proof = sdk.get(&url).await.bytes().await.unwrap();
        assert_eq!(proof, expected("core", &elf, &stdin), "{pause}");
    }
    // The program is known still: no second upload.
    sdk.prove(&elf, b"x", CORE).await;
}

/// With the keeper its secret goes, and all that was sealed under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_takes_everything_along_and_the_sdk_is_told() {
    let home = tempfile::tempdir().unwrap();
    let options = ServerOptions {
        data: Some(home.path().join("data")),
        pki: Some(home.path().join("pki")),
        ..direct()
    };
    let mut server = ServerProcess::start(&options).unwrap();
    let sdk = Sdk::new(server.url());
    ready(&sdk).await;
    let elf = elf();
    sdk.register(&elf, vk_hash(&elf)).await.unwrap();
    let id = sdk.request(vk_hash(&elf), b"sleep", CORE).await.unwrap();
    let folder = |name: &str| home.path().join("data/sp1-direct").join(name);
    let files = |name: &str| std::fs::read_dir(folder(name)).unwrap().count();
    assert!(files("stash") > 0 && files("journal") > 0);
    server.kill_keeper().unwrap();

    let server = ServerProcess::start(&options).unwrap();
    let sdk = sdk.at(server.url());
    ready(&sdk).await;
    let gone = sdk.status(&id).await.unwrap_err();
    assert_eq!(gone.code, NOT_FOUND, "{}", gone.text);
    assert_eq!(files("stash"), 0, "swept");
    // The SDK finds the program unknown, registers it, and all is well.
    let proof = sdk.prove(&elf, b"x", CORE).await;
    assert_eq!(proof, expected("core", &elf, b"x"));
}
