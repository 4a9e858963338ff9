#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_prover_groth16::witgen::Program;

fuzz_target!(|bytes: &[u8]| {
    let _ = Program::compile(bytes);
});
