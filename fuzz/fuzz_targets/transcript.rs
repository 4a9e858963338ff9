#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::transcript::Transcript;

fuzz_target!(|bytes: &[u8]| soundproof_fuzz::one_form::<Transcript>(bytes));
