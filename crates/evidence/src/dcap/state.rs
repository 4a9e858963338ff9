//! The machine's state: TCB status, advisories, age of the collateral, and
//! which machine it is.

use super::{collateral::seconds, verify::Verified};
use crate::{
    bytes::Hex,
    module::Clock,
    policy::{DcapRules, TcbException, TcbStatus},
    reason::Reason,
    vector::Claim,
    verdict::{Verdict, date},
};
use dcap_qvl::PckCertFlag;
use serde::Serialize;

/// What Intel's collateral and certificates say of a machine; verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DcapFacts {
    /// The machine's family.
    pub fmspc: Hex<6>,
    /// The machine: Platform Provisioning ID.
    pub ppid: String,
    /// The machine as it was set up: Platform Instance ID, where its
    /// certificate has one.
    pub piid: Option<Hex<16>>,
    /// Converged TCB status.
    pub tcb_status: String,
    /// Date of the TCB level that the machine reaches; ms since 1970.
    pub tcb_date_ms: u64,
    /// Advisories that apply.
    pub advisories: Vec<String>,
    /// The lower TCB evaluation number of the collateral.
    pub tcb_evaluation: u32,
    /// When the first piece of collateral runs out; ms since 1970.
    pub collateral_until_ms: u64,
    /// Whether packages may be added to the platform; none where the
    /// certificate does not say.
    pub dynamic_platform: Option<bool>,
    /// Whether Intel's registration service caches its keys.
    pub cached_keys: Option<bool>,
    /// Whether hyperthreading is on.
    pub smt: Option<bool>,
}

fn flag(flag: PckCertFlag) -> Option<bool> {
    match flag {
        PckCertFlag::False => Some(false),
        PckCertFlag::True => Some(true),
        PckCertFlag::Undefined => None,
    }
}

impl Verified {
    /// For the explanation.
    pub(crate) fn facts(&self) -> DcapFacts {
        let claims = &self.claims;
        let pck = &claims.platform.pck;
        DcapFacts {
            fmspc: Hex(pck.fmspc),
            ppid: hex::encode(&pck.ppid),
            piid: pck.platform_instance_id.map(Hex),
            tcb_status: claims.tcb.status.to_string(),
            tcb_date_ms: claims.platform.tcb_date_tag.saturating_mul(1000),
            advisories: claims.tcb.advisory_ids.clone(),
            tcb_evaluation: claims.tcb.eval_data_number,
            collateral_until_ms: claims.earliest_expiration_date.saturating_mul(1000),
            dynamic_platform: flag(pck.dynamic_platform),
            cached_keys: flag(pck.cached_keys),
            smt: flag(pck.smt_enabled),
        }
    }

    fn status(&self) -> Option<TcbStatus> {
        let name = self.claims.tcb.status.to_string();
        TcbStatus::ALL
            .iter()
            .copied()
            .find(|status| status.name() == name)
    }

    /// The oldest date of those TCB levels that are out of date.
    fn outdated_since_s(&self) -> Option<u64> {
        use dcap_qvl::TcbStatus::{OutOfDate, OutOfDateConfigurationNeeded};
        let platform = &self.claims.platform;
        let qe = &self.claims.qe.tcb_level;
        [&platform.tcb_level]
            .into_iter()
            .chain(&platform.current_tcb_level)
            .map(|level| (level.tcb_status, &level.tcb_date))
            .chain([(qe.tcb_status, &qe.tcb_date)])
            .filter(|(status, _)| matches!(status, OutOfDate | OutOfDateConfigurationNeeded))
            // A date that cannot be read is as old as can be.
            .map(|(_, date)| seconds(date).unwrap_or(0))
            .min()
    }
}

/// The checks that a policy decides.
pub(crate) fn apply(verdict: &mut Verdict, verified: &Verified, rules: &DcapRules, clock: Clock) {
    let age = clock.now_s().saturating_sub(verified.oldest_s);
    let max = rules.max_collateral_age_s;
    verdict.check(
        "collateral_age",
        age <= max,
        Reason::CollateralTooOld,
        format!("at most {max} s"),
        format!("{age} s"),
    );
    let ground = status(verdict, verified, rules, clock);
    advisories(verdict, verified, rules, &ground);
    let evaluation = verified.claims.tcb.eval_data_number;
    let min = rules.min_tcb_evaluation;
    verdict.check(
        "tcb_evaluation",
        evaluation >= min,
        Reason::TcbEvaluationOld,
        format!("at least {min}"),
        evaluation.to_string(),
    );
    machine(verdict, verified, rules);
}

/// How a status came to be accepted: which advisories may come with it.
enum Ground<'a> {
    /// The policy names it, or it is refused.
    Named,
    /// For the time of grace.
    Grace,
    Exception(&'a TcbException),
}

