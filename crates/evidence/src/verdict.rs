//! The verdict: one line a check. Only a verdict that compared an expected
//! binding and failed nothing can become an [`Accepted`] (invariant 7).

use crate::{bytes::Hex, quote::Measurements, reason::Reason};
use serde::Serialize;
use soundproof_protocol::{
    attestation::Platform, binding::Binding, digest::Digest, trust::TrustConfiguration,
};

/// Characters that one field of a check shows at most.
const MAX_SHOWN: usize = 600;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it must be.
    Pass,
    /// Acceptable, but to be known.
    Warn,
    /// Not acceptable: the verdict is a rejection.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub result: Outcome,
    /// What would pass.
    pub expected: String,
    /// What was there.
    pub found: String,
    /// Why it failed; `ok` if it did not.
    pub code: Reason,
    /// What to do; empty if it passed.
    pub remedy: &'static str,
}

impl Check {
    pub(crate) fn new(
        name: &'static str,
        result: Outcome,
        code: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            name,
            result,
            expected: shown(expected.into()),
            found: shown(found.into()),
            code,
            remedy: code.remedy(),
        }
    }
}

/// Parts of what is shown come from strangers: no control characters, and not
/// too much of it.
fn shown(text: String) -> String {
    let plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().count() <= MAX_SHOWN && text.chars().all(plain) {
        return text;
    }
    let mut out: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if plain(c) { c } else { '\u{fffd}' })
        .collect();
    if text.chars().count() > MAX_SHOWN {
        out.push('…');
    }
    out
}

/// What the evidence says of the platform. Verified if the check `quote`
/// passed; else what an unverified quote claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// Version of the quote's format.
    pub quote_version: u16,
    /// What runs.
    pub measurements: Measurements,
    /// SVNs of the TDX module and its loader.
    pub tee_tcb_svn: Hex<16>,
    /// The 64 bytes that the quote carries.
    pub report_data: Hex<64>,
    /// The machine's family.
    pub fmspc: Option<Hex<6>>,
    /// The machine.
    pub ppid: Option<String>,
    /// Converged TCB status.
    pub tcb_status: Option<String>,
    /// Advisories that apply.
    pub advisories: Vec<String>,
    /// The lower TCB evaluation number of the collateral.
    pub tcb_evaluation: Option<u32>,
    /// When the first piece of collateral runs out; ms since 1970.
    pub collateral_until_ms: Option<u64>,
}

/// What an appraisal came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The kind of evidence.
    #[serde(serialize_with = "platform_name")]
    pub platform: Platform,
    /// Whether it can be accepted.
    pub acceptable: bool,
    /// The time that was judged at; ms since 1970.
    pub judged_at_ms: u64,
    /// Name of the release that the measurements are those of.
    pub release: Option<String>,
    /// One line each, in the order in which they were made.
    pub checks: Vec<Check>,
    /// What the evidence says; none if it could not be read.
    pub facts: Option<Box<Facts>>,
    // Set by `appraise` alone, after every check was made and none failed; the
    // fields above are for reading, and changing them accepts nothing.
    #[serde(skip)]
    pub(crate) compared: Option<Box<Compared>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) binding: Binding,
    pub(crate) evidence: Digest,
    pub(crate) trust: TrustConfiguration,
}

fn platform_name<S: serde::Serializer>(platform: &Platform, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(platform.name())
}

impl Verdict {
    pub(crate) fn new(platform: Platform, judged_at_ms: u64) -> Self {
        Self {
            platform,
            acceptable: false,
            judged_at_ms,
            release: None,
            checks: Vec::with_capacity(20),
            facts: None,
            compared: None,
        }
    }

    pub(crate) fn pass(
        &mut self,
        name: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.checks
            .push(Check::new(name, Outcome::Pass, Reason::Ok, expected, found));
    }

    pub(crate) fn fail(
        &mut self,
        name: &'static str,
        code: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.checks
            .push(Check::new(name, Outcome::Fail, code, expected, found));
    }

    pub(crate) fn warn(
        &mut self,
        name: &'static str,
        code: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.checks
            .push(Check::new(name, Outcome::Warn, code, expected, found));
    }

    /// A check that passes if `good`, else fails with `code`.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        good: bool,
        code: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        if good {
            self.pass(name, expected, found);
        } else {
            self.fail(name, code, expected, found);
        }
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.result == Outcome::Fail)
    }

    /// The checks that passed with a warning.
    pub fn warnings(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.result == Outcome::Warn)
    }

    /// Turns it into the one value that stands for accepted evidence.
    ///
    /// # Errors
    /// The verdict itself, if a check failed or no binding was expected.
    pub fn accept(self) -> Result<Accepted, Self> {
        match &self.compared {
            Some(compared) => Ok(Accepted {
                compared: (**compared).clone(),
                verdict: self,
            }),
            None => Err(self),
        }
    }
}

/// Evidence that a policy accepted for an expected binding. There is no other
/// way to one than [`appraise`](crate::appraise) and [`Verdict::accept`].
#[derive(Debug, Clone)]
pub struct Accepted {
    verdict: Verdict,
    compared: Compared,
}

impl Accepted {
    /// How it came to be.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What kind of evidence it was.
    pub fn platform(&self) -> Platform {
        self.verdict.platform
    }

    /// The binding that the evidence carries.
    pub fn binding(&self) -> &Binding {
        &self.compared.binding
    }

    /// Digest of the evidence.
    pub fn evidence_digest(&self) -> Digest {
        self.compared.evidence
    }

    /// The trust configuration that was judged with it.
    pub fn trust(&self) -> &TrustConfiguration {
        &self.compared.trust
    }
}

impl core::fmt::Display for Check {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.result {
            Outcome::Pass => write!(f, "pass  {:<18} {}", self.name, self.found),
            Outcome::Warn => write!(
                f,
                "WARN  {:<18} {} [{}] {}",
                self.name, self.found, self.code, self.remedy
            ),
            Outcome::Fail => write!(
                f,
                "FAIL  {:<18} expected {}; found {} [{}] {}",
                self.name, self.expected, self.found, self.code, self.remedy
            ),
        }
    }
}

impl core::fmt::Display for Verdict {
    /// One line a check, then one for the whole.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.platform == Platform::Software {
            writeln!(f, "{}", crate::software::WARNING)?;
        }
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        let failed = self.failures().count();
        match (failed, &self.compared) {
            (0, Some(_)) => write!(f, "acceptable"),
            (0, None) => write!(
                f,
                "explained only: no binding was expected, so nothing can be accepted"
            ),
            (n, _) => write!(f, "rejected: {n} of {} checks failed", self.checks.len()),
        }
    }
}
