#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|upload: &[u8]| {
    let _ = soundproof_sp1_network::fuzz::elf(upload);
});
