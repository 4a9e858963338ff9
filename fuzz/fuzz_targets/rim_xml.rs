#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_evidence::fuzz;
use soundproof_fuzz::NOW_MS;

fuzz_target!(|bytes: &[u8]| {
    assert!(!fuzz::rim_xml(bytes, NOW_MS / 1000));
});
