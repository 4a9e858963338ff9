//! SP1 guest: reads `threshold: u64`, `salt: [u8; 32]`, `balances: Vec<u64>`;
//! commits `threshold` and the commitment to the balances (`[u8; 32]`). Panics,
//! with a message that says nothing of the input, when the balances do not
//! reach the threshold or their sum does not fit 64 bits.
#![cfg_attr(target_os = "zkvm", no_main)]

#[cfg(target_os = "zkvm")]
sp1_zkvm::entrypoint!(main);

#[cfg(target_os = "zkvm")]
fn main() {
    let threshold = sp1_zkvm::io::read::<u64>();
    let salt = sp1_zkvm::io::read::<[u8; 32]>();
    let balances = sp1_zkvm::io::read::<Vec<u64>>();
    assert!(
        solvency::solvent(&balances, threshold) == Some(true),
        "not solvent"
    );
    sp1_zkvm::io::commit(&threshold);
    sp1_zkvm::io::commit(&solvency::commitment(&salt, &balances));
}

#[cfg(not(target_os = "zkvm"))]
fn main() {}
