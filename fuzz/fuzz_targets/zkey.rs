#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_prover_groth16::ProvingKey;

// A key that is read takes memory in proportion to its file.
fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = ProvingKey::from_zkey(bytes) {
        assert!(key.public_count() < key.signal_count());
        assert!(key.memory() <= 64 * bytes.len() + (1 << 20));
    }
});
