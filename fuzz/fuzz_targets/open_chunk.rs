#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_fuzz::Job;
use soundproof_seal::{Opener, Prologue};
use std::sync::LazyLock;

static JOB: LazyLock<Job> = LazyLock::new(Job::new);

// No bytes but the sealed chunk open, whatever the index; a prologue reads or
// does not, whatever it claims.
fuzz_target!(|bytes: &[u8]| {
    let Some((index, sealed)) = bytes.split_first() else {
        return;
    };
    let opener = Opener::new(&JOB.keys, &JOB.header).unwrap();
    let opened = opener.open(u32::from(*index), sealed.to_vec());
    assert!(opened.is_err() || sealed == JOB.chunk);
    if let Some((len, start)) = bytes.split_first_chunk() {
        let padded_len = u64::from_le_bytes(*len);
        if let Ok(prologue) = Prologue::read(start, padded_len) {
            assert!(prologue.witness_len <= padded_len);
        }
    }
});
