//! soundproof-evidence
