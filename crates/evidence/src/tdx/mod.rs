//! Intel TDX: a trust domain by itself, with a quote (v4 or v5) and DCAP
//! collateral. The software platform has the same format under an anchor that
//! the policy names. A firmware's event log may stand beside the quote.

mod attributes;
mod measurements;
mod quote;

pub use measurements::Measurements;
pub use quote::{Quote, QuoteError};

use crate::{
    bytes::Hex,
    ccel::{self, Boot},
    dcap::{self, DcapFacts},
    module::{Case, Judge},
    policy::{EventLogRules, TdxRules},
    reason::Reason,
    refusal::Root,
    verdict::{Facts, Verdict},
};
use serde::Serialize;

/// What the evidence says. Verified if the verdict's `verified` is true; else
/// what an unverified quote claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TdxFacts {
    /// Version of the quote's format.
    pub quote_version: u16,
    /// What runs.
    pub measurements: Measurements,
    /// SVNs of the TDX module and its loader.
    pub tee_tcb_svn: Hex<16>,
    /// The 64 bytes that the quote carries.
    pub report_data: Hex<64>,
    /// Names of the attributes that are set.
    pub attributes: Vec<String>,
    /// The machine, where the quote verifies.
    #[serde(flatten)]
    pub machine: Option<DcapFacts>,
    /// How it started, where an event log shows it that is this quote's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
}

impl TdxFacts {
    pub(crate) fn of(quote: &Quote, verified: Option<&dcap::Verified>) -> Self {
        let measurements = quote.measurements();
        Self {
            quote_version: quote.version(),
            attributes: attributes::names(u64::from_le_bytes(measurements.tdattributes.0)),
            measurements,
            tee_tcb_svn: Hex(*quote.tee_tcb_svn()),
            report_data: Hex(*quote.report_data()),
            machine: verified.map(dcap::Verified::facts),
            boot: None,
        }
    }
}

/// Evidence that was read.
pub(crate) struct Tdx {
    quote: Quote,
    verified: Option<dcap::Verified>,
    boot: Option<Boot>,
}

impl Judge for Tdx {
    type Rules = TdxRules;
    type Release = Measurements;
    const NAME: &'static str = "Intel TDX";
    const EVENT_LOG: bool = true;

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let bytes = &case.evidence.statement.0;
        let quote = read(verdict, bytes)?;
        let verified = dcap::examine(verdict, case, bytes, root);
        let boot = case
            .evidence
            .event_log
            .as_ref()
            .and_then(|log| ccel::judge::examine(verdict, &log.0, &registers(&quote)));
        verdict.facts(Facts::Tdx(Box::new(TdxFacts {
            boot: boot.clone(),
            ..TdxFacts::of(&quote, verified.as_ref())
        })));
        Some(Self {
            quote,
            verified,
            boot,
        })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &TdxRules) {
        if let Some(verified) = &self.verified {
            dcap::apply(verdict, verified, &rules.dcap, case.clock);
        }
        ccel::judge::apply(verdict, self.boot.as_ref(), &rules.event_log);
    }

    fn differences(&self, release: &Measurements) -> Vec<&'static str> {
        self.quote.measurements().differences(release)
    }

    fn carried(&self) -> &[u8] {
        self.quote.report_data()
    }

    fn raise(rules: &mut TdxRules, tcb_evaluation: u32) {
        rules.dcap.raise(tcb_evaluation);
    }

    fn observed(&self) -> (TdxRules, Measurements) {
        let dcap = self.verified.as_ref().map(dcap::observed);
        let rules = TdxRules {
            dcap: dcap.unwrap_or_default(),
            event_log: EventLogRules {
                required: self.boot.is_some(),
                ..EventLogRules::default()
            },
        };
        (rules, self.quote.measurements())
    }
}

/// RTMR0 to RTMR3.
pub(crate) fn registers(quote: &Quote) -> [[u8; 48]; 4] {
    let found = quote.measurements();
    [found.rtmr0, found.rtmr1, found.rtmr2, found.rtmr3].map(|register| register.0)
}

/// Reads a TDX quote, and refuses a domain whose attributes let others in.
pub(crate) fn read(verdict: &mut Verdict, bytes: &[u8]) -> Option<Quote> {
    const EXPECTED: &str = "TDX quote, version 4 or 5";
    let quote = match Quote::parse(bytes) {
        Ok(quote) => quote,
        Err(error) => {
            let found = error.to_string();
            verdict.fail("quote_format", Reason::EvidenceMalformed, EXPECTED, found);
            return None;
        }
    };
    let version = format!("version {}", quote.version());
    verdict.pass("quote_format", EXPECTED, version);
    attributes::check(verdict, &quote);
    Some(quote)
}
