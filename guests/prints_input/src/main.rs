//! SP1 guest for tests: writes its whole stdin, part after part and as it is, to
//! stdout and stderr; commits the `u32` 1 and nothing of its input. Works on any
//! other program's input.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    while sp1_zkvm::syscalls::syscall_hint_len() != usize::MAX {
        let input = sp1_zkvm::io::read_vec();
        sp1_zkvm::io::write(1, &input);
        sp1_zkvm::io::write(2, &input);
    }
    sp1_zkvm::io::commit(&1u32);
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
