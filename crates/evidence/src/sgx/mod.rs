//! Intel SGX: an enclave's quote, with DCAP collateral. Versions 4 and 5 of
//! the format are read and explained, but only version 3 is verified: it is
//! what Intel's quoting enclave makes of enclaves.

mod quote;

pub use quote::{Measurements, Quote, QuoteError};

use crate::{
    bytes::Hex,
    dcap::{self, DcapFacts},
    module::{Case, Judge},
    policy::SgxRules,
    reason::Reason,
    refusal::Root,
    verdict::{Facts, Verdict},
};
use serde::Serialize;

/// The version that is verified.
const VERIFIED_VERSION: u16 = 3;

/// What the evidence says. Verified if the verdict's `verified` is true; else
/// what an unverified quote claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SgxFacts {
    /// Version of the quote's format.
    pub quote_version: u16,
    /// What runs.
    pub measurements: Measurements,
    /// Names of its attributes.
    pub attributes: Vec<&'static str>,
    /// SVNs of the processor's TCB.
    pub cpu_svn: Hex<16>,
    /// The 64 bytes that the quote carries.
    pub report_data: Hex<64>,
    /// The machine, where the quote verifies.
    #[serde(flatten)]
    pub machine: Option<DcapFacts>,
}

/// Evidence that was read.
pub(crate) struct Sgx {
    quote: Quote,
    verified: Option<dcap::Verified>,
}

impl Judge for Sgx {
    type Rules = SgxRules;
    type Release = Measurements;
    const NAME: &'static str = "Intel SGX";

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let bytes = &case.evidence.statement.0;
        let quote = read(verdict, bytes)?;
        let verified = dcap::examine(verdict, case, bytes, root);
        verdict.facts(Facts::Sgx(SgxFacts {
            quote_version: quote.version(),
            measurements: quote.measurements(),
            attributes: quote.attribute_names(),
            cpu_svn: Hex(*quote.cpu_svn()),
            report_data: Hex(*quote.report_data()),
            machine: verified.as_ref().map(dcap::Verified::facts),
        }));
        Some(Self { quote, verified })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &SgxRules) {
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

    fn raise(rules: &mut SgxRules, tcb_evaluation: u32) {
        rules.dcap.raise(tcb_evaluation);
    }

    fn observed(&self) -> (SgxRules, Measurements) {
        let dcap = self.verified.as_ref().map(dcap::observed);
        let rules = SgxRules {
            dcap: dcap.unwrap_or_default(),
        };
        (rules, self.quote.measurements())
    }
}

fn read(verdict: &mut Verdict, bytes: &[u8]) -> Option<Quote> {
    const EXPECTED: &str = "SGX quote, version 3";
    let quote = match Quote::parse(bytes) {
        Ok(quote) => quote,
        Err(error) => {
            let found = error.to_string();
            verdict.fail("quote_format", Reason::EvidenceMalformed, EXPECTED, found);
            return None;
        }
    };
    verdict.check(
        "quote_format",
        quote.version() == VERIFIED_VERSION,
        Reason::SgxQuoteVersion,
        EXPECTED,
        format!("version {}", quote.version()),
    );
    verdict.check(
        "debug",
        !quote.is_debug(),
        Reason::DebugEnabled,
        "not debuggable",
        if quote.is_debug() {
            "debuggable"
        } else {
            "not debuggable"
        },
    );
    verdict.check(
        "enclave_attributes",
        quote.is_initialised() && quote.refused_attributes() == 0,
        Reason::AttributesRefused,
        "INIT, and none that is reserved or launches others",
        quote.attribute_names().join(", "),
    );
    Some(quote)
}
