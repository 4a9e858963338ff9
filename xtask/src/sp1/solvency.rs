//! `cargo xtask demo --with-sp1`: a solvency proof by the unmodified SDK
//! through `soundproof connect`, from a server's start to a receipt that was
//! checked from the files.

use super::{
    Level, build,
    client::{Call, Route, bundles, receipt_verifies, solvency},
    make,
    server::Server,
};
use crate::shell::{Failure, Result};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Instant};

/// Secret balances, and the sum that they are proved to reach.
const BALANCES: u32 = 1000;

/// What `demo --json` says under `sp1`; proof, public values and receipt go to
/// `out`.
pub(crate) fn run(out: &Path) -> Result<Value> {
    let built = build(Level::own())?;
    let out = out.join("sp1");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|error| Failure::of(out.display(), error))?;
    }
    let (folder, receipts) = (out.join("server"), out.join("receipts"));
    make(&folder)?;
    make(&receipts)?;
    let started = Instant::now();
    let server = Server::start(&built, &folder, &[])?;
    eprintln!("== SP1: {BALANCES} secret balances, one core proof by the published SDK");
    let saved = out.join("proof.bin");
    let answer = Call::new(&built, &server, Route::Connect)
        .receipts(receipts.clone())
        .with(solvency(BALANCES))
        .file("--save", &saved)
        .run()?;
    answer.verified()?;
    let public = out.join("public_values.bin");
    let values = answer.said["public_values"].as_str().unwrap_or_default();
    fs::write(&public, bytes(values)?).map_err(|error| Failure::of(public.display(), error))?;
    let bundles = bundles(&receipts)?;
    let receipt_verified = match bundles.as_slice() {
        [bundle] => receipt_verifies(&server, bundle, Some(&saved))?,
        _ => false,
    };
    Ok(json!({
        "proof_verified": true,
        "receipt_verified": receipt_verified,
        "guest": "solvency",
        "mode": "core",
        "level": built.level.name(),
        "server_start_ms": server.start_ms,
        "sdk_build_ms": answer.said["build_ms"],
        "sdk_setup_ms": answer.said["setup_ms"],
        "prove_ms": answer.said["prove_ms"],
        "verify_ms": answer.said["runs"][0]["verify_ms"],
        "total_ms": started.elapsed().as_secs_f64() * 1000.0,
        "proof": saved,
        "public": public,
        "receipt_bundle": bundles.first(),
    }))
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    bytes.ok_or_else(|| Failure::new("public_values is no hexadecimal"))
}

/// For people.
pub(crate) fn text(said: &Value) -> String {
    let seconds = |field: &str| said[field].as_f64().unwrap_or(f64::NAN) / 1e3;
    format!(
        "\nSP1 solvency, {}, by the unmodified sp1-sdk through soundproof connect\n\
         prove {:.1} s, of {:.1} s in all; proof_verified {}, receipt_verified {}\n\
         proof    {}\nreceipt  {}",
        said["mode"].as_str().unwrap_or_default(),
        seconds("prove_ms"),
        seconds("total_ms"),
        said["proof_verified"],
        said["receipt_verified"],
        said["proof"].as_str().unwrap_or_default(),
        said["receipt_bundle"].as_str().unwrap_or_default(),
    )
}
