//! The table of platforms. One line makes the policy's tables, the releases'
//! tuples and the dispatch to the module, for a hardware platform and its
//! software kind.

use crate::{
    appraise::{Basis, Table, judge_by},
    azure, dstack,
    module::{Case, Clock, Judge},
    nitro,
    policy::{Anchor, AzureRules, DstackRules, NitroRules, Rules, SgxRules, SnpRules, TdxRules},
    reason::Reason,
    refusal::Root,
    sgx, snp, tdx,
    verdict::Verdict,
};
use serde::{Deserialize, Serialize};
use soundproof_protocol::attestation::{Endorsements, Evidence, Platform};

/// A software platform's table: the anchor that its evidence must stand under,
/// and the rules of the hardware platform whose format it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software<R> {
    /// Its root certificate.
    pub anchor_pem: Anchor,
    /// The same rules as those of the hardware platform.
    #[serde(default)]
    pub rules: R,
}

macro_rules! platforms {
    ($(
        $(#[$doc:meta])*
        $hardware:ident / $software:ident,
        $Hardware:ident / $Software:ident:
        $module:ty, $rules:ty, $release:ty;
    )*) => {
        /// Platforms: a table that is there accepts its platform.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct Platforms {
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $hardware: Option<$rules>,
                /// Its software kind. Protects nothing.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $software: Option<Software<$rules>>,
            )*
        }

        /// `[[release]]`: complete tuples of measurements, one a platform.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Release {
            /// What the verdict calls it.
            pub name: String,
            $(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $hardware: Option<$release>,
                /// Its software kind.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $software: Option<$release>,
            )*
        }

        impl Platforms {
            /// Those that the policy accepts.
            pub fn accepted(&self) -> Vec<Platform> {
                [$(
                    self.$hardware.is_some().then_some(Platform::$Hardware),
                    self.$software.is_some().then_some(Platform::$Software),
                )*]
                .into_iter()
                .flatten()
                .collect()
            }
        }

        impl Platforms {
            /// What each table lets through, and what is odd about it.
            pub(super) fn review(&self, now_s: u64) -> Vec<(Platform, Vec<String>, Vec<String>)> {
                let mut tables: Vec<(Platform, &dyn Rules)> = Vec::new();
                $(
                    if let Some(rules) = &self.$hardware {
                        tables.push((Platform::$Hardware, rules));
                    }
                    if let Some(software) = &self.$software {
                        tables.push((Platform::$Software, &software.rules));
                    }
                )*
                tables
                    .into_iter()
                    .map(|(platform, rules)| {
                        (platform, rules.lets_through(), rules.warnings(now_s))
                    })
                    .collect()
            }

            /// Accepts every machine on earth, on each platform that is
            /// accepted.
            pub fn accept_any_machine(&mut self) {
                let mut tables: Vec<&mut dyn Rules> = Vec::new();
                $(
                    if let Some(rules) = &mut self.$hardware {
                        tables.push(rules);
                    }
                    if let Some(software) = &mut self.$software {
                        tables.push(&mut software.rules);
                    }
                )*
                for rules in tables {
                    rules.accept_any_machine();
                }
            }

            /// Takes over the tables that `other` has and this has not.
            pub fn add_missing(&mut self, other: Self) {
                $(
                    self.$hardware = self.$hardware.take().or(other.$hardware);
                    self.$software = self.$software.take().or(other.$software);
                )*
            }

            /// A hardware platform's strictest table, which names no machine
            /// yet. A software platform has none without an anchor.
            pub fn strictest(platform: Platform) -> Self {
                let mut platforms = Self::default();
                match platform {
                    $( Platform::$Hardware => {
                        platforms.$hardware = Some(<$rules>::default());
                    } )*
                    _ => {}
                }
                platforms
            }

            /// Raises a platform's least TCB evaluation number.
            pub(crate) fn raise(&mut self, platform: Platform, tcb_evaluation: u32) {
                match platform {
                    $(
                        Platform::$Hardware => {
                            if let Some(rules) = &mut self.$hardware {
                                <$module>::raise(rules, tcb_evaluation);
                            }
                        }
                        Platform::$Software => {
                            if let Some(software) = &mut self.$software {
                                <$module>::raise(&mut software.rules, tcb_evaluation);
                            }
                        }
                    )*
                    #[allow(unreachable_patterns)]
                    _ => {}
                }
            }
        }

        impl Release {
            /// The platforms that it has measurements for.
            pub fn platforms(&self) -> Vec<Platform> {
                [$(
                    self.$hardware.is_some().then_some(Platform::$Hardware),
                    self.$software.is_some().then_some(Platform::$Software),
                )*]
                .into_iter()
                .flatten()
                .collect()
            }
        }

        /// Hands evidence to its platform's module.
        pub(crate) fn dispatch(
            verdict: &mut Verdict,
            case: &Case<'_>,
            basis: &Basis<'_>,
        ) -> bool {
            let tables = match basis {
                Basis::Policy(policy) => Some(&policy.platform),
                Basis::Anchor(_) => None,
            };
            match case.evidence.platform {
                $(
                    Platform::$Hardware => {
                        let table = tables.and_then(|tables| tables.$hardware.as_ref());
                        let table = table.map(|rules| Table { root: Root::Vendor, rules });
                        judge_by::<$module>(verdict, case, basis, false, table, |release| {
                            release.$hardware.as_ref()
                        })
                    }
                    Platform::$Software => {
                        let table = tables.and_then(|tables| tables.$software.as_ref());
                        let table = table.map(|software| Table {
                            root: Root::Software(software.anchor_pem.der()),
                            rules: &software.rules,
                        });
                        judge_by::<$module>(verdict, case, basis, true, table, |release| {
                            release.$software.as_ref()
                        })
                    }
                )*
                // A platform without a line above: there is nothing that
                // could judge it.
                #[allow(unreachable_patterns)]
                unknown => {
                    verdict.fail(
                        "platform",
                        Reason::PlatformUnknown,
                        "a platform that this version knows",
                        unknown.name(),
                    );
                    false
                }
            }
        }

        /// The platform's table and a release that accept exactly what this
        /// evidence shows, to begin a policy with. A software platform's
        /// needs its anchor. None if the evidence cannot be read.
        ///
        /// What it says is what it *claims*: whether it verifies is for
        /// [`explain_under`](crate::explain_under) to say.
        pub fn observed(
            evidence: &Evidence,
            endorsements: &Endorsements,
            software_anchor: Option<Anchor>,
            name: impl Into<String>,
            now_ms: u64,
        ) -> Option<(Platforms, Release)> {
            let mut verdict = Verdict::new(evidence.platform, now_ms);
            let case = Case {
                evidence,
                endorsements,
                expected: None,
                clock: Clock::of(None, now_ms),
            };
            let mut platforms = Platforms::default();
            let mut release = Release { name: name.into(), ..Release::default() };
            match evidence.platform {
                $(
                    Platform::$Hardware => {
                        let (rules, tuple) =
                            <$module>::examine(&mut verdict, &case, Root::Vendor)?.observed();
                        platforms.$hardware = Some(rules);
                        release.$hardware = Some(tuple);
                    }
                    Platform::$Software => {
                        let anchor_pem = software_anchor?;
                        let root = Root::Software(anchor_pem.der());
                        let (rules, tuple) =
                            <$module>::examine(&mut verdict, &case, root)?.observed();
                        platforms.$software = Some(Software { anchor_pem, rules });
                        release.$software = Some(tuple);
                    }
                )*
                #[allow(unreachable_patterns)]
                _ => return None,
            }
            Some((platforms, release))
        }
    };
}

