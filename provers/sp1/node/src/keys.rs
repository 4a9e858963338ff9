//! The verifying keys of the recursion programs that SP1's worker sets up when
//! it starts. They are public, follow from this version of SP1 alone, and are
//! part of this executable, so that whoever trusts its digest trusts them too.
//! `examples/recursion_keys.rs` makes the table and checks it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sp1_hypercube::MachineVerifyingKey;
use sp1_primitives::{SP1Field, SP1GlobalContext};
use sp1_recursion_executor::RecursionProgram;

static TABLE: &[u8] = include_bytes!("recursion_keys.bin");

/// One program's line in the table.
#[derive(Clone, Serialize, Deserialize)]
pub struct RecursionKey {
    /// [`identify`] of the program.
    pub program: [u8; 32],
    /// Its verifying key.
    pub verifying_key: MachineVerifyingKey<SP1GlobalContext>,
    /// Heights of its preprocessed tables.
    pub heights: BTreeMap<String, usize>,
}

/// SHA-256 of a program's shape and of every instruction, in bincode.
pub fn identify(program: &RecursionProgram<SP1Field>) -> [u8; 32] {
    let mut hasher = Hasher(Sha256::new());
    // Writing into a hasher cannot fail.
    let written = bincode::serialize_into(&mut hasher, program);
    debug_assert!(written.is_ok());
    hasher.0.finalize().into()
}

/// The table. Empty when it is not of this build, which only makes starting
/// slower.
pub fn table() -> Vec<RecursionKey> {
    bincode::deserialize(TABLE).unwrap_or_default()
}

struct Hasher(Sha256);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
