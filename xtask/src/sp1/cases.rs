//! What is checked of SP1 with the real SDK and the real prover. Each case
//! starts a server of its own; proofs are made one at a time, for memory.

use super::{
    Built, Level, build,
    client::{Call, Route, bundles, program, receipt_verifies, solvency},
    failures, gpu,
    leaks::Needles,
    make,
    recorder::{Recorder, To},
    scratch,
    server::Server,
    survival,
};
use crate::{
    shell::{Failure, Result},
    test::Check,
};
use std::{net::SocketAddr, path::PathBuf};

/// With every `cargo xtask test`.
pub(crate) const QUICK: [Check; 1] = [("sp1_core_proof_by_the_sdk_through_connect", quick)];

/// With `--sp1-full`.
pub(crate) const FULL: [Check; 9] = [
    ("sp1_core_in_every_dialect_through_connect", core_connect),
    ("sp1_core_in_every_dialect_directly", core_direct),
    ("sp1_compressed_through_connect", compressed_connect),
    ("sp1_compressed_directly", compressed_direct),
    ("sp1_substituted_program_is_refused", substituted),
    ("sp1_input_is_in_no_capture_store_or_log", windows),
    (
        "sp1_what_the_user_sees_when_something_is_wrong",
        failures::run,
    ),
    ("sp1_gpu_server_is_compiled_in_and_not_believed", gpu::run),
    ("sp1_kill_9_of_gateway_and_prover", survival::run),
];

/// The flags that a route needs.
pub(crate) fn flags(route: Route) -> &'static [&'static str] {
    match route {
        Route::Connect => &[],
        Route::Direct => &["--sp1-direct"],
    }
}

/// A server in a folder of its own.
pub(crate) fn serve(name: &str, route: Route) -> Result<(Built, Server)> {
    let built = build(Level::own())?;
    let server = Server::start(&built, &scratch(name)?, flags(route))?;
    Ok((built, server))
}

/// One core proof, its receipt, and that the receipt is for this proof.
fn quick() -> Result {
    let (built, server) = serve("quick", Route::Connect)?;
    let receipts = server.folder.join("receipts");
    make(&receipts)?;
    let saved = server.folder.join("proof.bin");
    let call = Call::new(&built, &server, Route::Connect)
        .receipts(receipts.clone())
        .with(solvency(1000))
        .file("--save", &saved);
    let answer = call.run()?;
    answer.verified()?;
    let [bundle] = bundles(&receipts)?
        .try_into()
        .map_err(|found: Vec<PathBuf>| {
            Failure::new(format!("{} receipts for one proof", found.len()))
        })?;
    if !receipt_verifies(&server, &bundle, Some(&saved))? {
        return Err(answer.unexpected("the receipt does not verify with the proof"));
    }
    let other = server.folder.join("other.bin");
    std::fs::write(&other, b"another proof")
        .map_err(|error| Failure::of(other.display(), error))?;
    match receipt_verifies(&server, &bundle, Some(&other))? {
        true => Err(answer.unexpected("the receipt verifies with another proof")),
        false => Ok(()),
    }
}

fn core_connect() -> Result {
    dialects(Route::Connect)
}

fn core_direct() -> Result {
    dialects(Route::Direct)
}

/// As users of each way write it; the first simulates, as the SDK does unasked.
fn dialects(route: Route) -> Result {
    let (built, server) = serve(&format!("core-{}", route.name()), route)?;
    let ways: [(&str, &[&str]); 4] = [
        ("default", &[]),
        ("mainnet", &["--skip-simulation", "--private-stdin"]),
        ("reserved", &["--skip-simulation"]),
        ("hosted", &[]),
    ];
    for (dialect, more) in ways {
        let call = Call::new(&built, &server, route)
            .with(solvency(1000))
            .with(["--dialect", dialect])
            .with(more);
        let answer = call.run()?;
        answer.verified()?;
        eprintln!(
            "== core, {}, {dialect}: {:.1} s",
            route.name(),
            answer.said["prove_ms"].as_f64().unwrap_or_default() / 1e3
        );
    }
    Ok(())
}

fn compressed_connect() -> Result {
    compressed(Route::Connect)
}

