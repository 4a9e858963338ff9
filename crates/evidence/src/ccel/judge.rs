//! Judges a log beside a trust domain's quote.

use super::{Boot, Log, SecureBoot, kind_name};
use crate::{bytes::Hex, policy::EventLogRules, reason::Reason, verdict::Verdict};

const EXPECTED: &str = "a CC event log";

/// Reads a log and compares it with the quote's registers; makes every check
/// that no policy can change. None if it cannot be believed.
pub(crate) fn examine(verdict: &mut Verdict, bytes: &[u8], quoted: &[[u8; 48]; 4]) -> Option<Boot> {
    let log = match Log::parse(bytes) {
        Ok(log) => log,
        Err(error) => {
            let found = error.to_string();
            verdict.fail("event_log", Reason::EventLogMalformed, EXPECTED, found);
            return None;
        }
    };
    let events = format!("{} events", log.events.len());
    verdict.pass("event_log", EXPECTED, events);
    let good = replay(verdict, &log, quoted);
    let unbound = log.first_unbound();
    verdict.check(
        "event_payloads",
        unbound.is_none(),
        Reason::EventLogDigest,
        "digests of the data, where it is what is measured",
        match unbound {
            None => "they are".to_owned(),
            Some((at, event)) => format!("event {at}, {}, is not", kind_name(event.kind)),
        },
    );
    (good && unbound.is_none()).then(|| Boot::read(&log))
}

/// A register that no event extends is not in the log: RTMR3 is never the
/// firmware's.
fn replay(verdict: &mut Verdict, log: &Log<'_>, quoted: &[[u8; 48]; 4]) -> bool {
    let mut differ = Vec::new();
    let mut beyond = Vec::new();
    for (rtmr, (replayed, quoted)) in (0_u8..).zip(log.replay().iter().zip(quoted)) {
        let name = format!("RTMR{rtmr}");
        if replayed == quoted {
            continue;
        }
        if rtmr == 3 && !log.extends(rtmr) {
            beyond.push(name);
        } else {
            differ.push(name);
        }
    }
    let found = match (differ.as_slice(), beyond.as_slice()) {
        ([], []) => "all four registers replay".to_owned(),
        ([], beyond) => format!("{} is not in the log; the others replay", beyond.join(", ")),
        (differ, _) => format!("{} differs", differ.join(", ")),
    };
    verdict.check(
        "event_log_replay",
        differ.is_empty(),
        Reason::EventLogReplay,
        "the quote's registers",
        found,
    );
    differ.is_empty()
}

/// The checks that a policy decides. `boot` is none where there is no log, or
/// none that can be believed.
pub(crate) fn apply(verdict: &mut Verdict, boot: Option<&Boot>, rules: &EventLogRules) {
    let Some(boot) = boot else {
        if rules.need_one() {
            verdict.fail(
                "event_log_rules",
                Reason::EventLogMissing,
                "an event log that replays",
                "none",
            );
        }
        return;
    };
    if rules.require_secure_boot {
        verdict.check(
            "secure_boot",
            boot.secure_boot == SecureBoot::On,
            Reason::SecureBootOff,
            "on",
            match boot.secure_boot {
                SecureBoot::On => "on",
                SecureBoot::Off => "off",
                SecureBoot::Unknown => "the log does not show it",
            },
        );
    }
    for (check, name, rule) in [
        ("secure_boot_pk", "PK", rules.pk),
        ("secure_boot_kek", "KEK", rules.kek),
        ("secure_boot_db", "db", rules.db),
        ("secure_boot_dbx", "dbx", rules.dbx),
    ] {
        if let Some(expected) = rule {
            let found = boot.variable(name).map(|variable| variable.sha384);
            verdict.check(
                check,
                found == Some(expected),
                Reason::BootChainRefused,
                expected.to_string(),
                found.map_or_else(
                    || "the log does not show it".to_owned(),
                    |hex| hex.to_string(),
                ),
            );
        }
    }
    if let Some(expected) = &rules.boot_chain {
        verdict.check(
            "boot_chain",
            boot.code == *expected,
            Reason::BootChainRefused,
            list(expected),
            list(&boot.code),
        );
    }
    if let Some(expected) = &rules.command_line {
        verdict.check(
            "command_line",
            boot.command_line.as_ref() == Some(expected),
            Reason::BootChainRefused,
            expected.clone(),
            boot.command_line
                .clone()
                .unwrap_or_else(|| "none whose text was measured".to_owned()),
        );
    }
}

fn list(digests: &[Hex<48>]) -> String {
    let digests: Vec<_> = digests.iter().map(Hex::to_string).collect();
    if digests.is_empty() {
        "nothing".to_owned()
    } else {
        digests.join(", ")
    }
}
