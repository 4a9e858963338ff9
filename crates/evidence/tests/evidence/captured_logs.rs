//! Event logs that real machines made, beside their quotes. The captures are
//! not part of the repository; each test says how many it skipped.

use crate::vectors::read;
use soundproof_evidence::{
    Facts, Policy,
    ccel::{Boot, Log, SecureBoot},
    dstack::{EventLog, Identity, KeyProvider, MrConfig, QuoteJson, compose, mr_config},
    examine,
    measure::dstack::Deployment,
    policy::{DcapRules, EventLogRules, Release, TdxRules},
    tdx::Quote,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
};

fn quote_and_log(path: &str) -> Option<(QuoteJson, Quote, EventLog)> {
    let file = QuoteJson::parse(&read(path)?).unwrap();
    let quote = Quote::parse(&file.quote).unwrap();
    let log = EventLog::parse(file.event_log.as_deref().unwrap()).unwrap();
    Some((file, quote, log))
}

fn registers(quote: &Quote) -> [[u8; 48]; 4] {
    let found = quote.measurements();
    [found.rtmr0.0, found.rtmr1.0, found.rtmr2.0, found.rtmr3.0]
}

#[test]
fn an_application_event_after_system_ready_is_no_identity() {
    let Some((file, quote, log)) = quote_and_log("dstack/quote-report.json") else {
        return;
    };
    assert_eq!(log.replay(), registers(&quote));
    assert_eq!(file.report_data.as_ref(), Some(quote.report_data()));
    assert_eq!(quote.report_data()[..2], [0x12, 0x34]);
    let identity = Identity::read(&log).unwrap();
    assert_eq!(
        identity.app_id.to_string(),
        "3763bc34552cf3a27ff71ad5f7a90471562a1a2d"
    );
    assert_eq!(identity.app_id.0, identity.compose_hash.0[..20]);
    assert_eq!(identity.key_provider.name, "local-sgx");
    assert_eq!(identity.later, ["LIUM_MINER_HOTKEY"]);
    assert!(!identity.other.contains(&"LIUM_MINER_HOTKEY".to_owned()));
    // The host's word beside it.
    let config = file.vm_config.unwrap();
    assert!(config.os_image_hash.starts_with("14ad42d0270b444e"));
    let id = quote.measurements().mrconfigid.0;
    println!("MRCONFIGID: {:?}", mr_config::compare(&id, &identity, None));
}

#[test]
fn the_compose_files_raw_bytes_are_what_was_measured() {
    let Some((_, quote, log)) = quote_and_log("dstack/rtmr3-report.json") else {
        return;
    };
    let Some(raw) = read("dstack/rtmr3-app-compose.json") else {
        return;
    };
    assert_eq!(log.replay(), registers(&quote));
    let identity = Identity::read(&log).unwrap();
    assert_eq!(compose::hash(&raw), identity.compose_hash.0);
    assert!(identity.compose_hash.to_string().starts_with("06768e6d"));
    let compose = compose::Compose::parse(&raw).unwrap();
    assert!(compose.public_logs && compose.public_sysinfo && compose.gateway);
    assert_eq!(
        compose.images_without_digest,
        ["quay.io/jupyter/base-notebook"]
    );
    assert!(matches!(
        mr_config::compare(&quote.measurements().mrconfigid.0, &identity, None),
        MrConfig::Unset | MrConfig::Matches(_)
    ));

    // The offline calculator comes to the register that the hardware signed.
    let expected = Deployment {
        compose: &raw,
        app_id: None,
        instance_id: identity.instance_id.map(|id| id.0),
        key_provider: identity.key_provider.clone(),
        rootfs_hash: identity.rootfs_hash.map(|hash| hash.0),
        storage_fs: None,
        gpu_policy_hash: None,
        init_scripts: false,
        os_image_hash: None,
    }
    .expected()
    .unwrap();
    assert_eq!(expected.rtmr3, quote.measurements().rtmr3);
    assert_eq!(expected.app_id, identity.app_id);
    let other = Deployment {
        key_provider: KeyProvider {
            name: "none".into(),
            id: String::new(),
        },
        compose: &raw,
        app_id: None,
        instance_id: None,
        rootfs_hash: None,
        storage_fs: None,
        gpu_policy_hash: None,
        init_scripts: false,
        os_image_hash: None,
    };
    assert_ne!(other.expected().unwrap().rtmr3, quote.measurements().rtmr3);
}

/// Of every changed byte and every cut: what still replays says the same.
#[test]
fn no_change_of_a_real_dstack_log_says_another_thing() {
    for path in ["dstack/quote-report.json", "dstack/rtmr3-report.json"] {
        let Some((file, quote, sound)) = quote_and_log(path) else {
            continue;
        };
        let identity = Identity::read(&sound).unwrap();
        let bytes = file.event_log.unwrap();
        let (mut tried, mut same) = (0, 0);
        let mut judge = |bytes: &[u8], at: usize| {
            tried += 1;
            let Ok(log) = EventLog::parse(bytes) else {
                return;
            };
            if log.replay() != registers(&quote) {
                return;
            }
            if let Ok(found) = Identity::read(&log) {
                assert_eq!(found, identity, "{path}: {at}");
                same += 1;
            }
        };
        let mut changed = bytes.clone();
        for at in 0..bytes.len() {
            for flip in [1, 2, 0x20, 0x80] {
                changed[at] ^= flip;
                judge(&changed, at);
                changed[at] = bytes[at];
            }
        }
        for len in 0..bytes.len() {
            judge(&bytes[..len], len);
        }
        println!("{path}: {tried} logs tried, {same} say the same, 0 another thing");
    }
}

