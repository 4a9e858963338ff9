//! AWS Nitro Enclaves on its software kind: what a sound policy accepts, and
//! each thing that it must not.

use crate::{
    common::codes,
    snp::{Fault, evidence},
};
use soundproof_evidence::{
    Facts, Hex, Policy, Verdict, appraise, explain_under,
    nitro::{Document, DocumentError, MAX_DOCUMENT, NitroMeasurements},
    policy::{Anchor, NitroRules, Release, Software, TrustRules, observed},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    digest::Digest,
};
use soundproof_testkit::{nitro::Enclave, pki::NOW_MS, session};

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) enclave: Enclave,
    pub(crate) policy: Policy,
    pub(crate) now_ms: u64,
}

fn binding() -> Binding {
    Binding::new(
        Platform::SoftwareNitro,
        Role::Keeper,
        Digest([7; 32]),
        None,
        None,
    )
}

fn endorsements() -> Endorsements {
    Endorsements::new(Platform::SoftwareNitro, Vec::new())
}

pub(crate) fn bound(enclave: &Enclave) -> Evidence {
    let document = enclave.document(Some(binding().as_bytes()));
    evidence(Platform::SoftwareNitro, document)
}

impl Case {
    pub(crate) fn sound() -> Self {
        let enclave = Enclave::new(NOW_MS - 60_000);
        let document = Document::parse(&enclave.document(None)).unwrap();
        let mut policy = Policy::default();
        policy.platform.software_nitro = Some(Software {
            anchor_pem: Anchor::from_pem(&Enclave::root_pem()).unwrap(),
            rules: NitroRules {
                any_machine: true,
                ..NitroRules::default()
            },
        });
        policy.trust = TrustRules::exactly(&session::trust());
        policy.release = vec![Release {
            name: "this one".into(),
            software_nitro: NitroMeasurements::of(&document),
            ..Release::default()
        }];
        Self {
            enclave,
            policy,
            now_ms: NOW_MS,
        }
    }

    fn rules(&mut self) -> &mut NitroRules {
        &mut self.policy.platform.software_nitro.as_mut().unwrap().rules
    }

    fn release(&mut self) -> &mut NitroMeasurements {
        self.policy.release[0].software_nitro.as_mut().unwrap()
    }

    pub(crate) fn judge(&self) -> Verdict {
        self.judge_evidence(&bound(&self.enclave))
    }

    pub(crate) fn judge_evidence(&self, evidence: &Evidence) -> Verdict {
        appraise(
            evidence,
            &endorsements(),
            &binding(),
            &session::trust(),
            &self.policy,
            self.now_ms,
        )
    }
}

fn with(change: impl FnOnce(&mut Case)) -> Verdict {
    let mut case = Case::sound();
    change(&mut case);
    case.judge()
}

#[test]
fn a_sound_document_is_accepted_in_every_form() {
    for (tagged, nulls) in [(false, true), (true, true), (false, false)] {
        let verdict = with(|case| {
            case.enclave.tagged = tagged;
            case.enclave.nulls = nulls;
        });
        assert_eq!(codes(&verdict), [""; 0], "{verdict}");
        let Some(Facts::Nitro(facts)) = verdict.facts.as_deref() else {
            panic!("{verdict}")
        };
        assert_eq!(facts.pcrs.len(), 16);
        assert_eq!(facts.user_data, Some(hex::encode(binding().as_bytes())));
        assert_eq!(verdict.accept().unwrap().binding(), &binding());
    }
    let longer = with(|case| case.enclave.authorities = 5);
    assert_eq!(codes(&longer), [""; 0], "{longer}");
}

#[test]
fn a_debug_enclave_is_refused_by_every_policy() {
    let zero = Hex([0; 48]);
    let all = with(|case| {
        for (_, value) in case.enclave.pcrs.iter_mut().take(3) {
            *value = vec![0; 48];
        }
        let release = case.release();
        (release.pcr0, release.pcr1, release.pcr2) = (zero, zero, zero);
    });
    assert_eq!(codes(&all), ["debug_enabled"], "{all}");
}

#[test]
fn each_register_counts() {
    for (index, name) in [
        (0, "pcr0"),
        (1, "pcr1"),
        (2, "pcr2"),
        (3, "pcr3"),
        (4, "pcr4"),
        (8, "pcr8"),
    ] {
        let verdict = with(|case| case.enclave.pcrs[index].1[0] ^= 1);
        assert_eq!(codes(&verdict), ["release_unknown"], "{verdict}");
        let found = &verdict.failures().next().unwrap().found;
        assert!(found.ends_with(name), "{found}");
    }
    // The role and the instance may be left out of a release.
    let elsewhere = with(|case| {
        case.enclave.pcrs[3].1[0] ^= 1;
        case.enclave.pcrs[4].1[0] ^= 1;
        (case.release().pcr3, case.release().pcr4) = (None, None);
    });
    assert_eq!(codes(&elsewhere), [""; 0]);
    let missing = with(|case| {
        case.enclave.pcrs.remove(8);
    });
    assert!(codes(&missing).contains(&"evidence_malformed"), "{missing}");
}

