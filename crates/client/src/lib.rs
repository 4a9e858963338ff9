//! soundproof
