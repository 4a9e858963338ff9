//! The machine's state and the guest's policy, by a policy's
//! [`SnpRules`]; and what no policy can change.

use super::{
    product::Product,
    report::Report,
    verify::{Owner, Verified},
};
use crate::{
    module::Clock,
    policy::{MinTcb, Protection, SnpRules},
    reason::Reason,
    vector::Claim,
    verdict::Verdict,
};

/// Versions that contradict each other are no state that a machine can be in:
/// what is reported or committed is at most what runs.
pub(super) fn consistent(verdict: &mut Verdict, report: &Report, product: Product) {
    let current = report.current_tcb(product);
    for (name, what, tcb) in [
        ("tcb_reported", "reported", report.reported_tcb(product)),
        ("tcb_committed", "committed", report.committed_tcb(product)),
    ] {
        let above = current.shortfall(&tcb);
        verdict.check(
            name,
            above.is_empty(),
            Reason::TcbInconsistent,
            format!("{what} is at most what runs: {current}"),
            tcb.to_string(),
        );
    }
}

/// The chip: its certificate's word, which the signature proves; else the
/// report's.
pub(super) fn chip_id(report: &Report, verified: &Verified) -> Option<String> {
    match &verified.owner {
        Owner::Chip(id) => Some(hex::encode(id)),
        Owner::Provider(_) if report.chip_id().iter().all(|byte| *byte == 0) => None,
        Owner::Provider(_) => Some(hex::encode(report.chip_id())),
    }
}

/// The checks that a policy decides.
pub(super) fn apply(
    verdict: &mut Verdict,
    report: &Report,
    verified: &Verified,
    rules: &SnpRules,
    clock: Clock,
) {
    signer(verdict, verified, rules);
    revocation(verdict, verified, rules, clock);
    tcb(verdict, report, verified.product, rules);
    firmware(verdict, report, rules);
    guest(verdict, report, rules);
    settings(verdict, report, rules);
    machine(verdict, report, verified, rules);
}

fn signer(verdict: &mut Verdict, verified: &Verified, rules: &SnpRules) {
    let mut expected = vec!["the chip's own key".to_owned()];
    expected.extend(
        rules
            .vlek_providers
            .iter()
            .map(|name| format!("the key of {name}")),
    );
    let expected = expected.join(" or ");
    match &verified.owner {
        Owner::Chip(_) => verdict.pass("signer", expected, "the chip's own key (VCEK)"),
        Owner::Provider(name) => verdict.check(
            "signer",
            rules.vlek_providers.contains(name),
            Reason::VlekRefused,
            expected,
            format!("the key of {name} (VLEK)"),
        ),
    }
}

fn revocation(verdict: &mut Verdict, verified: &Verified, rules: &SnpRules, clock: Clock) {
    const NAME: &str = "revocation_list";
    let max = rules.max_crl_age_s;
    let expected = match max {
        Some(max) => format!("at most {max} s old"),
        None => "in force".to_owned(),
    };
    match verified.crl_from_s {
        Some(from_s) => {
            let age = clock.now_s().saturating_sub(from_s);
            let young = max.is_none_or(|max| age <= max);
            let found = format!("{age} s old");
            verdict.check(NAME, young, Reason::CollateralTooOld, expected, found);
        }
        None if rules.require_crl => {
            verdict.fail(NAME, Reason::RevocationListMissing, expected, "none");
        }
        None => verdict.warn(NAME, Reason::RevocationListMissing, expected, "none"),
    }
}

fn tcb(verdict: &mut Verdict, report: &Report, product: Product, rules: &SnpRules) {
    const NAME: &str = "tcb";
    let Some(least) = rules.min_tcb.of(product) else {
        let named: Vec<_> = rules.min_tcb.products().map(Product::name).collect();
        let expected = match named.as_slice() {
            [] => "a product that min_tcb names".to_owned(),
            named => named.join(" or "),
        };
        verdict.fail(NAME, Reason::TcbUnspecified, expected, product.name());
        return;
    };
    // What runs now, what signed, what it may go back to, what it began on.
    let all = [
        ("reported", report.reported_tcb(product)),
        ("current", report.current_tcb(product)),
        ("committed", report.committed_tcb(product)),
        ("at launch", report.launch_tcb(product)),
    ];
    let short: Vec<_> = all
        .iter()
        .filter_map(|(when, tcb)| {
            let short = tcb.shortfall(&least);
            (!short.is_empty()).then(|| format!("{when}: {}", short.join(", ")))
        })
        .collect();
    let expected = format!("{} with at least {least}", product.name());
    if short.is_empty() {
        let (_, lowest) = all
            .into_iter()
            .reduce(|(when, a), (_, b)| (when, a.lower(&b)))
            .unwrap_or(("", least));
        verdict.pass(NAME, expected, lowest.to_string());
    } else {
        verdict.fail(NAME, Reason::TcbBelowMinimum, expected, short.join("; "));
    }
}

fn firmware(verdict: &mut Verdict, report: &Report, rules: &SnpRules) {
    let (current, committed) = (report.current_version(), report.committed_version());
    let found = format!("{current} runs, {committed} is committed");
    let same = current == committed;
    verdict.check(
        "firmware_committed",
        same || (rules.provisional_firmware && committed < current),
        Reason::FirmwareProvisional,
        if rules.provisional_firmware {
            "firmware at least as new as what is committed"
        } else {
            "the firmware that runs is committed"
        },
        found,
    );
    if let Some(min) = rules.min_firmware {
        verdict.check(
            "firmware",
            committed >= min && current >= min,
            Reason::TcbBelowMinimum,
            format!("at least {min}"),
            format!("{committed} committed, {current} running"),
        );
    }
}