fn status<'a>(
    verdict: &mut Verdict,
    verified: &Verified,
    rules: &'a DcapRules,
    clock: Clock,
) -> Ground<'a> {
    const NAME: &str = "tcb_status";
    let name = verified.claims.tcb.status.to_string();
    let accepted: Vec<_> = rules.tcb_statuses.iter().map(|s| s.name()).collect();
    let expected = if accepted.is_empty() {
        "none".to_owned()
    } else {
        accepted.join(" or ")
    };
    let found = match &verified.shortfall {
        Some(shortfall) => format!("{name}; {shortfall}"),
        None => name,
    };
    let Some(status) = verified.status() else {
        verdict.fail(NAME, Reason::TcbStatusRefused, expected, found);
        return Ground::Named;
    };
    if rules.tcb_statuses.contains(&status) {
        if status != TcbStatus::UpToDate {
            verdict.vector.note(Claim::Hardware, 32);
        }
        verdict.pass(NAME, expected, found);
        return Ground::Named;
    }
    let now_s = clock.now_s();
    let fmspc = verified.claims.platform.pck.fmspc;
    let exception = rules.tcb_exception.iter().find(|exception| {
        exception.tcb_status == status
            && exception.fmspc.is_none_or(|only| only.0 == fmspc)
            && now_s <= exception.until.0
    });
    let grace_until_s = status
        .within_grace()
        .filter(|otherwise| rules.tcb_grace_s > 0 && rules.tcb_statuses.contains(otherwise))
        .and_then(|_| verified.outdated_since_s())
        .map(|since| since.saturating_add(rules.tcb_grace_s))
        .filter(|until_s| now_s <= *until_s);
    if let Some(until_s) = grace_until_s {
        verdict.vector.note(Claim::Hardware, 32);
        let found = format!("{found}; in grace until {}", date(until_s));
        verdict.warn(NAME, Reason::TcbGrace, expected, found);
        Ground::Grace
    } else if let Some(exception) = exception {
        verdict.vector.note(Claim::Hardware, 32);
        let found = format!(
            "{found}; excepted until {}: {}",
            exception.until, exception.name
        );
        verdict.warn(NAME, Reason::TcbExcepted, expected, found);
        Ground::Exception(exception)
    } else {
        verdict.fail(NAME, Reason::TcbStatusRefused, expected, found);
        Ground::Named
    }
}

fn advisories(verdict: &mut Verdict, verified: &Verified, rules: &DcapRules, ground: &Ground<'_>) {
    let all = &verified.claims.tcb.advisory_ids;
    let excepted: &[String] = match ground {
        Ground::Exception(exception) => &exception.advisories,
        Ground::Named | Ground::Grace => &[],
    };
    let in_grace = matches!(ground, Ground::Grace);
    let refused: Vec<&str> = all
        .iter()
        .filter(|id| {
            let accepted = in_grace || rules.advisories.contains(id) || excepted.contains(id);
            !accepted || rules.advisories_denied.contains(id)
        })
        .map(String::as_str)
        .collect();
    let named: Vec<&str> = rules
        .advisories
        .iter()
        .chain(excepted)
        .map(String::as_str)
        .collect();
    let expected = match (in_grace, named.as_slice()) {
        (true, _) => format!("none of {}", or_none(&rules.advisories_denied)),
        (false, []) => "none".to_owned(),
        (false, named) => format!("none but {}", named.join(", ")),
    };
    if refused.is_empty() {
        verdict.pass("advisories", expected, or_none(all));
    } else {
        let refused = refused.join(", ");
        verdict.fail("advisories", Reason::AdvisoryRefused, expected, refused);
    }
}

fn or_none(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

fn machine(verdict: &mut Verdict, verified: &Verified, rules: &DcapRules) {
    let pck = &verified.claims.platform.pck;
    if let Some(list) = &rules.fmspc {
        let fmspc = Hex(pck.fmspc);
        let expected: Vec<_> = list.iter().map(Hex::to_string).collect();
        verdict.check(
            "fmspc",
            list.contains(&fmspc),
            Reason::FmspcRefused,
            expected.join(" or "),
            fmspc.to_string(),
        );
    }
    let piid = pck.platform_instance_id;
    let mut found = format!("PPID {}", hex::encode(&pck.ppid));
    if let Some(piid) = piid {
        found.push_str(&format!(", PIID {}", Hex(piid)));
    }
    let listed = rules.ppid.iter().any(|ppid| ppid.0[..] == pck.ppid[..])
        || piid.is_some_and(|piid| rules.piid.contains(&Hex(piid)));
    let expected = rules
        .ppid
        .iter()
        .map(|id| format!("PPID {id}"))
        .chain(rules.piid.iter().map(|id| format!("PIID {id}")))
        .collect::<Vec<_>>()
        .join(" or ");
    crate::machine::check(verdict, rules.any_machine, listed, expected, found);
}

/// Rules that accept this machine in this state, and no other.
pub(crate) fn observed(verified: &Verified) -> DcapRules {
    let claims = &verified.claims;
    let pck = &claims.platform.pck;
    DcapRules {
        tcb_statuses: verified.status().into_iter().collect(),
        advisories: claims.tcb.advisory_ids.clone(),
        min_tcb_evaluation: claims.tcb.eval_data_number,
        ppid: <[u8; 16]>::try_from(pck.ppid.as_slice())
            .map(Hex)
            .into_iter()
            .collect(),
        ..DcapRules::default()
    }
}
