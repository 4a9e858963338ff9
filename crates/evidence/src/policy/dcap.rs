//! Rules for what Intel's DCAP says of a machine: shared by every platform
//! whose statement is a TDX or SGX quote. Their keys lie in the platform's own
//! table.

use crate::{
    bytes::Hex,
    policy::{Rules, Time, span},
};
use serde::{Deserialize, Serialize};

/// Age of TCB info and QE identity that is accepted unless the policy says
/// otherwise, in seconds: 30 days, for which Intel signs them.
pub const DEFAULT_COLLATERAL_AGE_S: u64 = 30 * 24 * 3600;

/// A TCB status that a policy may accept. `Revoked` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // Intel's names
pub enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
}

impl TcbStatus {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::UpToDate,
        Self::SWHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSWHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::TDRelaunchAdvised,
        Self::TDRelaunchAdvisedConfigurationNeeded,
    ];

    /// Intel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SWHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSWHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TDRelaunchAdvised => "TDRelaunchAdvised",
            Self::TDRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
        }
    }

    /// What an outdated status would be if nothing were outdated: none if it
    /// is not.
    pub(crate) const fn within_grace(self) -> Option<Self> {
        match self {
            Self::OutOfDate => Some(Self::UpToDate),
            Self::OutOfDateConfigurationNeeded => Some(Self::ConfigurationNeeded),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // unknown keys are refused by the table that this is part of
pub struct DcapRules {
    /// TCB statuses that are accepted.
    pub tcb_statuses: Vec<TcbStatus>,
    /// For so many seconds after the date of its TCB level an out-of-date
    /// machine is accepted still, with the advisories that this brings (but
    /// for `advisories_denied`): time to update after a TCB recovery.
    pub tcb_grace_s: u64,
    /// Advisories that are accepted although they apply.
    pub advisories: Vec<String>,
    /// Advisories that are accepted never, whatever else would.
    pub advisories_denied: Vec<String>,
    /// `tcbEvaluationDataNumber` of TCB info and QE identity, at least.
    pub min_tcb_evaluation: u32,
    /// Seconds since the older of TCB info and QE identity was issued, at
    /// most.
    pub max_collateral_age_s: u64,
    /// Machine families that are accepted; all, if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmspc: Option<Vec<Hex<6>>>,
    /// Machines that are accepted, by Platform Provisioning ID.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ppid: Vec<Hex<16>>,
    /// Machines that are accepted, by Platform Instance ID.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub piid: Vec<Hex<16>>,
    /// Accepts every machine on earth that the rest accepts, in whosever hands
    /// it is, which includes those who can attack it physically. Says nothing
    /// beside `ppid` or `piid`.
    pub any_machine: bool,
    /// Statuses that are accepted for a reason and a time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcb_exception: Vec<TcbException>,
}

/// `[[platform.….tcb_exception]]`: a status and the advisories that come with
/// it, accepted for a reason until a time. Not before `advisories_denied`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcbException {
    /// Why; the verdict shows it.
    pub name: String,
    /// The status.
    pub tcb_status: TcbStatus,
    /// Advisories that may apply then, beside those always accepted.
    #[serde(default)]
    pub advisories: Vec<String>,
    /// For machines of this family only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fmspc: Option<Hex<6>>,
    /// The last moment at which it holds.
    pub until: Time,
}

impl DcapRules {
    pub(crate) fn raise(&mut self, tcb_evaluation: u32) {
        self.min_tcb_evaluation = self.min_tcb_evaluation.max(tcb_evaluation);
    }
}

impl Default for DcapRules {
    fn default() -> Self {
        Self {
            tcb_statuses: vec![TcbStatus::UpToDate],
            tcb_grace_s: 0,
            advisories: Vec::new(),
            advisories_denied: Vec::new(),
            min_tcb_evaluation: 0,
            max_collateral_age_s: DEFAULT_COLLATERAL_AGE_S,
            fmspc: None,
            ppid: Vec::new(),
            piid: Vec::new(),
            any_machine: false,
            tcb_exception: Vec::new(),
        }
    }
}

impl Rules for DcapRules {
    fn lets_through(&self) -> Vec<String> {
        let names = |list: &[String]| list.join(", ");
        let statuses: Vec<_> = self.tcb_statuses.iter().map(|s| s.name()).collect();
        let mut out = vec![self.machines()];
        out.push(match statuses.as_slice() {
            [] => "no TCB status by itself".into(),
            statuses => format!("machines whose TCB is {}", statuses.join(" or ")),
        });
        if self.tcb_grace_s > 0 {
            out.push(format!(
                "machines out of date for up to {} after their TCB level's date, with whatever \
                 advisories that brings{}",
                span(self.tcb_grace_s),
                match self.advisories_denied.as_slice() {
                    [] => String::new(),
                    denied => format!(" but {}", names(denied)),
                }
            ));
        }
        if !self.advisories.is_empty() {
            let advisories = names(&self.advisories);
            out.push(format!("machines to which {advisories} apply"));
        }
        for exception in &self.tcb_exception {
            let advisories = match exception.advisories.as_slice() {
                [] => String::new(),
                list => format!(" with {}", names(list)),
            };
            out.push(format!(
                "until {}, {}{advisories}: {}",
                exception.until,
                exception.tcb_status.name(),
                exception.name
            ));
        }
        out.push(format!(
            "collateral up to {} old, of TCB evaluation {} or later",
            span(self.max_collateral_age_s),
            self.min_tcb_evaluation
        ));
        out
    }

    fn accept_any_machine(&mut self) {
        self.any_machine = true;
        self.ppid.clear();
        self.piid.clear();
    }

    fn warnings(&self, now_s: u64) -> Vec<String> {
        let mut out = Vec::new();
        if !self.any_machine && self.ppid.is_empty() && self.piid.is_empty() {
            out.push(
                "it names no machine (ppid, piid) and does not say any_machine = true: nothing is \
                 accepted"
                    .into(),
            );
        }
        if self.any_machine && !(self.ppid.is_empty() && self.piid.is_empty()) {
            out.push("any_machine = true says nothing: the list of machines counts".into());
        }
        let weak = [
            (
                TcbStatus::OutOfDate,
                "machines with known vulnerabilities are accepted for ever; tcb_grace_s or a \
                 tcb_exception ends",
            ),
            (
                TcbStatus::OutOfDateConfigurationNeeded,
                "machines with known vulnerabilities are accepted for ever; tcb_grace_s or a \
                 tcb_exception ends",
            ),
            (
                TcbStatus::ConfigurationNeeded,
                "machines are accepted that must be configured to be safe",
            ),
            (
                TcbStatus::ConfigurationAndSWHardeningNeeded,
                "machines are accepted that must be configured to be safe",
            ),
        ];
        for (status, what) in weak {
            if self.tcb_statuses.contains(&status) {
                out.push(format!("{}: {what}", status.name()));
            }
        }
        for exception in &self.tcb_exception {
            if now_s > exception.until.0 {
                out.push(format!("exception {:?} has ended", exception.name));
            }
        }
        if self.max_collateral_age_s > DEFAULT_COLLATERAL_AGE_S {
            out.push(format!(
                "max_collateral_age_s: collateral {} old is older than Intel signs it for",
                span(self.max_collateral_age_s)
            ));
        }
        if self.min_tcb_evaluation == 0 {
            out.push(
                "min_tcb_evaluation is 0: an old evaluation that is still signed hides a later \
                 TCB recovery (clients keep the highest that they have seen)"
                    .into(),
            );
        }
        let both = |id: &&String| self.advisories_denied.contains(id);
        let excepted = self.tcb_exception.iter().flat_map(|e| &e.advisories);
        for id in self.advisories.iter().chain(excepted).filter(both) {
            out.push(format!("{id} is accepted and denied: it is denied"));
        }
        out
    }
}

impl DcapRules {
    fn machines(&self) -> String {
        let families = match &self.fmspc {
            None => String::new(),
            Some(list) => {
                let list: Vec<_> = list.iter().map(Hex::to_string).collect();
                format!(" of the families {}", list.join(", "))
            }
        };
        if self.any_machine && self.ppid.is_empty() && self.piid.is_empty() {
            return format!(
                "any machine on earth{families}, whoever holds it: who has it in hand can attack \
                 it physically"
            );
        }
        format!(
            "{} named machines{families}",
            self.ppid.len().saturating_add(self.piid.len())
        )
    }
}
