//! How long a client's verdict takes, printed; the target is 3 ms. Asserts
//! nothing about it: tests do not depend on a machine's speed.

use crate::common::Case;
use soundproof_evidence::verify_session;
use std::time::Instant;

#[test]
fn a_verdict() {
    let case = Case::sound();
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let start = Instant::now();
            let (_, binding) = verify_session(&case.session).unwrap();
            assert_eq!(binding, case.binding);
            assert!(case.judge().accept().is_ok());
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "verdict: median {:?}, p95 {:?} over 50",
        times[25], times[47]
    );
}

/// Targets: 3 ms for SEV-SNP, 3 ms for Nitro.
#[test]
fn a_verdict_on_snp_and_nitro() {
    let snp = crate::snp::Case::sound();
    let evidence = snp.evidence();
    let time = |name: &str, judge: &dyn Fn() -> bool| {
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let start = Instant::now();
                assert!(judge());
                start.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "{name} verdict: fastest {:?}, median {:?}, p95 {:?} over 50",
            times[0], times[25], times[47]
        );
    };
    time("snp", &|| snp.judge_evidence(&evidence).accept().is_ok());
    let nitro = crate::nitro::Case::sound();
    let evidence = crate::nitro::bound(&nitro.enclave);
    time("nitro", &|| {
        nitro.judge_evidence(&evidence).accept().is_ok()
    });
}
