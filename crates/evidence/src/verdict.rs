//! The verdict: one line a check. Only a verdict that compared an expected
//! binding and failed nothing can become an [`Accepted`] (invariant 7).

use crate::{
    azure::AzureFacts,
    dstack::DstackFacts,
    gpu::GpuFacts,
    nitro::NitroFacts,
    reason::Reason,
    refusal::{Refusal, Root},
    sgx::SgxFacts,
    snp::SnpFacts,
    tdx::TdxFacts,
    vector::{Claim, TrustVector},
};
use serde::Serialize;
use soundproof_protocol::{
    attestation::Platform, binding::Binding, digest::Digest, trust::TrustConfiguration,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Characters that one field of a check shows at most.
const MAX_SHOWN: usize = 600;

/// Seconds since 1970 as people read them.
pub(crate) fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} s since 1970"))
}

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

/// What the evidence says of the platform, one variant a format. Verified if
/// [`Verdict::verified`]; else what unverified evidence claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "format", rename_all = "kebab-case")]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is one of them, in a box
pub enum Facts {
    /// A trust domain's quote.
    Tdx(Box<TdxFacts>),
    /// An Azure VM's statement.
    Azure(AzureFacts),
    /// A trust domain's quote with dstack's event log.
    Dstack(Box<DstackFacts>),
    /// An enclave's quote.
    Sgx(SgxFacts),
    /// An SEV-SNP guest's report.
    Snp(SnpFacts),
    /// A Nitro enclave's document.
    Nitro(NitroFacts),
}

impl Facts {
    /// The lower TCB evaluation number of the collateral, where a platform has
    /// one and its evidence verified.
    pub fn tcb_evaluation(&self) -> Option<u32> {
        let machine = match self {
            Self::Tdx(facts) => facts.machine.as_ref(),
            Self::Dstack(facts) => facts.quote.machine.as_ref(),
            Self::Sgx(facts) => facts.machine.as_ref(),
            Self::Azure(facts) => return facts.hardware.as_ref()?.tcb_evaluation(),
            Self::Snp(_) | Self::Nitro(_) => None,
        };
        machine.map(|machine| machine.tcb_evaluation)
    }

    /// The 64 bytes that a quote or report carries for its caller.
    pub fn report_data(&self) -> Option<[u8; 64]> {
        match self {
            Self::Tdx(facts) => Some(facts.report_data.0),
            Self::Dstack(facts) => Some(facts.quote.report_data.0),
            Self::Sgx(facts) => Some(facts.report_data.0),
            Self::Azure(facts) => facts.hardware.as_ref()?.report_data(),
            Self::Snp(_) | Self::Nitro(_) => None,
        }
    }
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
    /// Whether every signature holds, from the trust anchor to the evidence's
    /// last byte: what `facts` says is so.
    pub verified: bool,
    /// The time that was judged at; ms since 1970.
    pub judged_at_ms: u64,
    /// Name of the release that the measurements are those of.
    pub release: Option<String>,
    /// One line each, in the order in which they were made.
    pub checks: Vec<Check>,
    /// The same as a trustworthiness vector.
    pub vector: TrustVector,
    /// What the evidence says; none if it could not be read.
    pub facts: Option<Box<Facts>>,
    /// What each GPU's evidence says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuFacts>,
    // Set by `appraise` alone, after every check was made and none failed; the
    // fields above are for reading, and changing them accepts nothing.
    #[serde(skip)]
    pub(crate) compared: Option<Box<Compared>>,
    #[serde(skip)]
    refused: bool,
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
            verified: false,
            judged_at_ms,
            release: None,
            checks: Vec::with_capacity(20),
            vector: TrustVector::default(),
            facts: None,
            gpus: Vec::new(),
            compared: None,
            refused: false,
        }
    }

    /// A chain of signatures from `root` to what is signed: passes if it
    /// holds. Nothing is accepted without one, nor with one that does not.
    pub(crate) fn chain<T>(
        &mut self,
        name: &'static str,
        root: Root<'_>,
        result: Result<T, Refusal>,
    ) -> Option<T> {
        self.verified = !self.refused;
        self.link(name, root, result)
    }

    /// A chain beside the one that evidence rests on, such as a GPU's: it
    /// verifies nothing that was not verified before it.
    pub(crate) fn link<T>(
        &mut self,
        name: &'static str,
        root: Root<'_>,
        result: Result<T, Refusal>,
    ) -> Option<T> {
        let expected = format!("verifies under {}", root.words());
        match result {
            Ok(value) => {
                if self.verified && root == Root::Vendor {
                    self.vector.note(Claim::Hardware, 2);
                    self.vector.note(Claim::RuntimeOpaque, 2);
                }
                self.pass(name, expected, format!("verified under {}", root.words()));
                Some(value)
            }
            Err(refusal) => {
                self.verified = false;
                self.refused = true;
                self.refuse(name, expected, refusal);
                None
            }
        }
    }

    /// A check that failed with a refusal.
    pub(crate) fn refuse(
        &mut self,
        name: &'static str,
        expected: impl Into<String>,
        refusal: Refusal,
    ) {
        self.fail(name, refusal.reason, expected, refusal.detail);
    }

    /// What the evidence says.
    pub(crate) fn facts(&mut self, facts: Facts) {
        self.facts = Some(Box::new(facts));
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
        self.vector.note_failure(code);
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
        if self.platform.is_software() {
            writeln!(f, "{}", crate::appraise::SOFTWARE_WARNING)?;
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
