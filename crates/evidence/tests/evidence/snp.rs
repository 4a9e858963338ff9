//! SEV-SNP on its software kind: what a sound policy accepts, each thing that
//! it must not, and every layout of AMD's.

use crate::common::codes;
use soundproof_evidence::{
    Facts, Hex, Policy, Verdict, appraise, explain, explain_under,
    policy::{
        Anchor, ChipId, MinTcb, Protection, Release, SnpRules, Software, TrustRules, observed,
    },
    snp::{Product, Report, ReportError, Signer, SnpMeasurements, Tcb},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{
    pki::NOW_MS,
    session,
    snp::{Chip, Guest},
};

const NOW_S: u64 = NOW_MS / 1000;

/// A reason code, and the change that must lead to it.
pub(crate) type Fault<T> = (&'static str, fn(&mut T));

/// All that goes into one appraisal.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) chip: Chip,
    pub(crate) guest: Guest,
    pub(crate) policy: Policy,
    pub(crate) collateral: Vec<u8>,
    pub(crate) now_ms: u64,
}

pub(crate) fn binding() -> Binding {
    Binding::new(
        Platform::SoftwareSnp,
        Role::Keeper,
        Digest([7; 32]),
        None,
        None,
    )
}

impl Case {
    pub(crate) fn of(product: Product, version: u32) -> Self {
        let chip = Chip::new(product, NOW_S);
        let guest = Guest::new(version);
        let [fmc, bootloader, tee, snp, microcode] = chip.certified;
        let least = Tcb {
            fmc: (product == Product::Turin).then_some(fmc),
            bootloader,
            tee,
            snp,
            microcode,
        };
        let rules = SnpRules {
            any_machine: true,
            min_tcb: MinTcb::only(product, least),
            ..SnpRules::default()
        };
        let report = Report::parse(&guest.report(&chip, &[0; 64])).unwrap();
        let mut policy = Policy::default();
        policy.platform.software_snp = Some(Software {
            anchor_pem: Anchor::from_pem(&chip.root_pem()).unwrap(),
            rules,
        });
        policy.trust = TrustRules::exactly(&session::trust());
        policy.release = vec![Release {
            name: "this one".into(),
            software_snp: Some(SnpMeasurements::of(&report)),
            ..Release::default()
        }];
        Self {
            collateral: chip.collateral().to_vec(),
            chip,
            guest,
            policy,
            now_ms: NOW_MS,
        }
    }

    pub(crate) fn sound() -> Self {
        Self::of(Product::Genoa, 3)
    }

    pub(crate) fn rules(&mut self) -> &mut SnpRules {
        &mut self.policy.platform.software_snp.as_mut().unwrap().rules
    }

    fn least(&mut self) -> &mut Tcb {
        self.rules().min_tcb.genoa.as_mut().unwrap()
    }

    pub(crate) fn evidence(&self) -> Evidence {
        evidence(
            Platform::SoftwareSnp,
            self.guest.report(&self.chip, binding().as_bytes()),
        )
    }

    pub(crate) fn judge(&self) -> Verdict {
        self.judge_evidence(&self.evidence())
    }

    pub(crate) fn judge_evidence(&self, evidence: &Evidence) -> Verdict {
        appraise(
            evidence,
            &Endorsements::new(Platform::SoftwareSnp, self.collateral.clone()),
            &binding(),
            &session::trust(),
            &self.policy,
            self.now_ms,
        )
    }

    /// Judges it after a change of the chip, with certificates made anew.
    fn with_chip(change: impl FnOnce(&mut Chip)) -> Verdict {
        let mut case = Self::sound();
        change(&mut case.chip);
        case.collateral = case.chip.collateral().to_vec();
        case.judge()
    }

    /// Judges it after a change of the report only.
    fn with(change: impl FnOnce(&mut Self)) -> Verdict {
        let mut case = Self::sound();
        change(&mut case);
        case.judge()
    }
}

pub(crate) fn evidence(platform: Platform, statement: Vec<u8>) -> Evidence {
    Evidence {
        platform,
        statement: Bytes(statement),
        event_log: None,
        gpu: None,
        runtime: None,
    }
}

fn found(verdict: &Verdict, name: &str) -> String {
    verdict
        .checks
        .iter()
        .filter(|check| check.name == name)
        .map(|check| check.found.clone())
        .collect()
}

#[test]
fn every_product_and_version_is_accepted() {
    for (product, versions) in [
        (Product::Milan, 2..=5),
        (Product::Genoa, 2..=5),
        (Product::Turin, 2..=5),
    ] {
        let case = Case::of(product, 2);
        for version in versions {
            let mut case = case.clone();
            case.guest = Guest::new(version);
            let verdict = case.judge();
            assert_eq!(codes(&verdict), [""; 0], "{product:?} {version}\n{verdict}");
            assert!(verdict.verified);
            let Some(Facts::Snp(facts)) = verdict.facts.as_deref() else {
                panic!("{verdict}")
            };
            let machine = facts.machine.as_ref().unwrap();
            assert_eq!(machine.product, product);
            assert_eq!(
                machine.reported_tcb.fmc.is_some(),
                product == Product::Turin
            );
            assert_eq!(machine.chip_id, Some(hex::encode(&case.chip.chip_id)));
            assert_eq!(verdict.accept().unwrap().binding(), &binding());
        }
    }
}

#[test]
fn a_debuggable_guest_is_refused_by_every_policy() {
    let verdict = Case::with(|case| {
        case.guest.policy |= 1 << 19;
        case.policy.release[0]
            .software_snp
            .as_mut()
            .unwrap()
            .guest_policy
            .0 |= 1 << 19;
    });
    assert_eq!(codes(&verdict), ["debug_enabled"], "{verdict}");
}

#[test]
fn each_part_of_the_tuple_counts() {
    let refused = |name: &str, change: fn(&mut Guest)| {
        let verdict = Case::with(|case| change(&mut case.guest));
        assert_eq!(codes(&verdict), ["release_unknown"], "{name}\n{verdict}");
        assert!(found(&verdict, "release").ends_with(name), "{verdict}");
    };
    refused("measurement", |guest| guest.measurement[0] ^= 1);
    refused("host_data", |guest| guest.host_data[0] ^= 1);
    refused("guest_policy", |guest| guest.policy |= 1 << 20);
    refused("family_id", |guest| guest.family_id[0] ^= 1);
    refused("image_id", |guest| guest.image_id[0] ^= 1);
    refused("id_key_digest", |guest| guest.id_key_digest[0] ^= 1);
    refused("author_key_digest", |guest| guest.author_key_digest[0] ^= 1);
    refused("guest_svn", |guest| guest.svn -= 1);
    let newer = Case::with(|case| case.guest.svn += 1);
    assert_eq!(codes(&newer), [""; 0], "a newer one is fine");
}

#[test]
fn a_tcb_shortfall_names_part_and_amount() {
    for (index, name) in [(1, "boot loader"), (3, "SNP firmware"), (4, "microcode")] {
        // The certificate is for what is reported, as it must be.
        let verdict = Case::with_chip(|chip| {
            chip.certified[index] -= 2;
            chip.reported[index] -= 2;
        });
        assert_eq!(codes(&verdict), ["tcb_below_minimum"], "{verdict}");
        let text = found(&verdict, "tcb");
        assert!(text.starts_with(&format!("reported: {name} is ")), "{text}");
        assert!(text.ends_with("2 short"), "{text}");
    }
    let committed = Case::with_chip(|chip| chip.committed[3] -= 1);
    assert_eq!(codes(&committed), ["tcb_below_minimum"], "{committed}");
    assert!(found(&committed, "tcb").starts_with("committed: SNP firmware"));
    let launch = Case::with_chip(|chip| chip.launch[4] -= 1);
    assert_eq!(codes(&launch), ["tcb_below_minimum"], "{launch}");
    assert!(found(&launch, "tcb").starts_with("at launch: microcode"));
    let newer = Case::with_chip(|chip| chip.current[4] += 1);
    assert_eq!(codes(&newer), [""; 0], "{newer}");
    let lower = Case::with(|case| case.least().microcode -= 1);
    assert_eq!(codes(&lower), [""; 0], "{lower}");
    let other = Case::with(|case| {
        let least = *case.least();
        case.rules().min_tcb = MinTcb::only(Product::Milan, least);
    });
    assert_eq!(codes(&other), ["tcb_unspecified"], "{other}");
}

#[test]
fn versions_that_contradict_each_other_are_refused() {
    let reported = Case::with_chip(|chip| {
        chip.reported[3] += 1;
        chip.certified[3] += 1;
    });
    assert_eq!(codes(&reported), ["tcb_inconsistent"], "{reported}");
    let committed = Case::with_chip(|chip| chip.committed[4] += 1);
    assert_eq!(codes(&committed), ["tcb_inconsistent"], "{committed}");
    let rolled_back = Case::with_chip(|chip| chip.certified[3] += 1);
    assert_eq!(codes(&rolled_back), ["tcb_certificate"], "{rolled_back}");
    let older = Case::with_chip(|chip| chip.reported[4] -= 1);
    assert_eq!(codes(&older), ["tcb_certificate"], "{older}");
}

#[test]
fn firmware_that_can_go_back_is_refused_unless_the_policy_says_so() {
    let provisional = |accept, newer: i8| {
        let mut case = Case::sound();
        case.chip.firmware_committed[2] = case.chip.firmware[2].wrapping_add_signed(newer);
        case.rules().provisional_firmware = accept;
        case.judge()
    };
    assert_eq!(codes(&provisional(false, -1)), ["firmware_provisional"]);
    assert_eq!(codes(&provisional(true, -1)), [""; 0]);
    assert_eq!(codes(&provisional(true, 1)), ["firmware_provisional"]);
    let old = Case::with(|case| case.rules().min_firmware = Some("1.55.40".parse().unwrap()));
    assert_eq!(codes(&old), ["tcb_below_minimum"]);
    let new = Case::with(|case| case.rules().min_firmware = Some("1.55.39".parse().unwrap()));
    assert_eq!(codes(&new), [""; 0]);
}

#[test]
fn the_guest_policy_and_the_machines_settings_count() {
    let bits = |bit: u64, change: fn(&mut SnpRules)| {
        let mut case = Case::sound();
        case.guest.policy |= bit;
        case.policy.release[0]
            .software_snp
            .as_mut()
            .unwrap()
            .guest_policy
            .0 |= bit;
        change(case.rules());
        case.judge()
    };
    const MIGRATION: u64 = 1 << 18;
    const CXL: u64 = 1 << 21;
    assert_eq!(codes(&bits(MIGRATION, |_| ())), ["guest_policy_refused"]);
    assert_eq!(
        codes(&bits(MIGRATION, |rules| rules.migration_agent = true)),
        [""; 0]
    );
    assert_eq!(codes(&bits(CXL, |_| ())), ["guest_policy_refused"]);
    assert_eq!(codes(&bits(CXL, |rules| rules.cxl = true)), [""; 0]);
    assert_eq!(
        codes(&bits(0, |rules| rules.smt = false)),
        ["guest_policy_refused"]
    );
    for (bit, protection) in [
        (20, Protection::SingleSocket),
        (22, Protection::Aes256Xts),
        (23, Protection::RaplDisabled),
        (24, Protection::CiphertextHiding),
        (25, Protection::PageSwapDisabled),
    ] {
        for (there, expected) in [(false, &["guest_policy_refused"][..]), (true, &[])] {
            let mut case = Case::sound();
            let bit = if there { 1 << bit } else { 0 };
            case.guest.policy |= bit;
            case.policy.release[0]
                .software_snp
                .as_mut()
                .unwrap()
                .guest_policy
                .0 |= bit;
            case.rules().require = vec![protection];
            assert_eq!(codes(&case.judge()), expected, "{protection:?} {there}");
        }
    }
    for (bit, protection) in [
        (2, Protection::Ecc),
        (5, Protection::AliasCheck),
        (1, Protection::Tsme),
    ] {
        for (there, expected) in [(false, &["platform_info_refused"][..]), (true, &[])] {
            let mut case = Case::sound();
            case.guest.platform_info &= !(1 << bit);
            case.guest.platform_info |= u64::from(there) << bit;
            case.rules().require = vec![protection];
            assert_eq!(codes(&case.judge()), expected, "{protection:?} {there}");
        }
    }
    let tio = |accept| {
        Case::with(|case| {
            case.guest.platform_info |= 1 << 7;
            case.rules().tio = accept;
        })
    };
    assert_eq!(codes(&tio(false)), ["platform_info_refused"]);
    assert_eq!(codes(&tio(true)), [""; 0]);
    let unknown = Case::with(|case| case.guest.platform_info |= 1 << 40);
    assert_eq!(codes(&unknown), ["platform_info_refused"]);
    let aliases = Case::with(|case| case.guest.platform_info &= !(1 << 5));
    assert_eq!(codes(&aliases), [""; 0]);
    let warned = aliases
        .warnings()
        .any(|check| check.code.code() == "alias_check_missing");
    assert!(warned, "{aliases}");
    let agent = Case::with(|case| case.guest.report_id_ma[3] = 0);
    assert_eq!(codes(&agent), ["guest_policy_refused"]);
}

#[test]
fn less_privileged_software_makes_no_evidence() {
    for vmpl in 0..=3 {
        for max in 0..=3 {
            let mut case = Case::sound();
            case.guest.vmpl = vmpl;
            case.rules().max_vmpl = max;
            let good = vmpl <= u32::from(max);
            let expected = if good { &[][..] } else { &["vmpl_refused"] };
            assert_eq!(codes(&case.judge()), expected);
        }
    }
}

#[test]
fn machines_must_be_named_or_every_one_accepted() {
    let machine = |change: fn(&mut SnpRules)| Case::with(|case| change(case.rules()));
    let none = machine(|rules| rules.any_machine = false);
    assert_eq!(codes(&none), ["machine_unspecified"]);
    let this: fn(&mut SnpRules) = |rules| rules.chip_id = vec!["c1".repeat(64).parse().unwrap()];
    assert_eq!(codes(&machine(this)), [""; 0]);
    let other = machine(|rules| rules.chip_id = vec!["c2".repeat(64).parse().unwrap()]);
    assert_eq!(
        codes(&other),
        ["machine_refused"],
        "a list counts, whatever any_machine says"
    );
    // Turin's id has 8 bytes; a report has zeros after it.
    let mut turin = Case::of(Product::Turin, 5);
    let ids = [
        "71".repeat(8),
        format!("{}{}", "71".repeat(8), "00".repeat(56)),
    ];
    turin.rules().any_machine = false;
    for id in ids {
        turin.rules().chip_id = vec![id.parse().unwrap()];
        assert_eq!(codes(&turin.judge()), [""; 0]);
    }
    turin.rules().chip_id = vec!["72".repeat(8).parse().unwrap()];
    assert_eq!(codes(&turin.judge()), ["machine_refused"]);
    for bad in ["", "00", &"00".repeat(64), &"zz".repeat(64)] {
        assert!(bad.parse::<ChipId>().is_err(), "{bad}");
    }
}

#[test]
fn the_certificate_is_this_chips() {
    let mut other = Case::sound();
    other.chip.chip_id = vec![0xc2; 64];
    // Its report, with the first one's certificate: they share a key here.
    assert_eq!(codes(&other.judge()), ["chip_mismatch"]);
    let mut masked = Case::sound();
    masked.chip.masked = true;
    assert_eq!(
        codes(&masked.judge()),
        [""; 0],
        "the certificate still says which it is"
    );
    masked.rules().chip_id = vec!["c1".repeat(64).parse().unwrap()];
    assert_eq!(codes(&masked.judge()), [""; 0]);
    let mut turin = Case::of(Product::Turin, 5);
    turin.chip.chip_id.push(1);
    assert_eq!(
        codes(&turin.judge()),
        ["chip_mismatch"],
        "zeros after the id"
    );
}

#[test]
fn a_providers_key_must_be_named() {
    let provider = |change: fn(&mut Case)| {
        let mut case = Case::sound();
        case.chip.signer = Signer::Vlek;
        case.collateral = case.chip.collateral().to_vec();
        change(&mut case);
        case.judge()
    };
    assert_eq!(codes(&provider(|_| ())), ["vlek_refused"]);
    let named: fn(&mut Case) = |case| case.rules().vlek_providers = vec!["Some Cloud".into()];
    assert_eq!(codes(&provider(named)), [""; 0]);
    let other = provider(|case| case.rules().vlek_providers = vec!["Another".into()]);
    assert_eq!(codes(&other), ["vlek_refused"]);
    let masked = provider(|case| {
        case.rules().vlek_providers = vec!["Some Cloud".into()];
        case.rules().chip_id = vec!["c1".repeat(64).parse().unwrap()];
        case.chip.masked = true;
    });
    assert_eq!(
        codes(&masked),
        ["machine_refused"],
        "nobody can say which it is"
    );
    // The report of one kind with the certificate of the other.
    let mut mixed = Case::sound();
    mixed.chip.signer = Signer::Vlek;
    assert_eq!(codes(&mixed.judge()), ["signer_mismatch"]);
}

#[test]
fn certificates_and_list_count() {
    let expected: [Fault<Chip>; 6] = [
        ("collateral_expired", |chip| chip.key_life_s = 5 * 24 * 3600),
        ("collateral_expired", |chip| {
            chip.list_life_s = 5 * 24 * 3600
        }),
        ("collateral_not_yet_valid", |chip| {
            chip.issued_s = NOW_S + 3600
        }),
        ("certificate_revoked", |chip| chip.revoked = true),
        ("collateral_signature", |chip| chip.list_forged = true),
        ("certificate_invalid", |chip| chip.wrong_intermediate = true),
    ];
    for (code, change) in expected {
        let verdict = Case::with_chip(change);
        let codes = codes(&verdict);
        assert!(
            codes.contains(&code) && codes.iter().all(|c| *c == code),
            "{code}\n{verdict}"
        );
        assert!(!verdict.verified);
    }
    let skewed = Case::with_chip(|chip| chip.issued_s = NOW_S + 60);
    assert_eq!(codes(&skewed), [""; 0], "within what clocks may differ");
    let unlisted = |require| {
        let mut case = Case::sound();
        case.chip.listed = false;
        case.collateral = case.chip.collateral().to_vec();
        case.rules().require_crl = require;
        case.judge()
    };
    assert_eq!(codes(&unlisted(true)), ["revocation_list_missing"]);
    assert_eq!(codes(&unlisted(false)), [""; 0]);
    let old = Case::with(|case| case.rules().max_crl_age_s = Some(9 * 24 * 3600));
    assert_eq!(codes(&old), ["collateral_too_old"]);
    let young = Case::with(|case| case.rules().max_crl_age_s = Some(11 * 24 * 3600));
    assert_eq!(codes(&young), [""; 0]);
}

#[test]
fn the_product_is_the_one_whose_key_signed() {
    // Version 2 relies on the certificate's word, which must be a product's.
    let mut case = Case::of(Product::Genoa, 2);
    case.chip.product_name = Some("Naples-B0".into());
    case.collateral = case.chip.collateral().to_vec();
    assert_eq!(codes(&case.judge()), ["product_mismatch"]);
    // From version 3 on the processor's own word counts; some certificates
    // name the product wrongly.
    case.guest = Guest::new(3);
    assert_eq!(codes(&case.judge()), [""; 0]);
    // A Milan report, under Genoa's certificates.
    let mut mixed = Case::of(Product::Genoa, 3);
    mixed.chip.product = Product::Milan;
    let verdict = mixed.judge();
    assert_eq!(codes(&verdict), ["certificate_invalid"], "{verdict}");
}

#[test]
fn anchors_are_not_exchanged() {
    let case = Case::sound();
    // Software evidence that says it is AMD's.
    let verdict = appraise(
        &evidence(Platform::Snp, case.evidence().statement.0),
        &Endorsements::new(Platform::Snp, case.collateral.clone()),
        &binding(),
        &session::trust(),
        &case.policy,
        NOW_MS,
    );
    assert!(
        codes(&verdict).contains(&"platform_not_accepted"),
        "{verdict}"
    );
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    // With a table for AMD's, it still is not.
    let mut policy = case.policy.clone();
    policy.platform.snp = policy
        .platform
        .software_snp
        .as_ref()
        .map(|s| s.rules.clone());
    policy.release[0].snp = policy.release[0].software_snp;
    let verdict = appraise(
        &evidence(Platform::Snp, case.evidence().statement.0),
        &Endorsements::new(Platform::Snp, case.collateral.clone()),
        &binding(),
        &session::trust(),
        &policy,
        NOW_MS,
    );
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    assert!(verdict.accept().is_err());
    // Another root of the same name.
    let mut other = Case::sound();
    let key = soundproof_testkit::x509::Key::rsa(soundproof_testkit::x509::FixedRsa::Other);
    let root = soundproof_testkit::x509::Template::authority(1, "ARK-Genoa", "ARK-Genoa", None)
        .sign(&key, &key);
    let pem = soundproof_testkit::x509::pem(&root);
    other
        .policy
        .platform
        .software_snp
        .as_mut()
        .unwrap()
        .anchor_pem = Anchor::from_pem(&pem).unwrap();
    assert_eq!(codes(&other.judge()), ["anchor_mismatch"]);
    // Nobody named one.
    let endorsements = Endorsements::new(Platform::SoftwareSnp, case.collateral.clone());
    let unnamed = explain(&case.evidence(), &endorsements, NOW_MS);
    assert_eq!(codes(&unnamed), ["anchor_unnamed"]);
    let anchor = Anchor::from_pem(&case.chip.root_pem()).unwrap();
    let named = explain_under(&case.evidence(), &endorsements, Some(anchor), NOW_MS);
    assert_eq!(codes(&named), [""; 0], "{named}");
    assert!(named.accept().is_err(), "explained only");
}

#[test]
fn a_report_of_another_session_is_refused() {
    let case = Case::sound();
    for bytes in [[0; 64], [0xff; 64]] {
        let report = case.guest.report(&case.chip, &bytes);
        let verdict = case.judge_evidence(&evidence(Platform::SoftwareSnp, report));
        assert_eq!(codes(&verdict), ["binding_mismatch"]);
    }
}

#[test]
fn parts_that_do_not_belong_are_refused() {
    let case = Case::sound();
    let mut with_log = case.evidence();
    with_log.event_log = Some(Bytes(vec![1]));
    assert_eq!(
        codes(&case.judge_evidence(&with_log)),
        ["evidence_unjudged"]
    );
    let mut trailing = case.evidence();
    trailing.statement.0.push(0);
    let verdict = case.judge_evidence(&trailing);
    assert!(codes(&verdict).contains(&"evidence_malformed"), "{verdict}");
}

#[test]
fn reserved_bytes_have_one_value() {
    let case = Case::sound();
    let sound = case.guest.report(&case.chip, &[1; 64]);
    assert!(Report::parse(&sound).is_ok());
    let mut reserved = 0;
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 0x80;
        if Report::parse(&changed).is_err() {
            reserved += 1;
        } else if at >= 0x2a0 {
            // Only the two numbers of the signature can be anything.
            assert!(
                (0x2a0..0x2d0).contains(&at) || (0x2e8..0x318).contains(&at),
                "{at:#x}"
            );
        }
    }
    assert!(reserved > 368 + 48 + 168, "{reserved}");
    for len in 0..sound.len() {
        assert_eq!(Report::parse(&sound[..len]), Err(ReportError::Length(len)));
    }
    for version in [0, 1, 6, u32::MAX] {
        let mut changed = sound.clone();
        changed[..4].copy_from_slice(&version.to_le_bytes());
        assert_eq!(Report::parse(&changed), Err(ReportError::Version(version)));
    }
    let mut masked = sound.clone();
    masked[0x48] = 2;
    assert_eq!(Report::parse(&masked), Err(ReportError::Unsigned));
    let mut none = sound.clone();
    none[0x48] = 7 << 2;
    assert_eq!(Report::parse(&none), Err(ReportError::Unsigned));
    let mut cpu = sound;
    cpu[0x188] = 0x17;
    assert_eq!(Report::parse(&cpu), Err(ReportError::Processor(0x17, 0x11)));
}

