//! Bad input through the whole stack: a clear error with its code, the server
//! up, other jobs untouched.

use crate::world::{MODULUS, World, fixture, input, small};
use soundproof::{
    Error, Input, JobOptions, Program,
    protocol::{
        description::Limits,
        error::{Code, Fault},
    },
};
use std::path::Path;

async fn fails_with(world: &World, program: &Program, input: Input, code: Code) -> Error {
    let error = world.client().prove(program, input).await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    error
}

/// Every case fails alone: after all of them a good job still succeeds, on the
/// same server.
#[tokio::test]
async fn bad_signals_and_failed_assertions() {
    let world = World::start();
    let program = small();
    let edit = |path: &str, value: serde_json::Value| {
        let mut input = input();
        match value {
            serde_json::Value::Null => drop(input.as_object_mut().unwrap().remove(path)),
            value => input[path] = value,
        }
        Input::json(&input)
    };
    let json = |value| serde_json::json!(value);
    for (path, value, code) in [
        ("b", serde_json::Value::Null, Code::SignalMissing),
        ("extra", json("1"), Code::SignalUnknown),
        ("b", json("x"), Code::SignalNotNumeric),
        ("b", json(MODULUS), Code::SignalOutOfField),
        ("z", json("0"), Code::ConstraintFailed),
        ("b", json("1000"), Code::ConstraintFailed),
    ] {
        let error = fails_with(&world, &program, edit(path, value), code).await;
        assert_eq!(error.fault(), Fault::Client);
        assert!(!error.retryable());
    }
    let mut short = input();
    short["a"] = json("1");
    fails_with(&world, &program, Input::json(&short), Code::SignalCount).await;
    fails_with(
        &world,
        &program,
        Input::bytes(b"not json".to_vec()),
        Code::InputMalformed,
    )
    .await;
    world.prove(&input()).await;
}

/// The circuit's line is in the sealed outcome only: the client sees it, the
/// server's logs and answers do not hold it.
#[tokio::test]
async fn the_line_of_a_failed_assertion_is_for_the_client_only() {
    let world = World::start();
    let mut bad = input();
    bad["b"] = serde_json::json!("1000");
    let error = world
        .client()
        .prove(&small(), Input::json(&bad))
        .await
        .unwrap_err();
    let text = format!("{error}\n{error:?}");
    assert!(
        text.contains("Small"),
        "the template is named to the client: {text}"
    );
    let log = std::fs::read_to_string(world.server.logs().join("stderr")).unwrap();
    assert!(!log.contains("Small") && !log.contains("constraint_failed"));
}

fn program(wasm: Vec<u8>, zkey: Vec<u8>) -> Program {
    Program::circom(wasm, zkey, Path::new(&fixture("small.vkey.json"))).unwrap()
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

#[tokio::test]
async fn bad_programs_fail_and_harm_no_other_job() {
    let world = World::start();
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let zkey = read("small.zkey");
    let mut cut = zkey.clone();
    cut.truncate(zkey.len() / 2);
    for (wasm, zkey, code) in [
        (b"no wasm".to_vec(), zkey.clone(), Code::WasmInvalid),
        (
            wat(
                r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
            ),
            zkey.clone(),
            Code::WasmForbiddenImport,
        ),
        (read("small.wasm"), cut, Code::ZkeySize),
        (read("small.wasm"), vec![b'x'; 200], Code::ZkeyInvalid),
    ] {
        fails_with(&world, &program(wasm, zkey), Input::json(&input()), code).await;
    }
    world.prove(&input()).await;
}

/// A witness generator that loops for ever runs into its limit while another
/// job, submitted after it, is done.
#[tokio::test]
async fn a_wasm_that_loops_for_ever_ends_and_delays_nobody_for_ever() {
    let world = World::start();
    let program = crate::world::looping();
    let options = JobOptions {
        limits: Limits {
            time_ms: 2_000,
            ..Limits::default()
        },
        ..JobOptions::default()
    };
    let client = world.client();
    let submitted = client
        .submit(
            &program,
            &Input::json(&input()),
            &options,
            Default::default(),
        )
        .await
        .unwrap();
    let good_input = input();
    let (bad, good) = tokio::join!(submitted.wait(Default::default()), world.prove(&good_input));
    small().verify(&good.proof, &good.public_values).unwrap();
    let code = bad.unwrap_err().code();
    assert!(
        matches!(code, Code::TimeLimit | Code::WasmInvalid),
        "{code}"
    );
}

/// A verifying key of another circuit: no proof is released (invariant 6;
/// broken if the prover verified under the key in the zkey).
#[tokio::test]
async fn a_verifying_key_that_is_not_the_zkeys_gives_no_proof() {
    let world = World::start();
    let vkey: serde_json::Value = serde_json::from_slice(&read("small.vkey.json")).unwrap();
    let mut other = vkey.clone();
    // Another point of the curve in the place of one: still well formed.
    other["IC"][0] = vkey["IC"][1].clone();
    let other = serde_json::to_vec(&other).unwrap();
    let program = Program::circom(read("small.wasm"), read("small.zkey"), other).unwrap();
    fails_with(&world, &program, Input::json(&input()), Code::VkeyMismatch).await;
}

/// A blob that changes on disk after it was hashed is found out in the
/// enclave, which hashes what it copies.
#[tokio::test]
async fn a_blob_that_changes_on_disk_is_refused() {
    let world = World::start();
    let client = world.client();
    // Uploaded with a job that waits for its input, so that no process has
    // loaded the program yet.
    let session = std::sync::Arc::new(client.open_session().await.unwrap());
    let program = small();
    let mut upload = client
        .upload(
            &session,
            &program,
            &Input::json(&input()),
            &JobOptions::default(),
        )
        .unwrap();
    let blobs = find_blobs(world.server.data(), &read("small.wasm"));
    assert!(blobs.is_empty(), "nothing is there before the job");
    // Put the parts only.
    let http = reqwest::Client::new();
    for (name, (_, digest, _)) in ["small.zkey", "small.vkey.json", "small.wasm"]
        .iter()
        .zip(sorted(&program))
    {
        let url = format!("{}/v1/blobs/{digest}", world.server.url());
        let reply = http.put(url).body(read(name)).send().await.unwrap();
        assert!(
            reply.status().is_success(),
            "{}",
            reply.text().await.unwrap()
        );
    }
    let blobs = find_blobs(world.server.data(), &read("small.wasm"));
    assert_eq!(blobs.len(), 1, "the generator lies in the store once");
    let mut bytes = read("small.wasm");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&blobs[0], bytes).unwrap();
    let submitted = upload.run(Default::default()).await.unwrap();
    let error = submitted.wait(Default::default()).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::BlobCorrupt | Code::BlobDigestMismatch),
        "{error}"
    );
}

/// Parts by role: proving key, verifying key, witness generator.
fn sorted(program: &Program) -> Vec<(&str, &soundproof::protocol::digest::Digest, u64)> {
    let mut parts: Vec<_> = program.parts().collect();
    parts.sort_by_key(|part| part.0);
    parts
}

fn find_blobs(dir: &Path, content: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| bytes == content) {
                found.push(path);
            }
        }
    }
    found
}