fn guest(verdict: &mut Verdict, report: &Report, rules: &SnpRules) {
    let max = rules.max_vmpl;
    verdict.check(
        "vmpl",
        report.vmpl() <= max,
        Reason::VmplRefused,
        format!("at most {max}"),
        report.vmpl().to_string(),
    );
    let policy = report.policy();
    let allowed = [
        (
            policy.migration_agent(),
            rules.migration_agent,
            "a migration agent",
        ),
        (policy.smt(), rules.smt, "SMT"),
        (policy.cxl(), rules.cxl, "CXL"),
    ];
    let mut wrong: Vec<_> = allowed
        .into_iter()
        .filter(|(there, allowed, _)| *there && !allowed)
        .map(|(_, _, what)| format!("it allows {what}"))
        .collect();
    wrong.extend(
        rules
            .require
            .iter()
            .filter(|protection| protection.in_guest_policy(policy) == Some(false))
            .map(|protection| format!("it does not require {}", protection.name())),
    );
    // Whoever may move a guest has its memory in hand.
    if !policy.migration_agent() && report.report_id_ma().iter().any(|byte| *byte != 0xff) {
        wrong.push("it has a migration agent all the same".into());
    }
    verdict.check(
        "guest_policy",
        wrong.is_empty(),
        Reason::GuestPolicyRefused,
        rules.guest_policy_in_words(),
        if wrong.is_empty() {
            policy.to_string()
        } else {
            format!("{policy}: {}", wrong.join(", "))
        },
    );
}

fn settings(verdict: &mut Verdict, report: &Report, rules: &SnpRules) {
    let info = report.platform_info();
    let mut wrong: Vec<_> = rules
        .require
        .iter()
        .filter(|protection| protection.in_platform_info(info) == Some(false))
        .map(|protection| format!("no {}", protection.name()))
        .collect();
    if info.tio() && !rules.tio {
        wrong.push("SEV-TIO is on".into());
    }
    if info.unknown() != 0 {
        wrong.push(format!(
            "bits that are not understood: {:#x}",
            info.unknown()
        ));
    }
    let mut expected: Vec<_> = rules
        .require
        .iter()
        .filter(|protection| protection.in_platform_info(info).is_some())
        .map(|protection| protection.name())
        .collect();
    if !rules.tio {
        expected.push("no SEV-TIO");
    }
    let expected = if expected.is_empty() {
        "bits that are understood".to_owned()
    } else {
        expected.join(", ")
    };
    let found = if wrong.is_empty() {
        format!("{:#x}", info.0)
    } else {
        format!("{:#x}: {}", info.0, wrong.join(", "))
    };
    if !wrong.is_empty() {
        verdict.fail(
            "platform_info",
            Reason::PlatformInfoRefused,
            expected,
            found,
        );
    } else if report.version() >= 3 && !info.alias_check() {
        // From version 3 on the machine says whether memory was checked for
        // aliases (AMD-SB-3015); nothing demands it unless the policy does.
        verdict.vector.note(Claim::Hardware, 32);
        verdict.warn(
            "platform_info",
            Reason::AliasCheckMissing,
            expected,
            format!("{found}: memory was not checked for aliases"),
        );
    } else {
        verdict.pass("platform_info", expected, found);
    }
}

fn machine(verdict: &mut Verdict, report: &Report, verified: &Verified, rules: &SnpRules) {
    let chip = chip_id(report, verified);
    let listed = chip
        .as_ref()
        .is_some_and(|chip| rules.chip_id.iter().any(|id| id.names(chip)));
    let expected = rules
        .chip_id
        .iter()
        .map(|id| format!("chip {id}"))
        .collect::<Vec<_>>()
        .join(" or ");
    let found = match chip {
        Some(chip) => format!("chip {chip}"),
        None => "the provider masks it".to_owned(),
    };
    crate::machine::check(verdict, rules.any_machine, listed, expected, found);
}

/// Rules that accept this machine in this state, and no other.
pub(super) fn observed(report: &Report, verified: &Verified) -> SnpRules {
    let product = verified.product;
    let lowest = [
        report.current_tcb(product),
        report.committed_tcb(product),
        report.launch_tcb(product),
    ]
    .iter()
    .fold(report.reported_tcb(product), |low, tcb| low.lower(tcb));
    let chip = chip_id(report, verified).and_then(|chip| chip.parse().ok());
    let policy = report.policy();
    let strict = SnpRules::default();
    let require: Vec<Protection> = Protection::ALL
        .iter()
        .copied()
        .filter(|protection| {
            protection.in_guest_policy(policy) == Some(true)
                || protection.in_platform_info(report.platform_info()) == Some(true)
        })
        .collect();
    SnpRules {
        chip_id: chip.into_iter().collect(),
        vlek_providers: match &verified.owner {
            Owner::Chip(_) => Vec::new(),
            Owner::Provider(name) => vec![name.clone()],
        },
        min_tcb: MinTcb::only(product, lowest),
        provisional_firmware: report.current_version() != report.committed_version(),
        require_crl: verified.crl_from_s.is_some(),
        max_vmpl: report.vmpl(),
        migration_agent: policy.migration_agent(),
        smt: policy.smt(),
        cxl: policy.cxl(),
        tio: report.platform_info().tio(),
        require,
        ..strict
    }
}
