#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::link::Frame;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::from_slice(bytes) {
        assert_eq!(frame.to_vec(), bytes);
    }
});
