#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::api::{MAX_SESSION_OPENED, SessionOpened};
use soundproof_protocol::cbor;

fuzz_target!(|bytes: &[u8]| {
    soundproof_fuzz::one_form::<SessionOpened>(bytes);
    if let Ok(session) = cbor::from_slice::<SessionOpened>(bytes, MAX_SESSION_OPENED) {
        let _ = session.path.root_from(&session.transcript.0);
    }
});
