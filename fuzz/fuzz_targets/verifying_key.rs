#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_proofs::groth16::VerifyingKey;

fuzz_target!(|json: &[u8]| {
    if let Ok(key) = VerifyingKey::from_json(json) {
        let _ = (key.public_count(), key.prepare());
    }
});
