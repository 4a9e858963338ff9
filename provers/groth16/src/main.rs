//! soundproof-prover-groth16
fn main() {}
