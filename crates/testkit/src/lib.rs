//! soundproof-testkit
