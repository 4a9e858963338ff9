#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::description::JobDescription;

fuzz_target!(|bytes: &[u8]| {
    soundproof_fuzz::one_form::<JobDescription>(bytes);
    if let Ok(description) = JobDescription::from_slice(bytes) {
        assert!(description.job.is_well_formed());
        let _ = (description.digest(), description.part("proving_key"));
    }
});
