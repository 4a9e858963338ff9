//! soundproof-attester
