//! soundproof-seal
