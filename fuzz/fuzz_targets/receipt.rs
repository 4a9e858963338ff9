#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::receipt::Receipt;
use std::sync::LazyLock;

static KEY: LazyLock<Vec<u8>> = LazyLock::new(soundproof_fuzz::receipt_key);

// The payload alone, and as a signed receipt: the signature keeps a fuzzer out
// of the payload, but not out of the COSE envelope.
fuzz_target!(|bytes: &[u8]| {
    soundproof_fuzz::one_form::<Receipt>(bytes);
    let _ = Receipt::verify(bytes, &KEY);
    if let Some((key, signed)) = bytes.split_at_checked(65) {
        let _ = Receipt::verify(signed, key);
    }
});
