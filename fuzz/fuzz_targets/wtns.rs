#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_prover_groth16::Witness;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(witness) = Witness::from_wtns(bytes) {
        let again = Witness::from_wtns(&witness.to_wtns());
        assert_eq!(
            again.ok().as_ref().map(Witness::as_slice),
            Some(witness.as_slice())
        );
    }
});
