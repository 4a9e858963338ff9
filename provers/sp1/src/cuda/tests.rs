//! Against a server that proves nothing: this very executable, started by a
//! script in the server's place. Its types are `sp1_cuda::api`'s once more, word
//! for word, so that a mistake in those of the module shows.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sp1_primitives::io::SP1PublicValues;
use sp1_prover::worker::SP1Proof;

use super::*;

#[derive(Deserialize)]
enum Asked {
    Setup {
        elf: Vec<u8>,
        #[allow(dead_code)]
        machine: SerializableRiscvMachine,
    },
    ProveWithMode {
        mode: ProofMode,
        key: [u8; 32],
        stdin: SP1Stdin,
        proof_nonce: [u32; 4],
    },
    #[allow(dead_code)]
    Destroy { key: [u8; 32] },
}

#[derive(Serialize)]
enum Answer {
    Ok,
    Setup { id: [u8; 32], vk: SP1VerifyingKey },
    Proof { proof: ProofFromNetwork },
    ProverError(String),
    InternalError(String),
    ConnectionClosed,
}

const ELF: &[u8] = b"an ELF";
const ID: [u8; 32] = [9; 32];
const NONCE: [u32; 4] = [1, 2, 3, 4];
const SECRET: &str = "what the guest was given";

/// Some key; the recursion's are at hand.
fn key(number: usize) -> SP1VerifyingKey {
    let vk = soundproof_sp1_node::keys::table()[number]
        .verifying_key
        .clone();
    SP1VerifyingKey { vk }
}

fn stdin() -> SP1Stdin {
    let mut stdin = SP1Stdin::new();
    stdin.write_slice(SECRET.as_bytes());
    stdin
}

/// The server's part, when the script below has started this.
#[test]
#[ignore = "started by other tests"]
fn server() {
    let Ok(how) = std::env::var("SOUNDPROOF_FAKE") else {
        return;
    };
    // What it may not have: anything of the environment of whoever started it.
    let variables: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    assert!(!variables.contains(&"CARGO_MANIFEST_DIR".to_owned()));
    assert_eq!(std::env::var("CUDA_VISIBLE_DEVICES").unwrap(), "0");
    let folder = PathBuf::from(std::env::var("HOME").unwrap());
    match how.as_str() {
        "dies" => std::process::exit(3),
        "is silent" => thread::sleep(Duration::from_secs(3600)),
        _ => {}
    }
    let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let Asked::Setup { elf, .. } = read(&mut stream) else {
        panic!("not a set-up");
    };
    assert_eq!(elf, ELF);
    match how.as_str() {
        "refuses the program" => say(&mut stream, &Answer::InternalError(SECRET.into())),
        "says ok" => say(&mut stream, &Answer::Ok),
        "hangs up" => say(&mut stream, &Answer::ConnectionClosed),
        "means another program" => say(&mut stream, &Answer::Setup { id: ID, vk: key(1) }),
        "is endless" => stream.write_all(&[0xff; 64]).unwrap(),
        "stammers" => stream.write_all(&[4, 0, 0, 0, 99, 0, 0, 0]).unwrap(),
        "says nothing" => stream.write_all(&[0; 4]).unwrap(),
        "stops short" => stream.write_all(&[100, 0, 0, 0, 1, 2, 3]).unwrap(),
        _ => say(&mut stream, &Answer::Setup { id: ID, vk: key(0) }),
    }
    if how == "means another program" {
        // Broken if it were given an input all the same.
        let more = stream.read(&mut [0; 1]).unwrap();
        fs::write(folder.join("more"), more.to_string()).unwrap();
    }
    if !how.starts_with("then ") && how != "proves" {
        return;
    }
    let asked: Asked = read(&mut stream);
    let Asked::ProveWithMode {
        mode,
        key,
        stdin,
        proof_nonce,
    } = asked
    else {
        panic!("not a proof");
    };
    assert_eq!((mode, key, proof_nonce), (ProofMode::Compressed, ID, NONCE));
    match how.as_str() {
        "then dies" => std::process::exit(3),
        "then fails" => say(&mut stream, &Answer::ProverError(SECRET.into())),
        "then says a key" => say(
            &mut stream,
            &Answer::Setup {
                id: ID,
                vk: self::key(0),
            },
        ),
        _ => {
            let proof = ProofFromNetwork {
                proof: SP1Proof::Core(Vec::new()),
                public_values: SP1PublicValues::from(&stdin.buffer[0]),
                sp1_version: "fake".into(),
            };
            say(&mut stream, &Answer::Proof { proof });
        }
    }
}

