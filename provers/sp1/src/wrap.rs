//! Whether proofs can be wrapped into PLONK or Groth16 here.

use crate::modes::Mode;

/// What is missing for `mode` and how to get it; none: nothing is.
pub fn unavailable(mode: Mode) -> Option<String> {
    if cfg!(feature = "native-gnark") {
        return None;
    }
    Some(format!(
        "{} needs gnark, which this prover was built without: build provers/sp1 with \
         `--features native-gnark` (Go and clang are needed for it), and fetch SP1's circuit files \
         for v6.1.0; see docs/sp1.md",
        mode.name()
    ))
}
