#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_prover::wire::{Frame, ToKeeper, ToProver, decode_message, read_frame};

// A stream of frames, each read as a message of either side.
fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes;
    while let Ok(frame) = read_frame(&mut stream) {
        if let Frame::Message(body) = frame {
            let _ = decode_message::<ToKeeper>(&body);
            let _ = decode_message::<ToProver>(&body);
        }
    }
});