#[test]
fn a_policy_from_what_was_seen_accepts_that_and_nothing_else() {
    let case = Case::sound();
    let evidence = case.evidence();
    let endorsements = Endorsements::new(Platform::SoftwareSnp, case.collateral.clone());
    let anchor = Anchor::from_pem(&case.chip.root_pem()).unwrap();
    let (platforms, release) =
        observed(&evidence, &endorsements, Some(anchor), "seen", NOW_MS).unwrap();
    let mut seen = case.clone();
    seen.policy.platform = platforms;
    seen.policy.release = vec![release];
    assert_eq!(codes(&seen.judge()), [""; 0]);
    let text = seen.policy.to_toml().unwrap();
    assert_eq!(Policy::from_toml(&text).unwrap(), seen.policy, "{text}");
    seen.guest.measurement[0] ^= 1;
    seen.chip.launch[4] -= 1;
    seen.guest.platform_info &= !(1 << 2);
    assert_eq!(
        codes(&seen.judge()),
        [
            "tcb_below_minimum",
            "platform_info_refused",
            "release_unknown"
        ]
    );
}

#[test]
fn rules_are_strict_by_default_and_read_from_toml() {
    let text = r#"
        [platform.snp]
        chip_id = ["CHIP"]
        vlek_providers = ["Some Cloud"]
        require = ["single-socket", "aes-256-xts", "ecc", "alias-check"]
        min_firmware = "1.55.39"
        [platform.snp.min_tcb.turin]
        fmc = 1
        bootloader = 2
        tee = 1
        snp = 3
        microcode = 71
        [[release]]
        name = "one"
        [release.snp]
        measurement = "M"
        host_data = "H"
        guest_policy = "0x30000"
        family_id = "F"
        image_id = "F"
        id_key_digest = "M"
        author_key_digest = "M"
        min_guest_svn = 0
    "#
    .replace("CHIP", &"ab".repeat(64))
    .replace("\"M\"", &format!("\"{}\"", "0a".repeat(48)))
    .replace("\"H\"", &format!("\"{}\"", "0b".repeat(32)))
    .replace("\"F\"", &format!("\"{}\"", "0c".repeat(16)));
    let policy = Policy::from_toml(&text).unwrap();
    let rules = policy.platform.snp.as_ref().unwrap();
    assert!(rules.require_crl && !rules.any_machine && !rules.migration_agent);
    assert_eq!(rules.max_vmpl, 0);
    assert_eq!(rules.min_tcb.of(Product::Turin).unwrap().fmc, Some(1));
    assert_eq!(rules.min_tcb.of(Product::Milan), None);
    let release = policy.release[0].snp.unwrap();
    assert_eq!(release.guest_policy.0, 0x3_0000);
    assert_eq!(release.measurement, Hex([0x0a; 48]));
    for (from, to) in [
        ("min_guest_svn = 0", ""),
        ("host_data", "hostdata"),
        ("\"ecc\"", "\"eec\""),
        (
            "[platform.snp.min_tcb.turin]",
            "[platform.snp.min_tcb.naples]",
        ),
        ("guest_policy = \"0x30000\"", "guest_policy = \"30000\""),
        ("chip_id", "chipid"),
    ] {
        assert!(
            Policy::from_toml(&text.replace(from, to)).is_err(),
            "{from}"
        );
    }
    let review = policy.review(NOW_S);
    let all = review.lets_through.join("\n");
    assert!(all.contains("Turin with at least FMC 1"), "{all}");
    assert!(all.contains("Some Cloud"), "{all}");
}
