//! The policy files in docs/policies for Intel's platforms, filled in for a
//! software platform: each accepts what it should, and rejects ten things
//! that it should not.

use crate::common::codes;
use soundproof_evidence::{
    Hex, Policy, Verdict, appraise,
    policy::{Anchor, Software},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{
    ccel::LogBuilder,
    dstack::{COMPOSE, Guest, carried, key_provider},
    pki::{Fault, NOW_MS, Pki},
    session,
};

fn binding(platform: Platform) -> Binding {
    Binding::new(platform, Role::Keeper, Digest([3; 32]), None, None)
}

/// What is in angle brackets is for whoever deploys to know.
fn filled(text: &str, values: &[(&str, String)]) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let value = values.iter().find(|(name, _)| *name == key);
        lines.push(
            match (line.contains('<') && !line.starts_with('#'), value) {
                (true, Some((name, value))) => format!("{name} = {value}"),
                (true, None) => panic!("nothing for {line}"),
                (false, _) => line.to_owned(),
            },
        );
    }
    lines.join("\n")
}

fn quoted(value: impl core::fmt::Display) -> String {
    format!("\"{value}\"")
}

fn judge(
    evidence: &Evidence,
    endorsements: &Endorsements,
    policy: &Policy,
    platform: Platform,
) -> Verdict {
    appraise(
        evidence,
        endorsements,
        &binding(platform),
        &session::trust(),
        policy,
        NOW_MS,
    )
}

fn dstack_policy(guest: &Guest) -> Policy {
    let release = guest.release();
    let image = release.image[0];
    let text = filled(
        include_str!("../../../../docs/policies/dstack.toml"),
        &[
            (
                "key_providers",
                format!(
                    "[{{ name = \"{}\", id = \"{}\" }}]",
                    key_provider().name,
                    key_provider().id
                ),
            ),
            ("executable", quoted(Digest([0xe1; 32]))),
            ("name", quoted("0.1.0")),
            ("compose_hash", quoted(release.compose_hash)),
            ("mrtd", quoted(image.mrtd)),
            ("rtmr0", quoted(image.rtmr0)),
            ("rtmr1", quoted(image.rtmr1)),
            ("rtmr2", quoted(image.rtmr2)),
        ],
    );
    let mut policy = Policy::from_toml(&text).unwrap();
    let anchor_pem = Anchor::from_pem(guest.pki.platform.anchor_pem()).unwrap();
    policy.platform.software_dstack = policy
        .platform
        .dstack
        .take()
        .map(|rules| Software { anchor_pem, rules });
    policy.release[0].software_dstack = policy.release[0].dstack.take();
    policy
}

#[test]
fn the_dstack_policy_accepts_its_deployment_and_nothing_else() {
    const PLATFORM: Platform = Platform::SoftwareDstack;
    let expected = binding(PLATFORM);
    let guest = Guest::sound().unwrap();
    let policy = dstack_policy(&guest);
    let verdict = judge(
        &guest.evidence(expected.as_bytes()),
        &guest.endorsements().unwrap(),
        &policy,
        PLATFORM,
    );
    assert!(verdict.clone().accept().is_ok(), "{verdict}");

    // Guests on the same machine that are not it.
    type Change = fn(&mut Guest);
    let changes: &[(&str, Change)] = &[
        ("other firmware", |guest| guest.base.mrtd = Hex([9; 48])),
        ("other shape of machine", |guest| {
            guest.events[0].payload.push(1)
        }),
        ("other kernel", |guest| guest.events[2].payload.push(1)),
        ("other command line", |guest| {
            guest.events[3].payload.push(1)
        }),
        ("debuggable", |guest| guest.base.tdattributes.0[0] |= 1),
        ("other compose file", |guest| {
            guest.event("compose-hash").unwrap().payload[0] ^= 1;
        }),
        ("other application", |guest| {
            guest.event("app-id").unwrap().payload[0] ^= 1;
        }),
        ("other KMS", |guest| {
            guest.event("key-provider").unwrap().payload =
                br#"{"name":"kms","id":"3060"}"#.to_vec();
        }),
        ("two key providers", |guest| {
            let at = guest.position("key-provider").unwrap();
            guest.events.insert(at, guest.events[at].clone());
        }),
        ("another MRCONFIGID", |guest| {
            guest.base.mrconfigid = Hex([1; 48])
        }),
        ("no end of the system's events", |guest| {
            guest.events.retain(|event| event.name != "system-ready");
        }),
    ];
    for (what, change) in changes {
        let mut guest = Guest::sound().unwrap();
        let mut policy = dstack_policy(&guest);
        // The same keys: only what is changed may refuse it.
        change(&mut guest);
        policy.platform.software_dstack.as_mut().unwrap().anchor_pem =
            Anchor::from_pem(guest.pki.platform.anchor_pem()).unwrap();
        let verdict = judge(
            &guest.evidence(expected.as_bytes()),
            &guest.endorsements().unwrap(),
            &policy,
            PLATFORM,
        );
        assert!(!codes(&verdict).contains(&"anchor_mismatch"), "{what}");
        assert!(verdict.clone().accept().is_err(), "{what}\n{verdict}");
    }
    // Another machine's keys, an outdated machine, no compose file, public
    // logs, an application's events in the place of the system's.
    let other = Guest::sound().unwrap();
    let rejected = |evidence: &Evidence, endorsements: &Endorsements, code: &str| {
        let verdict = judge(evidence, endorsements, &policy, PLATFORM);
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
    };
    rejected(
        &other.evidence(expected.as_bytes()),
        &other.endorsements().unwrap(),
        "anchor_mismatch",
    );
    let mut bare = guest.evidence(expected.as_bytes());
    bare.event_log = Some(carried(guest.log(), None));
    rejected(&bare, &guest.endorsements().unwrap(), "compose_missing");
    let outdated = Guest::on(
        Pki::with(Fault::TcbRevoked).unwrap(),
        COMPOSE,
        Default::default(),
    )
    .unwrap();
    let verdict = judge(
        &outdated.evidence(expected.as_bytes()),
        &outdated.endorsements().unwrap(),
        &dstack_policy(&outdated),
        PLATFORM,
    );
    assert!(codes(&verdict).contains(&"tcb_revoked"), "{verdict}");
}

