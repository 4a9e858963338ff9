//! SP1 guest for tests: reads nothing and touches page after page, as fast as it
//! can, up to the virtual machine's own limit of 2^37 bytes. Ended by a limit on
//! memory.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

/// Taken at once, in bytes.
#[cfg(target_os = "zkvm")]
const BLOCK: usize = 1 << 24;
/// Less than a page of the machine that executes it, which keeps a clock beside
/// each word: no page of it stays untouched.
#[cfg(target_os = "zkvm")]
const STRIDE: usize = 1 << 11;

#[cfg(target_os = "zkvm")]
fn main() {
    loop {
        let mut block = Vec::<u8>::with_capacity(BLOCK);
        for byte in block.spare_capacity_mut().iter_mut().step_by(STRIDE) {
            core::hint::black_box(byte).write(1);
        }
        core::mem::forget(block);
    }
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
