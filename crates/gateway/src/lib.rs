//! soundproof-gateway
