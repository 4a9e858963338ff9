//! soundproof-cli
fn main() {}
