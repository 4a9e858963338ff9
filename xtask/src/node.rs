//! What needs Node.js: the Semaphore packages in `demo/`, inputs for their
//! circuit, and snarkjs as a verifier that this project did not write.

use crate::shell::{self, Failure, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const OLDEST_NODE: u32 = 20;

/// The folder with the committed lock file.
pub(crate) fn folder() -> PathBuf {
    shell::root().join("demo")
}

/// Checks for every program that a build and the demo need, and says in one
/// line each which is missing and where it comes from.
pub(crate) fn require_tools() -> Result {
    let mut missing = Vec::new();
    let node = node_version();
    if node.is_none_or(|major| major < OLDEST_NODE) {
        missing.push(format!(
            "node {OLDEST_NODE} or newer is missing: https://nodejs.org, or your system's package nodejs"
        ));
    }
    if !shell::has("npm") {
        missing
            .push("npm is missing: it comes with Node.js, or is your system's package npm".into());
    }
    if !["cc", "gcc", "clang"].into_iter().any(shell::has) {
        missing.push("a C compiler is missing: your system's package gcc or clang".into());
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(missing.join("\nxtask: "))),
    }
}

fn node_version() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Installs the packages of the lock file, unless they are what is installed.
pub(crate) fn install() -> Result {
    let folder = folder();
    let lock = fs::read(folder.join("package-lock.json"))
        .map_err(|error| Failure::of("demo/package-lock.json", error))?;
    let stamp = folder.join("node_modules/.installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    shell::run(
        "npm ci",
        shell::command("npm").arg("ci").current_dir(&folder),
    )?;
    fs::write(&stamp, lock).map_err(|error| Failure::of(stamp.display(), error))
}

/// One Semaphore circuit: the files of `@zk-kit/semaphore-artifacts`.
pub(crate) struct Circuit {
    pub(crate) depth: u8,
    pub(crate) wasm: PathBuf,
    pub(crate) zkey: PathBuf,
    pub(crate) vkey: PathBuf,
}

impl Circuit {
    pub(crate) fn semaphore(depth: u8) -> Self {
        let folder = folder().join("node_modules/@zk-kit/semaphore-artifacts");
        let file = |extension| folder.join(format!("semaphore-{depth}.{extension}"));
        Self {
            depth,
            wasm: file("wasm"),
            zkey: file("zkey"),
            vkey: file("json"),
        }
    }
}

/// Inputs that `make-input.mjs` made.
pub(crate) struct Inputs(PathBuf);

impl Inputs {
    /// Makes `count` of them in `folder`, each for a fresh identity.
    pub(crate) fn make(folder: &Path, depth: u8, members: u32, count: usize) -> Result<Self> {
        let mut script = script("make-input.mjs");
        script.arg("--out").arg(folder);
        script.args([
            "--depth",
            &depth.to_string(),
            "--members",
            &members.to_string(),
        ]);
        script.args(["--count", &count.to_string()]);
        shell::run("inputs", &mut script)?;
        Ok(Self(folder.to_path_buf()))
    }

    /// The circuit's input.
    pub(crate) fn input(&self, index: usize) -> PathBuf {
        self.0.join(format!("input-{index}.json"))
    }

    /// What a proof of it says.
    pub(crate) fn meta(&self, index: usize) -> PathBuf {
        self.0.join(format!("meta-{index}.json"))
    }
}

/// A script of `demo/`.
pub(crate) fn script(name: &str) -> Command {
    let mut node = shell::command("node");
    node.arg(folder().join(name));
    node
}

/// Whether snarkjs, and Semaphore's own verifier for what `meta` says, accept.
pub(crate) fn verifies(
    circuit: &Circuit,
    proof: &Path,
    public: &Path,
    meta: &Path,
) -> Result<bool> {
    let mut verify = script("verify.mjs");
    verify
        .arg("--vkey")
        .arg(&circuit.vkey)
        .arg("--proof")
        .arg(proof);
    verify.arg("--public").arg(public).arg("--meta").arg(meta);
    let status = verify
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| Failure::of("node", error))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(Failure::of("verify.mjs could not judge the proof", status)),
    }
}
