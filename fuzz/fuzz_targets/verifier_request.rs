#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_verifier::fuzz;

// What is read names a nonce of a length that it may have, and means one thing.
fuzz_target!(|bytes: &[u8]| {
    let asked = fuzz::request(bytes);
    assert_eq!(asked, fuzz::request(bytes));
    if let Some((nonce, _)) = asked {
        assert!((16..=64).contains(&nonce.len()));
    }
});
