//! SP1 guest: reads `root: [u8; 32]`, `leaf: Vec<u8>`, `index: u64`,
//! `size: u64`, `path: Vec<[u8; 32]>`; commits `root`. Panics, with a message
//! that says nothing of the input, when the leaf is not in that root's tree.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    let root = sp1_zkvm::io::read::<membership::Hash>();
    let leaf = sp1_zkvm::io::read::<Vec<u8>>();
    let index = sp1_zkvm::io::read::<u64>();
    let size = sp1_zkvm::io::read::<u64>();
    let path = sp1_zkvm::io::read::<Vec<membership::Hash>>();
    assert!(
        membership::root(&leaf, index, size, &path) == Some(root),
        "not a member"
    );
    sp1_zkvm::io::commit(&root);
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
