//! dstack's evidence, accepted as it should be and rejected for each reason.

use crate::common::codes;
use soundproof_evidence::{
    Facts, Hex, Outcome, Policy, Verdict, appraise,
    dstack::{
        KeyProvider, MrConfig, Version,
        mr_config::{v1, v2, v3},
    },
    explain,
    policy::DstackRules,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_EVIDENCE, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    dstack::{COMPOSE, Guest, GuestEvent, carried, key_provider},
    pki::{Fault, NOW_MS, Pki},
    session,
};

/// One appraisal of a guest.
struct Case {
    guest: Guest,
    evidence: Evidence,
    endorsements: Endorsements,
    binding: Binding,
    trust: TrustConfiguration,
    policy: Policy,
}

fn binding(platform: Platform, role: Role) -> Binding {
    Binding::new(platform, role, Digest([3; 32]), None, None)
}

impl Case {
    fn sound() -> Self {
        Self::of(Guest::sound().unwrap())
    }

    /// The policy accepts the guest as it is.
    fn of(guest: Guest) -> Self {
        let trust = session::trust();
        let policy = guest.policy(&trust).unwrap();
        Self::judged_by(guest, policy)
    }

    /// The policy accepts a sound guest on the same machine; this one is not.
    fn changed(change: impl FnOnce(&mut Guest)) -> Self {
        let mut guest = Guest::sound().unwrap();
        let policy = guest.policy(&session::trust()).unwrap();
        change(&mut guest);
        Self::judged_by(guest, policy)
    }

    fn judged_by(guest: Guest, policy: Policy) -> Self {
        let binding = binding(Platform::SoftwareDstack, Role::Keeper);
        Self {
            evidence: guest.evidence(binding.as_bytes()),
            endorsements: guest.endorsements().unwrap(),
            binding,
            trust: session::trust(),
            policy,
            guest,
        }
    }

    fn rules(&mut self) -> &mut DstackRules {
        &mut self.policy.platform.software_dstack.as_mut().unwrap().rules
    }

    fn judge(&self) -> Verdict {
        appraise(
            &self.evidence,
            &self.endorsements,
            &self.binding,
            &self.trust,
            &self.policy,
            NOW_MS,
        )
    }
}

fn assert_accepted(case: &Case) -> Verdict {
    let verdict = case.judge();
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(verdict.clone().accept().is_ok(), "{verdict}");
    verdict
}

fn assert_rejected(case: &Case, code: &str) {
    let verdict = case.judge();
    assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
    assert!(verdict.accept().is_err());
}

