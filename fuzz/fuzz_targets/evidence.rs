#![no_main]
use libfuzzer_sys::fuzz_target;

// Evidence and endorsements, parted by the length of the first (four bytes).
fuzz_target!(|bytes: &[u8]| {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let Some((evidence, endorsements)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)
    else {
        return;
    };
    soundproof_evidence::fuzz::evidence(evidence, endorsements, soundproof_fuzz::NOW_MS);
});
