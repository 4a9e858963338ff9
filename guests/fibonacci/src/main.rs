//! SP1 guest: reads `n: u32`; commits `n`, then the `n`-th and the next
//! Fibonacci number modulo 2^32, each a `u32`. Nothing of it is secret: it is
//! the program to measure with.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    let n = sp1_zkvm::io::read::<u32>();
    let (a, b) = fibonacci::fibonacci(n);
    sp1_zkvm::io::commit(&n);
    sp1_zkvm::io::commit(&a);
    sp1_zkvm::io::commit(&b);
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
