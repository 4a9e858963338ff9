//! kill -9 of gateway and prover at random moments of a core proof: the SDK
//! still gets its proof, or a clear failure, within its own timeout.

use super::{
    cases::serve,
    client::{Call, Route, program},
    server::{Server, signal},
};
use crate::shell::{Failure, Result};
use std::{
    fs::File,
    io::Read,
    thread,
    time::{Duration, Instant},
};

const MOMENTS: u32 = 20;
/// The SDK's own timeout for such a proof (`calculate_timeout_from_gas_limit`).
const OWN_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a killed gateway may be away.
const BACK: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result {
    let (built, server) = serve("survival", Route::Connect)?;
    let call = Call::new(&built, &server, Route::Connect)
        .with(["prove", "--skip-simulation", "--random-balances", "100"])
        .with(program("solvency"));
    let undisturbed = call.run()?;
    undisturbed.verified()?;
    let (mut proofs, mut failures) = (0, 0);
    for moment in 0..MOMENTS {
        let after = undisturbed.wall.mul_f64(random()?);
        let gateway = moment % 2 == 0;
        let mut running = call.start()?;
        let started = Instant::now();
        while started.elapsed() < after && !running.ended() {
            thread::sleep(Duration::from_millis(5));
        }
        let killed = match gateway {
            true => server.gateway(),
            false => server.provers().last().copied(),
        };
        let hit = killed.is_some_and(|pid| signal("KILL", pid));
        let answer = running.wait()?;
        let outcome = if answer.verified().is_ok() {
            proofs += 1;
            "a proof".to_owned()
        } else {
            failures += 1;
            match answer.said["error"].as_str() {
                Some(error) if !error.is_empty() => error.to_owned(),
                _ => return Err(answer.unexpected("neither a proof nor a clear failure")),
            }
        };
        eprintln!(
            "== {} killed after {:.1} s{}: {outcome} after {:.1} s",
            if gateway { "gateway" } else { "prover" },
            after.as_secs_f64(),
            if hit { "" } else { " (none was there)" },
            answer.wall.as_secs_f64()
        );
        if answer.wall > OWN_TIMEOUT {
            return Err(answer.unexpected("it took longer than the SDK's own timeout"));
        }
    }
    println!("kill -9 at {MOMENTS} moments: {proofs} proofs, {failures} clear failures");
    if !back(&server) {
        return Err(server.unwell("is not well after the kills"));
    }
    call.run()?.verified()
}

fn back(server: &Server) -> bool {
    let until = Instant::now() + BACK;
    while server.gateway().is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
    server.gateway().is_some()
}

/// From 0 to 1.
fn random() -> Result<f64> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::of("/dev/urandom", error))?;
    Ok(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