fn read(stream: &mut UnixStream) -> Asked {
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut body = vec![0; u32::from_le_bytes(len) as usize];
    stream.read_exact(&mut body).unwrap();
    bincode::deserialize(&body).unwrap()
}

fn say(stream: &mut UnixStream, answer: &Answer) {
    let body = bincode::serialize(answer).unwrap();
    stream
        .write_all(&(body.len() as u32).to_le_bytes())
        .unwrap();
    stream.write_all(&body).unwrap();
}

/// One after another: while a file is written by one thread, no program that
/// another starts may have it open, or it cannot be run.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn script(how: &str) -> String {
    let own = std::env::current_exe().unwrap();
    format!(
        "#!/bin/sh\nSOUNDPROOF_FAKE='{how}' exec '{}' --exact cuda::tests::server --ignored\n",
        own.display()
    )
}

/// What comes of a proof by a server that behaves so, and what it wrote down.
fn outcome(how: &str) -> (Result<ProofFromNetwork, CudaError>, Option<String>) {
    let _alone = alone();
    let folder = crate::circuits::tests::Folder::new("cuda");
    let mut server = Server::start(script(how).as_bytes(), &folder.0).unwrap();
    if how == "is silent" {
        server.wait = Duration::from_millis(300);
    }
    let (key, stdin) = (key(0), stdin());
    let task = Task {
        elf: ELF,
        key: &key,
        stdin: &stdin,
        nonce: NONCE,
        mode: ProofMode::Compressed,
    };
    let outcome = server.prove(&task);
    if how == "means another program" {
        let _ = server.child.wait();
    }
    let pid = server.child.id();
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it lives on");
    let written = fs::read_to_string(folder.0.join("more")).ok();
    (outcome, written)
}

#[test]
fn a_proof() {
    let (proof, _) = outcome("proves");
    let proof = proof.unwrap();
    assert_eq!(proof.public_values.as_slice(), SECRET.as_bytes());
}

/// Broken if something that a server does were no failure, or another one; or if
/// its words, which may be about the input, got into an error.
#[test]
fn what_goes_wrong_has_a_code() {
    for (how, code) in [
        ("dies", Code::ProverDied),
        ("is silent", Code::ProverUnavailable),
        ("refuses the program", Code::ProverPanic),
        ("says ok", Code::ProverProtocol),
        ("hangs up", Code::ProverDied),
        ("is endless", Code::ProverProtocol),
        ("stammers", Code::ProverProtocol),
        ("says nothing", Code::ProverProtocol),
        ("stops short", Code::ProverDied),
        ("then dies", Code::ProverDied),
        ("then fails", Code::ProverPanic),
        ("then says a key", Code::ProverProtocol),
    ] {
        let (outcome, _) = outcome(how);
        let Err(error) = outcome else {
            panic!("{how}: a proof");
        };
        assert!(!format!("{error:?}").contains(SECRET), "{how}");
        let failure = Failure::from(error);
        assert_eq!(failure.code, code, "{how}: {}", failure.detail);
        assert!(!failure.detail.contains(SECRET), "{how}");
    }
}

#[test]
fn a_server_that_means_another_program_is_given_no_input() {
    let (outcome, written) = outcome("means another program");
    assert!(matches!(outcome, Err(CudaError::Key)));
    assert_eq!(written.as_deref(), Some("0"));
}

#[test]
fn what_is_no_program_does_not_start() {
    let _alone = alone();
    let folder = crate::circuits::tests::Folder::new("cuda-none");
    let started = Server::start(b"no program", &folder.0);
    assert!(matches!(started, Err(CudaError::Start(_))));
    // One that was planted there is not run.
    let planted = Server::start(script("proves").as_bytes(), &folder.0);
    assert!(matches!(planted, Err(CudaError::Start(_))));
}
