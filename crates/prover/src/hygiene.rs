//! Wiping what a computation left on the stack.
//!
//! A zeroing allocator reaches the heap, `Zeroizing` reaches values whose last
//! place is known; what the compiler spilled to the stack is reached by neither.

use std::hint::black_box;

/// Bytes that one call overwrites.
const FRAME: usize = 16 * 1024;

/// Overwrites at least `kib` KiB of the current thread's stack below the
/// caller's frame. Call it from the function that called the one that handled
/// the secret, with more than that one can have used and less than the stack
/// has left (2 MiB for a thread of Rust's, 8 MiB for the first).
#[inline(never)]
pub fn scrub_stack(kib: usize) {
    let mut frame = [0u8; FRAME];
    // The compiler must think that the zeros are read.
    black_box(&mut frame);
    let rest = kib.saturating_sub(FRAME / 1024);
    if rest > 0 {
        scrub_stack(rest);
    }
    // Not a tail call: the next frame must lie below this one.
    black_box(&frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_amount() {
        for kib in [0, 1, 16, 17, 512] {
            scrub_stack(kib);
        }
    }
}
