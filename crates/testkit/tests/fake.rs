//! The fake SP1 prover is a prover executable: it is started by a supervisor,
//! not by hand. This test also has it built wherever tests are.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

#[test]
fn the_fake_is_not_started_by_hand() {
    let output = Command::new(env!("CARGO_BIN_EXE_soundproof-fake-sp1"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}
