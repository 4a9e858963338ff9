//! soundproof-protocol
