#![no_main]
use libfuzzer_sys::fuzz_target;

// A signed message, or the body of a request in either dialect.
fuzz_target!(|bytes: &[u8]| {
    soundproof_sp1_network::fuzz::signed(bytes);
    let _ = soundproof_sp1_network::fuzz::request_body(bytes);
});
