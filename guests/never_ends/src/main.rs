//! SP1 guest for tests: reads nothing and never ends, in little memory. Ended by a
//! cycle limit or a deadline.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    let mut count = 0u64;
    loop {
        count = core::hint::black_box(count.wrapping_add(1));
    }
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
