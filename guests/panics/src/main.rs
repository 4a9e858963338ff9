//! SP1 guest for tests: panics with a message that contains the first part of
//! its stdin (whatever its encoding), as text: bytes that are not UTF-8 show as
//! U+FFFD. The message must reach nobody but the secret side of a prover.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    let input = sp1_zkvm::io::read_vec();
    panic!("guest failed on {}", String::from_utf8_lossy(&input));
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
