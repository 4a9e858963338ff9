#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_proofs::groth16::{Proof, PublicSignals};

// What is read is written in a form that reads as the same.
fuzz_target!(|json: &[u8]| {
    if let Ok(proof) = Proof::from_json(json) {
        let text = proof.to_json();
        assert_eq!(
            Proof::from_json(text.as_bytes())
                .map(|again| again.to_json())
                .ok(),
            Some(text)
        );
    }
    if let Ok(signals) = PublicSignals::from_json(json) {
        let text = signals.to_json();
        let again = PublicSignals::from_json(text.as_bytes());
        assert_eq!(again.map(|again| again.to_json()).ok(), Some(text));
    }
});
