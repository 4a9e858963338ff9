//! The example policies for SEV-SNP and Nitro, as they stand in `docs/policies/`;
//! and what no bytes may do: be accepted after a change, or make the judge
//! panic.

use crate::{
    common::codes,
    nitro,
    snp::{self, Fault},
};
use proptest::prelude::*;
use soundproof_evidence::{
    Policy, fuzz,
    policy::{Anchor, Software},
    snp::{Product, Signer},
};
use soundproof_protocol::{
    attestation::{Evidence, Platform},
    cbor::Bytes,
};
use soundproof_testkit::nitro::Enclave;
use std::sync::LazyLock;

static SNP: LazyLock<snp::Case> = LazyLock::new(snp::Case::sound);
static NITRO: LazyLock<nitro::Case> = LazyLock::new(nitro::Case::sound);

/// Some bytes of `sound` replaced by others, of perhaps another length.
fn splice(sound: &[u8], at: usize, cut: usize, with: &[u8]) -> Vec<u8> {
    let at = at % sound.len();
    let mut changed = sound.to_vec();
    changed.splice(at..sound.len().min(at + cut), with.iter().copied());
    changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_splice_of_snp_evidence_is_accepted(
        at in any::<usize>(), cut in 0_usize..64,
        with in proptest::collection::vec(any::<u8>(), 0..64), which in any::<bool>(),
    ) {
        let sound = SNP.evidence();
        let mut case = SNP.clone();
        let mut evidence = sound.clone();
        if which {
            evidence.statement.0 = splice(&sound.statement.0, at, cut, &with);
        } else {
            case.collateral = splice(&SNP.collateral, at, cut, &with);
        }
        let same = evidence == sound && case.collateral == SNP.collateral;
        prop_assert_eq!(case.judge_evidence(&evidence).accept().is_ok(), same);
    }

    #[test]
    fn no_splice_of_a_nitro_document_is_accepted(
        at in any::<usize>(), cut in 0_usize..64,
        with in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let sound = nitro::bound(&NITRO.enclave);
        let statement = splice(&sound.statement.0, at, cut, &with);
        let same = statement == sound.statement.0;
        let changed = Evidence { platform: Platform::SoftwareNitro, statement: Bytes(statement), ..sound };
        prop_assert_eq!(NITRO.judge_evidence(&changed).accept().is_ok(), same);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        fuzz::snp_report(&bytes);
        fuzz::nitro_document(&bytes);
        fuzz::x509(&bytes);
        fuzz::measured(&bytes);
    }
}

/// The example as it is, on the software kind.
fn snp_example() -> snp::Case {
    let text = include_str!("../../../../docs/policies/snp-vm.toml");
    let mut policy = Policy::from_toml(text).unwrap();
    let mut case = snp::Case::sound();
    policy.platform.software_snp = Some(Software {
        anchor_pem: Anchor::from_pem(&case.chip.root_pem()).unwrap(),
        rules: policy.platform.snp.take().unwrap(),
    });
    policy.release[0].software_snp = policy.release[0].snp.take();
    case.policy = policy;
    case
}

/// Accepts what it should, and rejects twelve things that it should not.
#[test]
fn the_policy_for_a_vm_does_what_it_says() {
    let sound = snp_example();
    assert_eq!(codes(&sound.judge()), [""; 0], "{}", sound.judge());
    let rejected: [Fault<snp::Case>; 12] = [
        ("release_unknown", |case| case.guest.measurement[47] ^= 1),
        ("release_unknown", |case| case.guest.host_data[31] ^= 1),
        ("debug_enabled", |case| case.guest.policy |= 1 << 19),
        ("guest_policy_refused", |case| case.guest.policy |= 1 << 18),
        ("vmpl_refused", |case| case.guest.vmpl = 1),
        ("platform_info_refused", |case| {
            case.guest.platform_info &= !4
        }),
        ("machine_refused", |case| {
            case.chip.chip_id = vec![0xc2; 64];
            case.collateral = case.chip.collateral().to_vec();
        }),
        ("tcb_below_minimum", |case| case.chip.launch[4] -= 1),
        ("tcb_unspecified", |case| {
            let milan = snp::Case::of(Product::Milan, 3);
            case.collateral = milan.collateral;
            case.chip = milan.chip;
            let rules = case.rules().clone();
            case.policy.platform.software_snp = milan.policy.platform.software_snp;
            *case.rules() = rules;
        }),
        ("vlek_refused", |case| {
            case.chip.signer = Signer::Vlek;
            case.collateral = case.chip.collateral().to_vec();
        }),
        ("revocation_list_missing", |case| {
            case.chip.listed = false;
            case.collateral = case.chip.collateral().to_vec();
        }),
        ("firmware_provisional", |case| {
            case.chip.firmware_committed[2] -= 1
        }),
    ];
    for (code, change) in rejected {
        let mut case = sound.clone();
        change(&mut case);
        let verdict = case.judge();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }
}

/// The example as it is, on the software kind: it accepts what it should, and
/// rejects ten things that it should not.
#[test]
fn the_policy_for_an_enclave_does_what_it_says() {
    let text = include_str!("../../../../docs/policies/nitro-enclave.toml");
    let mut policy = Policy::from_toml(text).unwrap();
    policy.platform.software_nitro = Some(Software {
        anchor_pem: Anchor::from_pem(&Enclave::root_pem()).unwrap(),
        rules: policy.platform.nitro.take().unwrap(),
    });
    policy.release[0].software_nitro = policy.release[0].nitro.take();
    let sound = nitro::Case {
        policy,
        ..nitro::Case::sound()
    };
    assert_eq!(codes(&sound.judge()), [""; 0], "{}", sound.judge());
    let rejected: [Fault<nitro::Case>; 10] = [
        ("release_unknown", |case| case.enclave.pcrs[0].1[0] ^= 1),
        ("release_unknown", |case| case.enclave.pcrs[1].1[47] ^= 1),
        ("release_unknown", |case| case.enclave.pcrs[2].1[0] ^= 1),
        ("release_unknown", |case| case.enclave.pcrs[3].1[0] ^= 1),
        ("release_unknown", |case| case.enclave.pcrs[8].1[0] ^= 1),
        ("debug_enabled", |case| case.enclave.pcrs[0].1 = vec![0; 48]),
        ("machine_refused", |case| case.enclave.pcrs[4].1[0] ^= 1),
        ("document_too_old", |case| case.now_ms += 3_600_000),
        ("anchor_mismatch", |case| case.enclave.other_root = true),
        ("quote_signature", |case| case.enclave.other_leaf = true),
    ];
    for (code, change) in rejected {
        let mut case = sound.clone();
        change(&mut case);
        let verdict = case.judge();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }
}
