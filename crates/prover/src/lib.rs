//! soundproof-prover
