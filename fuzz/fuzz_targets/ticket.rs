#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::ticket::Ticket;

fuzz_target!(|bytes: &[u8]| soundproof_fuzz::one_form::<Ticket>(bytes));
