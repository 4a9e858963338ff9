#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::trust::TrustConfiguration;

fuzz_target!(|bytes: &[u8]| soundproof_fuzz::one_form::<TrustConfiguration>(bytes));