fn facts(verdict: &Verdict) -> &soundproof_evidence::dstack::DstackFacts {
    match verdict.facts.as_deref() {
        Some(Facts::Dstack(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_guest_is_accepted_with_either_version_of_log() {
    for version in [Version::V1, Version::V2] {
        let compose = match version {
            Version::V1 => COMPOSE.to_owned(),
            Version::V2 => COMPOSE.replacen('{', "{\"event_log_version\":2,", 1),
        };
        let guest = Guest::on(Pki::sound().unwrap(), &compose, version).unwrap();
        let verdict = assert_accepted(&Case::of(guest));
        let identity = facts(&verdict).identity.as_ref().unwrap();
        assert_eq!(identity.key_provider, key_provider());
        assert_eq!(identity.app_id.0, identity.compose_hash.0[..20]);
        assert_eq!(facts(&verdict).mr_config, Some(MrConfig::Unset));
        // Invariant 8: it is a software platform, and says so.
        assert!(verdict.to_string().starts_with("NO HARDWARE"));
        assert_eq!(verdict.checks[0].result, Outcome::Warn);
    }
}

#[test]
fn software_is_not_hardware() {
    let mut case = Case::sound();
    case.evidence.platform = Platform::Dstack;
    case.endorsements.platform = Platform::Dstack;
    let software = case.policy.platform.software_dstack.clone().unwrap();
    case.policy.platform.dstack = Some(software.rules);
    case.policy.release[0].dstack = case.policy.release[0].software_dstack.clone();
    let verdict = case.judge();
    assert!(!verdict.verified);
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    assert!(verdict.accept().is_err());
    // Nor is one software platform another.
    let mut case = Case::sound();
    case.policy.platform.software_dstack = None;
    assert_rejected(&case, "platform_not_accepted");
}

/// What the log says after the quote was made.
#[test]
fn a_log_that_is_not_the_quotes_is_refused() {
    type Change = fn(&mut Case);
    let changes: &[(&str, Change)] = &[
        ("event_log_missing", |case| case.evidence.event_log = None),
        ("event_log_malformed", |case| {
            case.evidence.event_log = Some(Bytes(b"[]".to_vec()));
        }),
        ("event_log_malformed", |case| {
            case.evidence.event_log = Some(carried(b"{}".to_vec(), None));
        }),
        // Nothing, cut short, one event less, two in another order.
        ("event_log_replay", |case| {
            relog(case, |events| events.clear())
        }),
        ("event_log_replay", |case| {
            relog(case, |events| {
                events.pop();
            });
        }),
        ("event_log_replay", |case| {
            relog(case, |events| events.swap(0, 1))
        }),
        ("event_log_replay", |case| {
            relog(case, |events| {
                let last = events.len() - 1;
                events.swap(last, last - 1);
            });
        }),
        ("event_log_replay", |case| {
            relog(case, |events| {
                events.push(GuestEvent::runtime("app-id", &[9; 20]));
            });
        }),
        // Another payload, with its own digest.
        ("event_log_replay", |case| {
            relog(case, |events| {
                events[5].payload = vec![9; 20];
            });
        }),
        // The other version of the digest.
        ("event_log_replay", |case| {
            relog(case, |events| events[5].version = Version::V2);
        }),
        // Another payload, with the digest of the true one.
        ("event_log_digest", |case| {
            let log = text(case).replacen("1d1d1d1d", "1d1d1d1e", 1);
            case.evidence.event_log = Some(carried(log.into(), Some(case.guest.compose.clone())));
        }),
        ("event_log_digest", |case| {
            // The separator that firmware measured.
            let log = text(case).replacen("\"00000000\"", "\"00000001\"", 1);
            case.evidence.event_log = Some(carried(log.into(), Some(case.guest.compose.clone())));
        }),
        // Another guest's.
        ("event_log_replay", |case| {
            let other = Guest::on(
                Pki::sound().unwrap(),
                &COMPOSE.replace("prover", "other"),
                Version::V1,
            )
            .unwrap();
            case.evidence.event_log = Some(carried(other.log(), Some(other.compose)));
        }),
    ];
    for (number, (code, change)) in changes.iter().enumerate() {
        let mut case = Case::sound();
        change(&mut case);
        let verdict = case.judge();
        assert!(
            codes(&verdict).contains(code),
            "{number} should give {code}\n{verdict}"
        );
        assert!(facts_identity(&verdict).is_none());
        assert!(verdict.accept().is_err());
    }
}

fn facts_identity(verdict: &Verdict) -> Option<&soundproof_evidence::dstack::Identity> {
    match verdict.facts.as_deref() {
        Some(Facts::Dstack(facts)) => facts.identity.as_ref(),
        _ => None,
    }
}

fn text(case: &Case) -> String {
    String::from_utf8(case.guest.log()).unwrap()
}

/// Another log for the same quote.
fn relog(case: &mut Case, change: impl FnOnce(&mut Vec<GuestEvent>)) {
    change(&mut case.guest.events);
    let compose = Some(case.guest.compose.clone());
    case.evidence.event_log = Some(carried(case.guest.log(), compose));
}

/// A digest that the agent strips is computed; what it says is never taken.
#[test]
fn digests_and_firmwares_payloads_may_be_stripped() {
    let mut case = Case::sound();
    let mut log: serde_json::Value = serde_json::from_slice(&case.guest.log()).unwrap();
    for event in log.as_array_mut().unwrap() {
        if event["imr"] == 3 {
            event["digest"] = "".into();
        } else {
            event["event_payload"] = "".into();
        }
    }
    let compose = Some(case.guest.compose.clone());
    case.evidence.event_log = Some(carried(log.to_string().into(), compose));
    assert_accepted(&case);
}

/// Quotes that vouch for logs which do not say without doubt what ran.
#[test]
fn doubts_about_the_identity_are_refused() {
    type Change = fn(&mut Guest);
    let changes: &[(&str, Change)] = &[
        ("app-id twice", |guest| twice(guest, "app-id")),
        ("compose-hash twice", |guest| twice(guest, "compose-hash")),
        ("instance-id twice", |guest| twice(guest, "instance-id")),
        ("key-provider twice", |guest| twice(guest, "key-provider")),
        ("no system-ready", |guest| {
            guest.events.retain(|event| event.name != "system-ready");
        }),
        ("no app-id", |guest| {
            guest.events.retain(|event| event.name != "app-id");
        }),
        ("no compose-hash", |guest| {
            guest.events.retain(|event| event.name != "compose-hash");
        }),
        ("no key-provider", |guest| {
            guest.events.retain(|event| event.name != "key-provider");
        }),
        ("short app-id", |guest| {
            guest.event("app-id").unwrap().payload.pop();
        }),
        ("something before it", |guest| {
            let at = guest.position("system-preparing").unwrap();
            guest.events.insert(at, GuestEvent::runtime("first", b""));
        }),
        // The system's events are hidden as firmware's, and the application
        // measures an identity of its own after them.
        ("hidden", |guest| {
            let start = guest.position("system-preparing").unwrap();
            let honest = guest.events[start..].to_vec();
            for event in &mut guest.events[start..] {
                event.kind = 0xd;
            }
            guest.events.extend(honest);
        }),
        ("two identities", |guest| {
            let start = guest.position("system-preparing").unwrap();
            let honest = guest.events[start..].to_vec();
            guest.events.splice(start..start, honest[..4].to_vec());
        }),
    ];
    for (what, change) in changes {
        let case = Case::changed(change);
        let verdict = case.judge();
        assert!(
            codes(&verdict).contains(&"identity_refused"),
            "{what}\n{verdict}"
        );
        assert!(verdict.accept().is_err(), "{what}");
    }
}

fn twice(guest: &mut Guest, name: &str) {
    let at = guest.position(name).unwrap();
    guest.events.insert(at, guest.events[at].clone());
}

/// An application may extend RTMR3 as it likes: its events change the
/// register, and nothing else.
#[test]
fn events_after_system_ready_are_never_identity() {
    let case = Case::changed(|guest| {
        for (name, payload) in [
            ("app-id", &[9; 20][..]),
            ("compose-hash", &[9; 32]),
            ("key-provider", br#"{"name":"none","id":""}"#),
            ("system-ready", b""),
            ("a:b", b"c"),
        ] {
            guest.events.push(GuestEvent::runtime(name, payload));
        }
    });
    let verdict = assert_accepted(&case);
    let identity = facts(&verdict).identity.as_ref().unwrap();
    assert_eq!(identity.later.len(), 5);
    assert_eq!(identity.key_provider, key_provider());

    // The other way round: another application that measures ours later.
    let ours = Guest::sound().unwrap();
    let identity: Vec<_> = ours
        .events
        .iter()
        .filter(|event| event.imr == 3)
        .cloned()
        .collect();
    let mut theirs = Guest::on(
        Pki::sound().unwrap(),
        &COMPOSE.replace("prover", "theirs"),
        Version::V1,
    )
    .unwrap();
    theirs.events.extend(identity);
    theirs.compose = ours.compose.clone();
    let policy = theirs.policy(&session::trust()).unwrap();
    assert_rejected(&Case::judged_by(theirs, policy), "compose_mismatch");
}

#[test]
fn a_compose_file_is_its_raw_bytes() {
    let mut case = Case::sound();
    let other = String::from_utf8(case.guest.compose.clone())
        .unwrap()
        .replacen(':', ": ", 1);
    case.evidence.event_log = Some(carried(case.guest.log(), Some(other.into())));
    assert_rejected(&case, "compose_mismatch");
    case.evidence.event_log = Some(carried(case.guest.log(), None));
    assert_rejected(&case, "compose_missing");
    case.rules().require_compose = false;
    assert_accepted(&case);
    // The same application, written otherwise, is another one.
    let other = COMPOSE.replacen(':', ": ", 1);
    let guest = Guest::on(Pki::sound().unwrap(), &other, Version::V1).unwrap();
    let mut policy = guest.policy(&session::trust()).unwrap();
    policy.release[0].software_dstack = Some(Guest::sound().unwrap().release());
    assert_rejected(&Case::judged_by(guest, policy), "release_unknown");
}

#[test]
fn what_an_application_shows_to_others_must_be_accepted() {
    for key in ["public_logs", "public_sysinfo"] {
        let compose = COMPOSE.replace(&format!("\"{key}\":false"), &format!("\"{key}\":true"));
        assert_ne!(compose, COMPOSE);
        let guest = Guest::on(Pki::sound().unwrap(), &compose, Version::V1).unwrap();
        let mut case = Case::of(guest);
        assert_rejected(&case, "compose_shows");
        match key {
            "public_logs" => case.rules().danger_public_logs = true,
            _ => case.rules().danger_public_sysinfo = true,
        }
        let verdict = assert_accepted(&case);
        assert!(verdict.warnings().any(|check| check.name == key));
    }
}

#[test]
fn who_gives_keys_must_be_named() {
    let mut case = Case::sound();
    case.rules().key_providers.clear();
    assert_rejected(&case, "key_provider_unspecified");
    case.rules().any_key_provider = true;
    assert_accepted(&case);
    case.rules().any_key_provider = false;
    for (name, id) in [
        ("kms", "305a"),
        ("tpm", "3059"),
        ("KMS", "3059"),
        ("kms", ""),
    ] {
        case.rules().key_providers = vec![KeyProvider {
            name: name.into(),
            id: id.into(),
        }];
        assert_rejected(&case, "key_provider_refused");
    }
}

#[test]
fn instances_can_be_named() {
    let mut case = Case::sound();
    case.rules().instances = Some(vec![Hex([0x1d; 20])]);
    assert_accepted(&case);
    case.rules().instances = Some(vec![Hex([0x1e; 20])]);
    assert_rejected(&case, "instance_refused");
    case.rules().instances = Some(vec![]);
    assert_rejected(&case, "instance_refused");
}

#[test]
fn mrconfigid_must_be_that_of_what_ran_if_it_is_set() {
    let mut case = Case::sound();
    case.rules().require_mr_config = true;
    assert_rejected(&case, "mr_config_refused");
    fn hash(guest: &Guest) -> [u8; 32] {
        soundproof_evidence::dstack::compose::hash(&guest.compose)
    }
    let right: [fn(&Guest) -> [u8; 48]; 3] = [
        |guest| v1(&hash(guest)),
        |guest| {
            let app_id = *hash(guest).first_chunk().unwrap();
            v2(&hash(guest), &app_id, &key_provider()).unwrap()
        },
        |guest| {
            v3(format!(
                "{{\"compose_hash\":\"{}\",\"key_provider\":\"kms\",\"version\":3}}",
                Hex(hash(guest))
            )
            .as_bytes())
        },
    ];
    for (version, make) in (1..).zip(right) {
        let set = |flip: u8| {
            let mut guest = Guest::sound().unwrap();
            let mut id = make(&guest);
            id[20] ^= flip;
            guest.base.mrconfigid = Hex(id);
            let mut case = Case::of(guest);
            case.rules().require_mr_config = true;
            case
        };
        let verdict = assert_accepted(&set(0));
        assert_eq!(facts(&verdict).mr_config, Some(MrConfig::Matches(version)));
        assert_rejected(&set(1), "mr_config_refused");
    }
    // Whatever the policy says.
    let mut guest = Guest::sound().unwrap();
    guest.base.mrconfigid = Hex([9; 48]);
    assert_rejected(&Case::of(guest), "mr_config_refused");
}

/// A release is a complete tuple: each part is looked at, and RTMR3 alone is
/// nothing.
#[test]
fn every_part_of_a_release_is_looked_at() {
    type Change = fn(&mut Guest);
    let changes: &[Change] = &[
        |guest| guest.base.mrtd.0[0] ^= 1,
        |guest| guest.base.tdattributes.0[7] ^= 0x80, // PERFMON
        |guest| guest.base.mrowner.0[0] ^= 1,
        |guest| guest.base.mrownerconfig.0[0] ^= 1,
        |guest| guest.base.mrsignerseam.0[0] ^= 1,
        |guest| guest.events[0].payload.push(0),
        |guest| guest.events[2].payload.push(0),
        |guest| guest.events[3].payload.push(0),
        |guest| guest.event("app-id").unwrap().payload[0] ^= 1,
        |guest| guest.event("compose-hash").unwrap().payload[0] ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let verdict = Case::changed(change).judge();
        assert!(
            codes(&verdict).contains(&"release_unknown"),
            "{number}\n{verdict}"
        );
        assert!(verdict.accept().is_err());
    }
    let mut case = Case::sound();
    let release = case.policy.release[0].software_dstack.as_mut().unwrap();
    release.app_id = Some(Hex([1; 20]));
    assert_rejected(&case, "release_unknown");
    let release = case.policy.release[0].software_dstack.as_mut().unwrap();
    release.image.clear();
    assert_rejected(&case, "release_unknown");
    case.policy.release.clear();
    assert_rejected(&case, "release_unknown");
    for text in [
        "[[release]]\nname = \"x\"\n[release.dstack]\nrtmr3 = \"00\"".to_owned(),
        format!(
            "[[release]]\nname = \"x\"\n[release.dstack]\ncompose_hash = \"{}\"",
            "00".repeat(32)
        ),
        format!(
            "[[release]]\nname = \"x\"\n[release.dstack]\ncompose_hash = \"{}\"\n\
             [[release.dstack.image]]\nmrtd = \"{}\"",
            "00".repeat(32),
            "00".repeat(48)
        ),
    ] {
        assert!(Policy::from_toml(&text).is_err(), "{text}");
    }
}

#[test]
fn a_development_image_must_be_accepted_by_name() {
    let mut case = Case::sound();
    let release = case.policy.release[0].software_dstack.as_mut().unwrap();
    release.image[0].development = true;
    assert_rejected(&case, "release_unknown");
    assert!(case.judge().to_string().contains("development image"));
    let release = case.policy.release[0].software_dstack.as_mut().unwrap();
    release.danger_development_image = true;
    assert_accepted(&case);
}

#[test]
fn an_os_image_hash_is_compared_where_it_was_measured() {
    let mut guest = Guest::sound().unwrap();
    let at = guest.position("key-provider").unwrap();
    guest
        .events
        .insert(at, GuestEvent::runtime("os-image-hash", &[8; 32]));
    let mut case = Case::of(guest);
    assert_accepted(&case);
    for (hash, good) in [([8; 32], true), ([9; 32], false)] {
        let release = case.policy.release[0].software_dstack.as_mut().unwrap();
        release.image[0].os_image_hash = Some(Hex(hash));
        assert_eq!(case.judge().accept().is_ok(), good);
    }
}

/// A quote that says the right thing for something else.
#[test]
fn a_quote_for_another_purpose_is_refused() {
    let mut case = Case::sound();
    for other in [
        binding(Platform::SoftwareDstack, Role::Worker),
        binding(Platform::Dstack, Role::Keeper),
        binding(Platform::Software, Role::Keeper),
    ] {
        case.evidence = case.guest.evidence(other.as_bytes());
        assert_rejected(&case, "binding_mismatch");
    }
    // dstack's own domains: SHA-512 of a tag and content, or 32 bytes alone.
    let mut ingress = [0; 64];
    ingress[..32].copy_from_slice(&[7; 32]);
    case.evidence = case.guest.evidence(&ingress);
    assert_rejected(&case, "binding_mismatch");
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let mut case = Case::sound();
    case.evidence.event_log = Some(carried(vec![b' '; 100_000_000], None));
    assert_rejected(&case, "evidence_too_long");
    let many = format!("[{}]", "{},".repeat(MAX_EVIDENCE / 8).trim_end_matches(','));
    case.evidence.event_log = Some(carried(many.into(), None));
    assert_rejected(&case, "event_log_malformed");
    let deep = "[".repeat(MAX_EVIDENCE / 2);
    case.evidence.event_log = Some(carried(deep.into(), None));
    assert_rejected(&case, "event_log_malformed");
}

/// The machine under the guest is judged as a bare trust domain's is.
#[test]
fn faults_of_the_machine_are_found() {
    for fault in [
        Fault::PckRevoked,
        Fault::TcbOutOfDate,
        Fault::TcbRevoked,
        Fault::FamilyOther,
        Fault::CollateralTooOld,
        Fault::TcbInfoSignature,
    ] {
        let guest = Guest::on(Pki::with(fault).unwrap(), COMPOSE, Version::V1).unwrap();
        assert_rejected(&Case::of(guest), fault.reason().code());
    }
    for (bit, code) in [
        (0, "debug_enabled"),
        (5, "attributes_refused"),
        (17, "attributes_refused"),
        (28, "attributes_refused"),
        (29, "attributes_refused"),
        (40, "attributes_refused"),
    ] {
        let mut guest = Guest::sound().unwrap();
        guest.base.tdattributes.0[bit / 8] ^= 1 << (bit % 8);
        assert_rejected(&Case::of(guest), code);
    }
    let mut case = Case::sound();
    case.rules().dcap.any_machine = false;
    assert_rejected(&case, "machine_unspecified");
}

/// What was observed, made into a policy, accepts what was observed.
#[test]
fn a_policy_begun_from_a_guest_accepts_it() {
    let mut case = Case::sound();
    let anchor = case
        .policy
        .platform
        .software_dstack
        .clone()
        .unwrap()
        .anchor_pem;
    let (platforms, release) = soundproof_evidence::policy::observed(
        &case.evidence,
        &case.endorsements,
        Some(anchor),
        "seen",
        NOW_MS,
    )
    .unwrap();
    case.policy.platform = platforms;
    case.policy.release = vec![release];
    let text = case.policy.to_toml().unwrap();
    case.policy = Policy::from_toml(&text).unwrap();
    assert_accepted(&case);
}

/// Every byte of the log changed, and the log cut at every length: what is
/// accepted says what was measured.
#[test]
fn no_change_of_the_log_is_accepted_that_says_another_thing() {
    let case = Case::sound();
    let identity = facts(&case.judge()).identity.clone();
    assert!(identity.is_some());
    let sound = case.evidence.event_log.clone().unwrap().0;
    let mut changed = case.evidence.clone();
    // The quote's own chain is not what is tried here: it is left out.
    let log_of = |changed: &Evidence| explain(changed, &case.endorsements, NOW_MS);
    let (mut tried, mut same) = (0, 0);
    for at in 0..sound.len() {
        for flip in [1, 0x20, 0x80] {
            let mut bytes = sound.clone();
            bytes[at] ^= flip;
            changed.event_log = Some(Bytes(bytes));
            let verdict = log_of(&changed);
            tried += 1;
            if let Some(found) = facts_identity(&verdict) {
                same += 1;
                assert_eq!(Some(found), identity.as_ref(), "byte {at}");
            }
        }
    }
    for len in 0..sound.len() {
        changed.event_log = Some(Bytes(sound[..len].to_vec()));
        tried += 1;
        assert_eq!(facts_identity(&log_of(&changed)), None, "cut at {len}");
    }
    println!("{tried} logs tried, {same} say the same, 0 another thing");
}