struct Vm {
    pki: Pki,
    log: LogBuilder,
}

impl Vm {
    fn new(log: LogBuilder) -> Self {
        Self {
            pki: Pki::sound().unwrap(),
            log,
        }
    }

    fn measurements(&self) -> soundproof_evidence::Measurements {
        let [rtmr0, rtmr1, rtmr2, rtmr3] = self.log.registers().map(Hex);
        soundproof_evidence::Measurements {
            rtmr0,
            rtmr1,
            rtmr2,
            rtmr3,
            ..*self.pki.platform.measurements()
        }
    }

    fn evidence(&self, measurements: &soundproof_evidence::Measurements) -> Evidence {
        let report_data = binding(Platform::Software);
        Evidence {
            platform: Platform::Software,
            statement: Bytes(
                self.pki
                    .platform
                    .sign_domain(measurements, report_data.as_bytes()),
            ),
            event_log: Some(Bytes(self.log.bytes())),
            gpu: None,
            runtime: None,
        }
    }

    /// The policy for `expected`, which stands under this machine's anchor.
    fn policy(&self, expected: &Self) -> Policy {
        let found = expected.measurements();
        let bytes = expected.log.bytes();
        let log = soundproof_evidence::ccel::Log::parse(&bytes).unwrap();
        let boot = soundproof_evidence::ccel::Boot::read(&log);
        let text = filled(
            include_str!("../../../../docs/policies/tdx-vm.toml"),
            &[
                ("ppid", format!("[{}]", quoted(Hex([0x50; 16])))),
                ("pk", quoted(boot.variable("PK").unwrap().sha384)),
                ("command_line", quoted("/boot/vmlinuz quiet")),
                ("executable", quoted(Digest([0xe1; 32]))),
                ("name", quoted("0.1.0")),
                ("mrseam", quoted(found.mrseam)),
                ("mrsignerseam", quoted(found.mrsignerseam)),
                ("tdattributes", quoted(found.tdattributes)),
                ("xfam", quoted(found.xfam)),
                ("mrtd", quoted(found.mrtd)),
                ("mrconfigid", quoted(found.mrconfigid)),
                ("mrowner", quoted(found.mrowner)),
                ("mrownerconfig", quoted(found.mrownerconfig)),
                ("rtmr0", quoted(found.rtmr0)),
                ("rtmr1", quoted(found.rtmr1)),
                ("rtmr2", quoted(found.rtmr2)),
                ("rtmr3", quoted(found.rtmr3)),
            ],
        );
        let mut policy = Policy::from_toml(&text).unwrap();
        let anchor_pem = Anchor::from_pem(self.pki.platform.anchor_pem()).unwrap();
        policy.platform.software = policy
            .platform
            .tdx
            .take()
            .map(|rules| Software { anchor_pem, rules });
        policy.release[0].software = policy.release[0].tdx.take();
        policy
    }
}

#[test]
fn the_tdx_policy_accepts_its_machine_and_nothing_else() {
    let vm = Vm::new(LogBuilder::booted());
    let policy = vm.policy(&vm);
    let endorsements = vm.pki.endorsements().unwrap();
    let sound = vm.measurements();
    let verdict = judge(
        &vm.evidence(&sound),
        &endorsements,
        &policy,
        Platform::Software,
    );
    assert!(verdict.clone().accept().is_ok(), "{verdict}");

    type Change = fn(&mut soundproof_evidence::Measurements);
    let changes: &[Change] = &[
        |m| m.mrtd.0[0] ^= 1,
        |m| m.mrseam.0[0] ^= 1,
        |m| m.mrconfigid.0[0] ^= 1,
        |m| m.mrowner.0[0] ^= 1,
        |m| m.xfam.0[0] ^= 1,
        |m| m.tdattributes.0[0] |= 1,
        |m| m.rtmr0.0[0] ^= 1,
        |m| m.rtmr1.0[0] ^= 1,
        |m| m.rtmr2.0[0] ^= 1,
        |m| m.rtmr3.0[0] ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut measurements = sound;
        change(&mut measurements);
        let verdict = judge(
            &vm.evidence(&measurements),
            &endorsements,
            &policy,
            Platform::Software,
        );
        assert!(verdict.clone().accept().is_err(), "{number}\n{verdict}");
    }
    // No log, another's log, and a machine that booted without secure boot.
    let mut bare = vm.evidence(&sound);
    bare.event_log = None;
    let verdict = judge(&bare, &endorsements, &policy, Platform::Software);
    assert!(codes(&verdict).contains(&"event_log_missing"), "{verdict}");
    bare.event_log = Some(Bytes(LogBuilder::new().bytes()));
    let verdict = judge(&bare, &endorsements, &policy, Platform::Software);
    assert!(codes(&verdict).contains(&"event_log_replay"), "{verdict}");
    let off = Vm::new(
        LogBuilder::new()
            .variable("SecureBoot", &[0])
            .variable("PK", b"platform key")
            .measured(0, 4, &[0; 4]),
    );
    let verdict = judge(
        &off.evidence(&off.measurements()),
        &off.pki.endorsements().unwrap(),
        &off.policy(&off),
        Platform::Software,
    );
    assert!(codes(&verdict).contains(&"secure_boot_off"), "{verdict}");
}
