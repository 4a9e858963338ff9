#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::api::CreateJob;

fuzz_target!(|bytes: &[u8]| soundproof_fuzz::one_form::<CreateJob>(bytes));