fn compressed_direct() -> Result {
    compressed(Route::Direct)
}

fn compressed(route: Route) -> Result {
    let (built, server) = serve(&format!("compressed-{}", route.name()), route)?;
    let call = Call::new(&built, &server, route)
        .with(solvency(1000))
        .with(["--mode", "compressed"]);
    let answer = call.run()?;
    answer.verified()?;
    eprintln!(
        "== compressed, {}: {:.1} s",
        route.name(),
        answer.said["prove_ms"].as_f64().unwrap_or_default() / 1e3
    );
    Ok(())
}

/// The program that commits its input is registered under solvency's key. No
/// proof may come of it, and nothing of the input may be anywhere; afterwards
/// the right program can be registered, and is proved.
fn substituted() -> Result {
    for route in [Route::Connect, Route::Direct] {
        let (built, server) = serve(&format!("substituted-{}", route.name()), route)?;
        let kept = scratch(&format!("substituted-{}-input", route.name()))?;
        let swap = Call::new(&built, &server, route)
            .with([
                "swap",
                "--skip-simulation",
                "--again",
                "--random-balances",
                "1000",
            ])
            .with(program("solvency"))
            .file("--other", &super::guest("commits_input"))
            .file("--write-stdin", &kept);
        let answer = swap.run()?;
        if !answer.success || answer.said["refusal"]["ok"] != false {
            return Err(answer.unexpected("the substituted program was not refused"));
        }
        eprintln!(
            "== substituted program, {}: {}",
            route.name(),
            answer.said["refusal"]
        );
        absent(&kept, std::slice::from_ref(&server.folder))?;
    }
    Ok(())
}

/// What `connect` and the gateway say to each other, the store and the logs
/// hold nothing of an input; the capture between the SDK and `connect` does.
fn windows() -> Result {
    let (built, server) = serve("windows", Route::Connect)?;
    let outside = scratch("windows-outside")?;
    let (near, far) = (
        outside.join("sdk-connect.bin"),
        outside.join("connect-gateway.bin"),
    );
    let authority = server
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let gateway: SocketAddr = authority
        .parse()
        .map_err(|error| Failure::of(format!("the server's URL {}", server.url), error))?;
    let sdk_side = Recorder::start(To::Named, &near)?;
    let gateway_side = Recorder::start(To::Fixed(gateway), &far)?;
    let kept = scratch("windows-input")?;
    let mut call = Call::new(&built, &server, Route::Connect)
        .with(solvency(4000))
        .with(["--skip-simulation"])
        .file("--write-stdin", &kept);
    call.server_url = Some(gateway_side.url());
    call.http_proxy = Some(sdk_side.url());
    call.run()?.verified()?;

    let needles = Needles::of_files(&[kept.join("stdin.zst")])?;
    let seen = needles.search(&[near])?;
    // All of it went through there; windows of few different bytes are left out.
    if seen.count < needles.len() {
        return Err(Failure::new(format!(
            "the search finds {} of {} windows where all must be: it is not to be trusted",
            seen.count,
            needles.len()
        )));
    }
    absent(&kept, &[far, server.folder.clone()])?;

    // A program that prints its input: nowhere either.
    let call = Call::new(&built, &server, Route::Connect)
        .with(["prove", "--skip-simulation", "--random-stdin-bytes", "4096"])
        .with(program("prints_input"))
        .file("--write-stdin", &kept);
    call.run()?.verified()?;
    absent(&kept, std::slice::from_ref(&server.folder))
}

/// Nothing of the input in `folder`, raw or zstd, is in these places.
fn absent(folder: &std::path::Path, places: &[PathBuf]) -> Result {
    let needles = Needles::of_files(&[folder.join("stdin.bin"), folder.join("stdin.zst")])?;
    let found = needles.search(places)?;
    match found.first {
        None => {
            eprintln!(
                "== {} windows, none in {} bytes",
                needles.len(),
                found.bytes
            );
            Ok(())
        }
        Some(file) => Err(Failure::new(format!(
            "{} places hold the input; the first is in {}",
            found.count,
            file.display()
        ))),
    }
}
