//! The operating system's randomness.

use rand_core::{Rng as _, UnwrapErr};

/// A keeper without randomness must not go on: this generator panics where the
/// system has none.
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}
