//! SP1 guest for tests: commits its whole stdin, part after part, as public values:
//! the program that an attacker would swap in. Works on any other program's input.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    while sp1_zkvm::syscalls::syscall_hint_len() != usize::MAX {
        sp1_zkvm::io::commit_slice(&sp1_zkvm::io::read_vec());
    }
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