#[test]
fn time_counts() {
    let old = |now_ms| with(|case| case.now_ms = now_ms);
    let made_ms = NOW_MS - 60_000;
    assert_eq!(codes(&old(made_ms + 3_600_000)), [""; 0]);
    assert_eq!(codes(&old(made_ms + 3_601_000)), ["document_too_old"]);
    assert_eq!(
        codes(&old(made_ms - 119_000)),
        [""; 0],
        "within what clocks may differ"
    );
    let future = old(made_ms - 130_000);
    assert!(
        codes(&future).contains(&"collateral_not_yet_valid"),
        "{future}"
    );
    let ended = with(|case| {
        case.rules().max_age_s = 1_000_000;
        case.now_ms = made_ms + 3 * 3_600_000 + 1000;
    });
    assert!(codes(&ended).contains(&"collateral_expired"), "{ended}");
    assert!(!ended.verified);
    // A document that is dated after its certificate ended.
    let after = with(|case| case.enclave.leaf_life_s = 10);
    assert!(codes(&after).contains(&"collateral_expired"), "{after}");
}

#[test]
fn certificates_and_signature_count() {
    let expected: [Fault<Enclave>; 4] = [
        ("certificate_invalid", |enclave| enclave.powerless = true),
        ("anchor_mismatch", |enclave| enclave.other_root = true),
        ("anchor_mismatch", |enclave| enclave.reversed = true),
        ("quote_signature", |enclave| enclave.other_leaf = true),
    ];
    for (code, change) in expected {
        let verdict = with(|case| change(&mut case.enclave));
        assert_eq!(codes(&verdict), [code], "{verdict}");
    }
    let long = with(|case| case.enclave.authorities = 7);
    assert!(
        codes(&long).contains(&"evidence_malformed")
            || codes(&long).contains(&"certificate_invalid"),
        "{long}"
    );
    let case = Case::sound();
    let mut evidence = bound(&case.enclave);
    evidence.platform = Platform::Nitro;
    let mut policy = case.policy.clone();
    policy.platform.nitro = policy
        .platform
        .software_nitro
        .as_ref()
        .map(|s| s.rules.clone());
    policy.release[0].nitro = policy.release[0].software_nitro;
    let verdict = appraise(
        &evidence,
        &Endorsements::new(Platform::Nitro, Vec::new()),
        &binding(),
        &session::trust(),
        &policy,
        NOW_MS,
    );
    assert_eq!(
        codes(&verdict),
        ["anchor_mismatch", "binding_mismatch"][..1],
        "{verdict}"
    );
}

#[test]
fn only_user_data_binds() {
    let case = Case::sound();
    for data in [
        None,
        Some(&[][..]),
        Some(&[0; 64][..]),
        Some(&binding().as_bytes()[..63]),
    ] {
        let document = case.enclave.document(data);
        let verdict = case.judge_evidence(&evidence(Platform::SoftwareNitro, document));
        assert_eq!(codes(&verdict), ["binding_mismatch"], "{data:?}");
    }
    let nonce = with(|case| case.enclave.nonce = Some(binding().as_bytes().to_vec()));
    assert_eq!(codes(&nonce), ["document_fields"]);
    let key = with(|case| case.enclave.public_key = Some(vec![1]));
    assert_eq!(codes(&key), ["document_fields"]);
    let mut extra = bound(&case.enclave);
    extra.event_log = Some(soundproof_protocol::cbor::Bytes(vec![0]));
    assert_eq!(codes(&case.judge_evidence(&extra)), ["evidence_unjudged"]);
    let verdict = appraise(
        &bound(&case.enclave),
        &Endorsements::new(Platform::SoftwareNitro, vec![0xa0]),
        &binding(),
        &session::trust(),
        &case.policy,
        NOW_MS,
    );
    assert_eq!(codes(&verdict), ["endorsements_malformed"]);
}

#[test]
fn instances_must_be_named_or_every_one_accepted() {
    let none = with(|case| case.rules().any_machine = false);
    assert_eq!(codes(&none), ["machine_unspecified"]);
    let this = with(|case| case.rules().instance_id = vec!["i-0123456789abcdef0".into()]);
    assert_eq!(codes(&this), [""; 0]);
    let other = with(|case| case.rules().instance_id = vec!["i-other".into()]);
    assert_eq!(codes(&other), ["machine_refused"]);
    // The name alone proves nothing: PCR 4 does.
    let named = with(|case| {
        case.enclave.pcrs[4].1 = vec![9; 48];
        case.release().pcr4 = None;
        case.rules().instance_id = vec!["i-0123456789abcdef0".into()];
    });
    assert_eq!(codes(&named), ["machine_refused"]);
}

