//! TD attributes, one check a bit that a verifier must know of (Intel TDX
//! Module ABI Specification 348551-008US, table 3.23), and the service TDs
//! that a body of version 5 names.

use super::Quote;
use crate::{reason::Reason, verdict::Verdict};

const DEBUG: u32 = 0;
const SERVTD_EXT: u32 = 17;
const SEPT_VE_DISABLE: u32 = 28;
const MIGRATABLE: u32 = 29;
/// Bits 4 to 6: the host can count what the domain does.
const PROFILING: u64 = 0b111 << 4;

const NAMES: [(u32, &str); 17] = [
    (DEBUG, "DEBUG"),
    (4, "HGS_PLUS_PROF"),
    (5, "PERF_PROF"),
    (6, "PMT_PROF"),
    (16, "ICSSD"),
    (SERVTD_EXT, "SERVTD_EXT"),
    (18, "bit 18"),
    (19, "bit 19"),
    (20, "bit 20"),
    (21, "bit 21"),
    (22, "bit 22"),
    (27, "LASS"),
    (SEPT_VE_DISABLE, "SEPT_VE_DISABLE"),
    (MIGRATABLE, "MIGRATABLE"),
    (30, "PKS"),
    (31, "KL"),
    (62, "TPA"),
];
const PERFMON: u32 = 63;

const fn bit(at: u32) -> u64 {
    1 << at
}

/// Names of the attributes that are set; reserved ones by number.
pub(crate) fn names(attributes: u64) -> Vec<String> {
    (0..64)
        .filter(|at| attributes & bit(*at) != 0)
        .map(|at| match NAMES.iter().find(|(known, _)| *known == at) {
            Some((_, name)) => (*name).to_owned(),
            None if at == PERFMON => "PERFMON".to_owned(),
            None => format!("reserved bit {at}"),
        })
        .collect()
}

/// Bits that the specification requires to be zero.
fn reserved(attributes: u64) -> u64 {
    let defined = NAMES
        .iter()
        .fold(bit(PERFMON), |all, (at, _)| all | bit(*at));
    attributes & !defined
}

/// A line for each. No policy can accept any of them.
pub(crate) fn check(verdict: &mut Verdict, quote: &Quote) {
    let attributes = u64::from_le_bytes(quote.measurements().tdattributes.0);
    let set = |at| attributes & bit(at) != 0;
    let found = match names(attributes).as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    verdict.check(
        "debug",
        !set(DEBUG),
        Reason::DebugEnabled,
        "not debuggable",
        if set(DEBUG) {
            "debuggable"
        } else {
            "not debuggable"
        },
    );
    verdict.check(
        "td_attributes",
        set(SEPT_VE_DISABLE) && reserved(attributes) == 0,
        Reason::AttributesRefused,
        "SEPT_VE_DISABLE, and no reserved bit",
        found.clone(),
    );
    verdict.check(
        "profiling",
        attributes & PROFILING == 0,
        Reason::AttributesRefused,
        "the host cannot profile it",
        found.clone(),
    );
    verdict.check(
        "migration",
        !set(MIGRATABLE),
        Reason::AttributesRefused,
        "not migratable",
        found,
    );
    let service = quote
        .service_tds()
        .iter()
        .filter(|(_, hash)| *hash != [0; 48])
        .map(|(name, hash)| format!("{name} {}", hex::encode(hash)))
        .chain(set(SERVTD_EXT).then(|| "SERVTD_EXT".to_owned()))
        .collect::<Vec<_>>()
        .join(", ");
    verdict.check(
        "service_td",
        service.is_empty(),
        Reason::AttributesRefused,
        "no service TD is bound to it",
        if service.is_empty() { "none" } else { &service },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_a_name_or_is_reserved() {
        for at in 0..64 {
            let name = names(bit(at)).concat();
            assert_eq!(name.starts_with("reserved"), reserved(bit(at)) != 0, "{at}");
            // As dcap-qvl has it.
            let parsed = dcap_qvl::quote::TDAttributes::parse(bit(at).to_le_bytes()).unwrap();
            assert_eq!(parsed.reserved != 0, reserved(bit(at)) != 0, "{at}");
        }
        assert_eq!(names(bit(28) | bit(63)), ["SEPT_VE_DISABLE", "PERFMON"]);
    }
}
