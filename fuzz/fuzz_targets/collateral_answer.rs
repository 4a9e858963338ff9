#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    soundproof_collateral::fuzz::answer(bytes);
});
