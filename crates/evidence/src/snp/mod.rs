//! AMD SEV-SNP: a guest's attestation report (versions 2 to 5) under AMD's root
//! keys for Milan, Genoa and Turin, which are compiled in (invariant 8). Its
//! software kind has the same format under an anchor that the policy names.

mod apply;
mod measurements;
mod product;
mod report;
mod verify;

pub use measurements::SnpMeasurements;
pub use product::{FirmwareVersion, Product, Tcb};
pub use report::{GuestPolicy, PlatformInfo, REPORT_SIZE, Report, ReportError, Signer};
pub use verify::SnpCollateral;
pub(crate) use verify::{Collateral, Owner, ROOT_KEYS, Verified};

use crate::{
    bytes::Hex,
    module::{Case, Judge},
    policy::SnpRules,
    reason::Reason,
    refusal::Root,
    verdict::{Facts, Verdict},
};
use serde::Serialize;

/// What the evidence says. Verified if the verdict's `verified` is true; else
/// what an unverified report claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnpFacts {
    /// Version of the report's format.
    pub report_version: u32,
    /// What runs.
    pub measurements: SnpMeasurements,
    /// Privilege level that asked for the report.
    pub vmpl: u8,
    /// The 64 bytes that the report carries.
    pub report_data: Hex<64>,
    /// The guest, by a number drawn at launch.
    pub report_id: Hex<32>,
    /// The migration agent's; all ones if there is none.
    pub report_id_ma: Hex<32>,
    /// Which key signed it.
    pub signer: Signer,
    /// The machine's settings, as the report has them.
    pub platform_info: u64,
    /// Version of the firmware that runs.
    pub firmware: String,
    /// Version of the firmware below which the machine cannot go back.
    pub firmware_committed: String,
    /// The machine, where the report verifies.
    #[serde(flatten)]
    pub machine: Option<SnpMachine>,
}

/// What AMD's certificates and a verified report say of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnpMachine {
    /// AMD's product.
    pub product: Product,
    /// The chip: its certificate's word; for a provider's key the report's.
    /// None if the provider masks it.
    pub chip_id: Option<String>,
    /// The provider that the signing key was given to, for a VLEK.
    pub provider: Option<String>,
    /// The firmware that the signing key stands for.
    pub reported_tcb: Tcb,
    /// The firmware that runs.
    pub current_tcb: Tcb,
    /// The firmware below which the machine cannot go back.
    pub committed_tcb: Tcb,
    /// The firmware that ran when the guest was launched.
    pub launch_tcb: Tcb,
    /// Whether a revocation list came with it.
    pub revocation_checked: bool,
    /// When the first certificate or list runs out; ms since 1970.
    pub collateral_until_ms: u64,
}

/// Evidence that was read.
pub(crate) struct Snp {
    pub(crate) report: Report,
    pub(crate) verified: Option<Verified>,
}

impl Judge for Snp {
    type Rules = SnpRules;
    type Release = SnpMeasurements;
    const NAME: &'static str = "AMD SEV-SNP";

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let bytes = &case.evidence.statement.0;
        let body = &case.endorsements.body.0;
        let snp = Self::read(verdict, case, root, bytes, body)?;
        verdict.facts(Facts::Snp(snp.facts()));
        Some(snp)
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &SnpRules) {
        if let Some(verified) = &self.verified {
            apply::apply(verdict, &self.report, verified, rules, case.clock);
        }
    }

    fn differences(&self, release: &SnpMeasurements) -> Vec<&'static str> {
        SnpMeasurements::of(&self.report).differences(release)
    }

    fn carried(&self) -> &[u8] {
        self.report.report_data()
    }

    fn observed(&self) -> (SnpRules, SnpMeasurements) {
        let rules = self
            .verified
            .as_ref()
            .map(|verified| apply::observed(&self.report, verified));
        (rules.unwrap_or_default(), SnpMeasurements::of(&self.report))
    }
}

impl Snp {
    /// Reads a report and its collateral, verifies them, and makes the checks
    /// that no policy can change.
    pub(crate) fn read(
        verdict: &mut Verdict,
        case: &Case<'_>,
        root: Root<'_>,
        report: &[u8],
        collateral: &[u8],
    ) -> Option<Self> {
        const EXPECTED: &str = "SEV-SNP report, version 2 to 5";
        let report = match Report::parse(report) {
            Ok(report) => report,
            Err(error) => {
                let reason = match error {
                    ReportError::Unsigned => Reason::QuoteSignature,
                    _ => Reason::EvidenceMalformed,
                };
                verdict.fail("report_format", reason, EXPECTED, error.to_string());
                return None;
            }
        };
        let version = format!("version {}", report.version());
        verdict.pass("report_format", EXPECTED, version);
        let debug = report.policy().debug();
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
        let verified = match Collateral::read(collateral) {
            Ok(collateral) => {
                let window = collateral.window();
                case.clock
                    .check(verdict, "collateral", window.from_s, window.until_s);
                let result = verify::verify(&report, &collateral, root, case.clock);
                verdict.chain("report", root, result)
            }
            Err(refusal) => {
                verdict.refuse(
                    "collateral",
                    "certificates as AMD's KDS gives them",
                    refusal,
                );
                None
            }
        };
        if let Some(verified) = &verified {
            apply::consistent(verdict, &report, verified.product);
        }
        Some(Self { report, verified })
    }

    pub(crate) fn facts(&self) -> SnpFacts {
        let report = &self.report;
        SnpFacts {
            report_version: report.version(),
            measurements: SnpMeasurements::of(report),
            vmpl: report.vmpl(),
            report_data: Hex(*report.report_data()),
            report_id: Hex(report.report_id()),
            report_id_ma: Hex(report.report_id_ma()),
            signer: report.signer(),
            platform_info: report.platform_info().0,
            firmware: report.current_version().to_string(),
            firmware_committed: report.committed_version().to_string(),
            machine: self.verified.as_ref().map(|verified| {
                let product = verified.product;
                SnpMachine {
                    product,
                    chip_id: apply::chip_id(report, verified),
                    provider: match &verified.owner {
                        Owner::Chip(_) => None,
                        Owner::Provider(name) => Some(name.clone()),
                    },
                    reported_tcb: report.reported_tcb(product),
                    current_tcb: report.current_tcb(product),
                    committed_tcb: report.committed_tcb(product),
                    launch_tcb: report.launch_tcb(product),
                    revocation_checked: verified.crl_from_s.is_some(),
                    collateral_until_ms: verified.until_s.saturating_mul(1000),
                }
            }),
        }
    }
}
