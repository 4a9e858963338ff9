#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_fuzz::Job;
use soundproof_protocol::{cbor, outcome::SealedProgress};
use std::sync::LazyLock;

static JOB: LazyLock<Job> = LazyLock::new(Job::new);

// Only the outcome that was sealed opens; and no progress at all.
fuzz_target!(|bytes: &[u8]| {
    let digest = JOB.description.digest();
    let opened = soundproof_seal::outcome::open(&JOB.keys.outcome, &digest, bytes);
    assert!(opened.is_err() || bytes == JOB.outcome);
    if let Ok(sealed) = cbor::from_slice::<SealedProgress>(bytes, 4096) {
        assert!(soundproof_seal::progress::open(&JOB.keys.outcome, &digest, &sealed).is_err());
    }
});
