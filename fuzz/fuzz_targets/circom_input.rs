#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_prover_groth16::witgen::{Limits, Program};
use std::sync::LazyLock;

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::compile(include_bytes!(
        "../../provers/groth16/tests/data/small.wasm"
    ))
    .unwrap()
});

// JSON for a real, small circuit.
fuzz_target!(|json: &[u8]| {
    let limits = Limits::default();
    let _ = PROGRAM
        .instantiate(limits)
        .and_then(|generator| generator.run(json, limits));
});
