//! A bare trust domain with a firmware's event log: the policy's rules.

use crate::common::codes;
use soundproof_evidence::{
    Facts, Hex, Policy, Verdict, appraise,
    ccel::SecureBoot,
    policy::{EventLogRules, TdxRules},
};
use soundproof_protocol::{
    attestation::{Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{
    ccel::{LogBuilder, kind, variable},
    pki::{NOW_MS, Pki},
    session,
};

/// A domain whose registers are those of `registers`, with `log` beside it.
struct Case {
    pki: Pki,
    evidence: Evidence,
    binding: Binding,
    policy: Policy,
}

impl Case {
    fn new(log: Option<Vec<u8>>, registers: [[u8; 48]; 4], rules: EventLogRules) -> Self {
        let pki = Pki::sound().unwrap();
        let binding = Binding::new(
            Platform::Software,
            Role::Keeper,
            Digest([3; 32]),
            None,
            None,
        );
        let mut measurements = *pki.platform.measurements();
        let [rtmr0, rtmr1, rtmr2, rtmr3] = registers.map(Hex);
        measurements.rtmr0 = rtmr0;
        measurements.rtmr1 = rtmr1;
        measurements.rtmr2 = rtmr2;
        measurements.rtmr3 = rtmr3;
        let statement = pki.platform.sign_domain(&measurements, binding.as_bytes());
        let mut policy = pki.platform.policy("this one", &session::trust()).unwrap();
        let software = policy.platform.software.as_mut().unwrap();
        software.rules = TdxRules {
            event_log: rules,
            ..software.rules.clone()
        };
        policy.release[0].software = Some(measurements);
        Self {
            evidence: Evidence {
                platform: Platform::Software,
                statement: Bytes(statement),
                event_log: log.map(Bytes),
                gpu: None,
                runtime: None,
            },
            pki,
            binding,
            policy,
        }
    }

    fn judge(&self) -> Verdict {
        appraise(
            &self.evidence,
            &self.pki.endorsements().unwrap(),
            &self.binding,
            &session::trust(),
            &self.policy,
            NOW_MS,
        )
    }
}

fn judge(log: &LogBuilder, rules: EventLogRules) -> Verdict {
    Case::new(Some(log.bytes()), log.registers(), rules).judge()
}

fn strict() -> EventLogRules {
    EventLogRules {
        required: true,
        require_secure_boot: true,
        ..EventLogRules::default()
    }
}

#[test]
fn a_log_that_shows_what_it_must_is_accepted() {
    let log = LogBuilder::booted();
    let verdict = judge(&log, EventLogRules::default());
    let Some(Facts::Tdx(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    let boot = facts.boot.as_ref().unwrap();
    assert_eq!(boot.secure_boot, SecureBoot::On);
    assert_eq!(boot.code.len(), 1);
    let rules = EventLogRules {
        pk: Some(boot.variable("PK").unwrap().sha384),
        kek: Some(boot.variable("KEK").unwrap().sha384),
        db: Some(boot.variable("db").unwrap().sha384),
        dbx: Some(boot.variable("dbx").unwrap().sha384),
        boot_chain: Some(boot.code.clone()),
        command_line: Some("/boot/vmlinuz quiet".into()),
        ..strict()
    };
    let verdict = judge(&log, rules);
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(verdict.accept().is_ok());
}

#[test]
fn each_rule_is_looked_at() {
    let log = LogBuilder::booted();
    type Change = fn(&mut EventLogRules);
    let changes: &[Change] = &[
        |rules| rules.pk = Some(Hex([1; 48])),
        |rules| rules.kek = Some(Hex([1; 48])),
        |rules| rules.db = Some(Hex([1; 48])),
        |rules| rules.dbx = Some(Hex([1; 48])),
        |rules| rules.boot_chain = Some(vec![]),
        |rules| rules.boot_chain = Some(vec![Hex([1; 48])]),
        |rules| rules.command_line = Some("/boot/vmlinuz".into()),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut rules = strict();
        change(&mut rules);
        let verdict = judge(&log, rules.clone());
        assert_eq!(
            codes(&verdict),
            ["boot_chain_refused"],
            "{number}\n{verdict}"
        );
        // And none of them holds without a log.
        let mut rule = EventLogRules::default();
        change(&mut rule);
        let verdict = Case::new(None, log.registers(), rule).judge();
        assert_eq!(
            codes(&verdict),
            ["event_log_missing"],
            "{number}\n{verdict}"
        );
    }
}

#[test]
fn secure_boot_must_be_shown_to_be_on() {
    let end = |log: LogBuilder| log.measured(0, kind::SEPARATOR, &[0; 4]);
    let off = end(LogBuilder::new().variable("SecureBoot", &[0]));
    let late = end(LogBuilder::new()).variable("SecureBoot", &[1]);
    let twice = end(LogBuilder::new()
        .variable("SecureBoot", &[1])
        .variable("SecureBoot", &[1]));
    for log in [off, late, twice, LogBuilder::new()] {
        let verdict = judge(&log, strict());
        assert_eq!(codes(&verdict), ["secure_boot_off"], "{verdict}");
        assert!(judge(&log, EventLogRules::default()).accept().is_ok());
    }
}

#[test]
fn a_log_that_is_not_the_quotes_is_refused_by_every_policy() {
    let sound = LogBuilder::booted();
    let more = sound.clone().measured(2, kind::IPL, b"more");
    let on = variable("SecureBoot", &[1]);
    let off = variable("SecureBoot", &[0]);
    let lying = LogBuilder::new()
        .event(0, kind::VARIABLE_DRIVER_CONFIG, &off, &on)
        .measured(0, kind::SEPARATOR, &[0; 4]);
    let mut cut = sound.bytes();
    cut.truncate(cut.len() - 70);
    for (log, registers, code) in [
        (more.bytes(), sound.registers(), "event_log_replay"),
        (sound.bytes(), more.registers(), "event_log_replay"),
        (
            LogBuilder::new().bytes(),
            sound.registers(),
            "event_log_replay",
        ),
        (lying.bytes(), lying.registers(), "event_log_digest"),
        (cut, sound.registers(), "event_log_malformed"),
        (b"[]".to_vec(), sound.registers(), "event_log_malformed"),
        (vec![], sound.registers(), "event_log_malformed"),
    ] {
        let verdict = Case::new(Some(log), registers, EventLogRules::default()).judge();
        assert_eq!(codes(&verdict), [code], "{verdict}");
        assert!(verdict.accept().is_err());
    }
}

/// RTMR3 is extended at run time, beyond the firmware's log.
#[test]
fn a_register_that_the_log_never_extends_is_not_in_it() {
    let log = LogBuilder::booted();
    let mut registers = log.registers();
    registers[3] = [7; 48];
    let verdict = Case::new(Some(log.bytes()), registers, strict()).judge();
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    assert!(verdict.to_string().contains("RTMR3 is not in the log"));
    registers[3] = [0; 48];
    registers[2] = [7; 48];
    let verdict = Case::new(Some(log.bytes()), registers, strict()).judge();
    assert!(codes(&verdict).contains(&"event_log_replay"), "{verdict}");
}
