//! Compiles into the executable what is the operator's to supply and must be
//! measured with it: with `native-gnark` the list of SP1's circuit files, with
//! `cuda` SP1's GPU server.

#[path = "src/circuits/list.rs"]
#[allow(dead_code)]
mod list;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let done = circuits();
    #[cfg(feature = "cuda")]
    let done = done.and_then(|()| gpu_server());
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// The list is empty without the feature.
fn circuits() -> Result<(), String> {
    let text = match env::var_os("CARGO_FEATURE_NATIVE_GNARK") {
        None => String::new(),
        Some(_) => {
            let path = given(
                "SOUNDPROOF_SP1_CIRCUITS_SUMS",
                "the output of `sha256sum groth16/* plonk/*`, run in the folder of SP1's circuit \
                 files",
            )?;
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            let files = list::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
            if files.is_empty() {
                return Err(format!("{}: no files", path.display()));
            }
            text
        }
    };
    let out = output("circuits.sums")?;
    fs::write(&out, text).map_err(|error| unreadable(&out, &error))
}

/// The server's digest is what the operator says, or it is not taken.
#[cfg(feature = "cuda")]
fn gpu_server() -> Result<(), String> {
    use sha2::Digest as _;

    const DIGEST: &str = "SOUNDPROOF_SP1_GPU_SERVER_SHA256";
    let path = given("SOUNDPROOF_SP1_GPU_SERVER", "sp1-gpu-server 6.10.0")?;
    println!("cargo::rerun-if-env-changed={DIGEST}");
    let expected = env::var(DIGEST).ok().and_then(|hex| list::bytes(&hex));
    let expected = expected.ok_or_else(|| {
        format!(
            "set {DIGEST} to the SHA-256 of {}, in hexadecimal",
            path.display()
        )
    })?;
    let server = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
    if <[u8; 32]>::from(sha2::Sha256::digest(&server)) != expected {
        return Err(format!(
            "{} does not have the digest in {DIGEST}",
            path.display()
        ));
    }
    let out = output("sp1-gpu-server")?;
    fs::write(&out, server).map_err(|error| unreadable(&out, &error))
}

/// The file that a variable names.
fn given(variable: &str, what: &str) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-env-changed={variable}");
    let path = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .ok_or_else(|| format!("set {variable} to the absolute path of {what}; see docs/sp1.md"))?;
    println!("cargo::rerun-if-changed={}", path.display());
    Ok(path)
}

fn output(name: &str) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/circuits/list.rs");
    let folder = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    Ok(Path::new(&folder).join(name))
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
