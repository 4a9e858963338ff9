//! soundproof-enclave
fn main() {}