#[test]
fn documents_have_one_shape() {
    let enclave = Enclave::new(NOW_MS);
    let sound = enclave.payload(Some(&[1]));
    let parse = |payload: &[u8]| Document::parse(&enclave.sign(payload));
    assert!(parse(&sound).is_ok());
    let refused = |from: &[u8], to: &[u8]| {
        let at = sound
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        let mut changed = sound.clone();
        changed.splice(at..at + from.len(), to.iter().copied());
        parse(&changed).unwrap_err()
    };
    let other = |change: &dyn Fn(&mut Enclave)| {
        let mut enclave = enclave.clone();
        change(&mut enclave);
        Document::parse(&enclave.document(None))
    };
    assert_eq!(refused(b"module_id", b"module_ix"), DocumentError::Unknown);
    // One key instead of another.
    assert_eq!(
        refused(b"\x65nonce\xf6", b"\x66digest\x66SHA384"),
        DocumentError::Twice("digest")
    );
    assert!(other(&|e| e.digest = "SHA256".into()).is_err());
    assert_eq!(other(&|e| e.algorithm = -7), Err(DocumentError::Header));
    assert_eq!(other(&|e| e.algorithm = 0), Err(DocumentError::Header));
    assert_eq!(
        other(&|e| e.made_ms = 0),
        Err(DocumentError::Bounds("timestamp"))
    );
    assert_eq!(
        other(&|e| e.pcrs.clear()),
        Err(DocumentError::Bounds("pcrs"))
    );
    assert_eq!(
        other(&|e| e.pcrs[5].0 = 6),
        Err(DocumentError::Twice("a PCR"))
    );
    assert_eq!(
        other(&|e| e.pcrs[5].0 = 32),
        Err(DocumentError::Bounds("PCR"))
    );
    for len in [0, 31, 47, 49, 65] {
        assert_eq!(
            other(&|e| e.pcrs[5].1 = vec![0; len]),
            Err(DocumentError::Bounds("PCR"))
        );
    }
    for len in [32, 64] {
        assert!(other(&|e| e.pcrs[5].1 = vec![0; len]).is_ok());
    }
    assert_eq!(
        other(&|e| e.pcrs = (0..33).map(|index| (index, vec![0; 48])).collect()),
        Err(DocumentError::Bounds("pcrs"))
    );
    assert_eq!(
        other(&|e| e.public_key = Some(Vec::new())),
        Err(DocumentError::Bounds("public_key"))
    );
    assert_eq!(
        other(&|e| e.nonce = Some(vec![0; 1025])),
        Err(DocumentError::Bounds("nonce"))
    );
    let mut trailing = enclave.document(None);
    trailing.push(0);
    assert_eq!(
        Document::parse(&trailing),
        Err(DocumentError::Trailing("document"))
    );
    assert!(Document::parse_prefix(&trailing).is_ok());
    assert_eq!(
        Document::parse(&vec![0; MAX_DOCUMENT + 1]),
        Err(DocumentError::TooLong(MAX_DOCUMENT + 1))
    );
    let document = enclave.document(Some(&[1; 64]));
    for len in 0..document.len() {
        assert!(Document::parse(&document[..len]).is_err());
    }
    // An unprotected header is signed by nobody.
    assert_eq!(document[6], 0xa0, "an empty map after the protected header");
    let mut changed = document.clone();
    changed.splice(6..7, [0xa1, 0x04, 0x40]);
    assert_eq!(Document::parse(&changed), Err(DocumentError::Header));
}

#[test]
fn no_byte_of_a_document_can_be_changed() {
    let case = Case::sound();
    let sound = bound(&case.enclave).statement.0;
    let step = 7;
    for at in (0..sound.len()).step_by(step) {
        let mut changed = sound.clone();
        changed[at] ^= 0x01;
        let verdict = case.judge_evidence(&evidence(Platform::SoftwareNitro, changed));
        assert!(verdict.accept().is_err(), "byte {at}");
    }
    println!("{} changed documents, none accepted", sound.len() / step);
}

#[test]
fn a_policy_from_what_was_seen_accepts_that_and_nothing_else() {
    let case = Case::sound();
    let anchor = Anchor::from_pem(&Enclave::root_pem()).unwrap();
    let (platforms, release) = observed(
        &bound(&case.enclave),
        &endorsements(),
        Some(anchor.clone()),
        "seen",
        NOW_MS,
    )
    .unwrap();
    let mut seen = case.clone();
    seen.policy.platform = platforms;
    seen.policy.release = vec![release];
    assert_eq!(codes(&seen.judge()), [""; 0]);
    assert_eq!(seen.rules().instance_id, ["i-0123456789abcdef0"]);
    let text = seen.policy.to_toml().unwrap();
    assert_eq!(Policy::from_toml(&text).unwrap(), seen.policy, "{text}");
    let explained = explain_under(&bound(&case.enclave), &endorsements(), Some(anchor), NOW_MS);
    assert_eq!(codes(&explained), [""; 0], "{explained}");
    assert!(explained.accept().is_err());
}
