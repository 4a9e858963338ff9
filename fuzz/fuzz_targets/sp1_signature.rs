#![no_main]
use libfuzzer_sys::fuzz_target;

// A signature and what was signed.
fuzz_target!(|bytes: &[u8]| {
    let _ = soundproof_sp1_network::fuzz::signature(bytes);
});
