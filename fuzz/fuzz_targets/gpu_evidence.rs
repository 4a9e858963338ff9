#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_evidence::fuzz;
use soundproof_fuzz::NOW_MS;

fuzz_target!(|bytes: &[u8]| {
    // Nobody here has a key under NVIDIA's root.
    assert_eq!(fuzz::gpu_evidence(bytes, NOW_MS / 1000), 0);
});
