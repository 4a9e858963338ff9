#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_fuzz::Job;
use soundproof_protocol::sealed::SealedHeader;
use std::sync::LazyLock;

static JOB: LazyLock<Job> = LazyLock::new(Job::new);

// Only the header that was sealed opens.
fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = SealedHeader::from_slice(bytes) {
        let opened = soundproof_seal::open_header(
            &JOB.recipient,
            &JOB.transcript,
            &JOB.description,
            &header,
        );
        assert!(opened.is_err() || header == JOB.header);
    }
});
