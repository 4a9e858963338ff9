//! soundproof-keeper
