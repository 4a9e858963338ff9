//! soundproof-proofs
