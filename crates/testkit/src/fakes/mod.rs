//! Stand-ins for what is outside: each faithful to its interface's
//! documentation, and able to fail.

pub mod collateral;