platforms! {
    /// Intel TDX: a trust domain by itself.
    tdx / software, Tdx / Software: tdx::Tdx, TdxRules, tdx::Measurements;
    /// Azure's confidential VMs on Intel TDX.
    azure_tdx / software_azure_tdx, AzureTdx / SoftwareAzureTdx:
        azure::Azure<tdx::Tdx>, AzureRules<TdxRules>, azure::AzureRelease<tdx::Measurements>;
    /// Azure's confidential VMs on AMD SEV-SNP.
    azure_snp / software_azure_snp, AzureSnp / SoftwareAzureSnp:
        azure::Azure<snp::Snp>, AzureRules<SnpRules>, azure::AzureRelease<snp::SnpMeasurements>;
    /// dstack: a trust domain with an event log that says what it runs.
    dstack / software_dstack, Dstack / SoftwareDstack: dstack::Dstack, DstackRules, dstack::Release;
    /// Intel SGX: an enclave.
    sgx / software_sgx, Sgx / SoftwareSgx: sgx::Sgx, SgxRules, sgx::Measurements;
    /// AMD SEV-SNP: a guest by itself.
    snp / software_snp, Snp / SoftwareSnp: snp::Snp, SnpRules, snp::SnpMeasurements;
    /// AWS Nitro Enclaves.
    nitro / software_nitro, Nitro / SoftwareNitro:
        nitro::Nitro, NitroRules, nitro::NitroMeasurements;
}