/// What a log says that a quote vouches for.
fn vouched(log: &Log<'_>) -> Boot {
    let mut boot = Boot::read(log);
    boot.chain.retain(|step| step.text_measured);
    boot
}

fn cos() -> Option<(Vec<u8>, Vec<u8>)> {
    Some((
        read("tdx/cos-113-ccel.dat")?,
        read("tdx/cos-113-tdx-quote.dat")?,
    ))
}

#[test]
fn a_real_firmwares_log_replays_and_shows_its_boot() {
    let Some((bytes, quote)) = cos() else { return };
    let log = Log::parse(&bytes).unwrap();
    let quote = Quote::parse(&quote).unwrap();
    assert_eq!(log.replay(), registers(&quote));
    assert_eq!(log.first_unbound(), None);
    let boot = Boot::read(&log);
    assert_eq!(boot.secure_boot, SecureBoot::Off);
    for name in ["PK", "KEK", "db", "dbx"] {
        assert!(boot.variable(name).unwrap().bytes > 1000, "{name}");
    }
    let line = boot.command_line.as_deref().unwrap();
    assert!(line.starts_with("/syslinux/vmlinuz.A "), "{line}");
    // Boot loader and GRUB.
    assert_eq!(boot.code.len(), 2);
    assert!(
        boot.chain
            .iter()
            .any(|step| step.text == "\\EFI\\BOOT\\grub-lakitu.efi" && !step.text_measured)
    );
}

/// Types and data of events are nobody's word but for those that bind them: a
/// changed log may show less, never more.
#[test]
fn no_change_of_a_real_firmwares_log_shows_another_boot() {
    let Some((bytes, quote)) = cos() else { return };
    let quote = Quote::parse(&quote).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0xff).unwrap() + 1;
    let bytes = &bytes[..end];
    let sound = vouched(&Log::parse(bytes).unwrap());
    let (mut tried, mut replayed) = (0, 0);
    let mut changed = bytes.to_vec();
    for at in 0..end {
        changed[at] ^= 1 << (at % 8);
        tried += 1;
        if let Ok(log) = Log::parse(&changed)
            && log.replay() == registers(&quote)
            && log.first_unbound().is_none()
        {
            replayed += 1;
            let boot = vouched(&log);
            assert!(
                boot.secure_boot == sound.secure_boot || boot.secure_boot == SecureBoot::Unknown,
                "byte {at}"
            );
            assert!(
                boot.variables.iter().all(|v| sound.variables.contains(v)),
                "byte {at}"
            );
            assert!(
                boot.command_line.is_none() || boot.command_line == sound.command_line,
                "byte {at}"
            );
            assert!(
                sound.code.iter().all(|digest| boot.code.contains(digest)),
                "byte {at}"
            );
        }
        changed[at] = bytes[at];
    }
    for len in 0..end {
        tried += 1;
        let whole = Log::parse(&bytes[..len]).is_ok_and(|log| log.replay() == registers(&quote));
        assert!(!whole, "cut at {len}");
    }
    println!("{tried} logs tried, {replayed} still replay, 0 show another boot");
}

/// The whole way, as far as it goes without collateral for this machine.
#[test]
fn a_policy_can_ask_what_a_log_shows() {
    let Some((log, quote)) = cos() else { return };
    let parsed = Quote::parse(&quote).unwrap();
    let evidence = Evidence {
        platform: Platform::Tdx,
        statement: Bytes(quote),
        event_log: Some(Bytes(log.clone())),
        gpu: None,
        runtime: None,
    };
    let boot = Boot::read(&Log::parse(&log).unwrap());
    let policy = |event_log: EventLogRules| {
        let mut policy = Policy::default();
        policy.platform.tdx = Some(TdxRules {
            dcap: DcapRules {
                any_machine: true,
                ..DcapRules::default()
            },
            event_log,
        });
        policy.release = vec![Release {
            name: "cos-113".into(),
            tdx: Some(parsed.measurements()),
            ..Release::default()
        }];
        policy
    };
    let endorsements = Endorsements::new(Platform::Tdx, Vec::new());
    let judge = |rules: EventLogRules, evidence: &Evidence| {
        let verdict = examine(evidence, &endorsements, Some(&policy(rules)), None, 0);
        assert!(!verdict.verified && verdict.clone().accept().is_err());
        verdict
    };
    let verdict = judge(EventLogRules::default(), &evidence);
    let Some(Facts::Tdx(facts)) = verdict.facts.as_deref() else {
        panic!("{verdict}")
    };
    assert_eq!(facts.boot.as_ref(), Some(&boot));
    let failed = |code: &str, verdict: &soundproof_evidence::Verdict| {
        verdict.failures().any(|check| check.code.code() == code)
    };
    assert!(!failed("event_log_replay", &verdict));
    // Another guest's log.
    let mut other = evidence.clone();
    let mut changed = log;
    changed[80] ^= 1;
    other.event_log = Some(Bytes(changed));
    let verdict = judge(EventLogRules::default(), &other);
    assert!(failed("event_log_replay", &verdict), "{verdict}");
}
