//! Intel TDX: a trust domain by itself, with a quote (v4 or v5) and DCAP
//! collateral. The software platform has the same format under an anchor that
//! the policy names.

mod measurements;
mod quote;

pub use measurements::Measurements;
pub use quote::{Quote, QuoteError};

use crate::{
    bytes::Hex,
    dcap::{self, DcapFacts},
    module::{Case, Judge},
    policy::TdxRules,
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
    /// The machine, where the quote verifies.
    #[serde(flatten)]
    pub machine: Option<DcapFacts>,
}

/// Evidence that was read.
pub(crate) struct Tdx {
    quote: Quote,
    verified: Option<dcap::Verified>,
}

impl Judge for Tdx {
    type Rules = TdxRules;
    type Release = Measurements;
    const NAME: &'static str = "Intel TDX";

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let bytes = &case.evidence.statement.0;
        let quote = read(verdict, bytes)?;
        let verified = dcap::examine(verdict, case, bytes, root);
        verdict.facts(Facts::Tdx(TdxFacts {
            quote_version: quote.version(),
            measurements: quote.measurements(),
            tee_tcb_svn: Hex(*quote.tee_tcb_svn()),
            report_data: Hex(*quote.report_data()),
            machine: verified.as_ref().map(dcap::Verified::facts),
        }));
        Some(Self { quote, verified })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &TdxRules) {
        if let Some(verified) = &self.verified {
            dcap::apply(verdict, verified, &rules.dcap, case.clock);
        }
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
        };
        (rules, self.quote.measurements())
    }
}

/// Reads a TDX quote, and refuses a debuggable domain.
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
    let debug = quote.is_debug();
    verdict.check(
        "debug",
        !debug,
        Reason::DebugEnabled,
        "not debuggable",
        if debug {
            "debuggable"
        } else {
            "not debuggable"
        },
    );
    Some(quote)
}
