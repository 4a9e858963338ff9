//! Judges an Azure VM: its hardware as on its own platform, then the paravisor's
//! runtime data and the virtual TPM's quote.

use super::{RuntimeData, Statement, VmConfiguration};
use crate::{
    bytes::Hex,
    module::{Case, Judge},
    policy::AzureRules,
    reason::Reason,
    refusal::{Refusal, Root},
    tpm::{self, Attest},
    verdict::{Facts, Verdict},
};
use serde::{Deserialize, Serialize};
use soundproof_protocol::{
    attestation::{Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
};
use std::collections::BTreeMap;

/// A hardware platform that Azure's paravisor runs on.
#[allow(private_bounds)] // its modules are this crate's
pub trait AzureHardware: Judge {
    /// What people call the whole.
    const AZURE: &'static str;
    /// The hardware's own platform.
    const PLATFORM: Platform;
}

impl AzureHardware for crate::tdx::Tdx {
    const AZURE: &'static str = "Azure's confidential VM on Intel TDX";
    const PLATFORM: Platform = Platform::Tdx;
}

impl AzureHardware for crate::snp::Snp {
    const AZURE: &'static str = "Azure's confidential VM on AMD SEV-SNP";
    const PLATFORM: Platform = Platform::Snp;
}

/// A VM's evidence, read.
pub struct Azure<H> {
    hardware: H,
    configuration: VmConfiguration,
    pcrs: BTreeMap<u8, [u8; 32]>,
    extra_data: Vec<u8>,
}

/// A complete tuple: what the hardware measured, and every register that was
/// quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureRelease<R> {
    /// The hardware's tuple: the paravisor.
    pub hardware: R,
    /// PCRs of the SHA-256 bank, by number: what the guest booted. Exactly
    /// those of the quote, but for those that `varying` names.
    pub pcrs: BTreeMap<String, Hex<32>>,
    /// PCRs that are quoted and not compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varying: Vec<u8>,
}

/// What a VM's evidence says beside its hardware's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AzureFacts {
    /// What its hardware's says.
    pub hardware: Option<Box<Facts>>,
    /// What the paravisor says of its VM.
    pub vm: VmConfiguration,
    /// Registers of the virtual TPM.
    pub pcrs: BTreeMap<u8, Hex<32>>,
    /// The quote's qualifying data.
    pub extra_data: String,
    /// The virtual TPM's clock.
    pub clock: tpm::attest::Clock,
}

/// The hardware's evidence by itself.
fn inner(case: &Case<'_>, statement: &[u8], platform: Platform) -> Evidence {
    Evidence {
        platform,
        statement: Bytes(statement.to_vec()),
        event_log: None,
        gpu: None,
        runtime: case.evidence.runtime.clone(),
    }
}

impl<H: AzureHardware> Judge for Azure<H> {
    type Rules = AzureRules<H::Rules>;
    type Release = AzureRelease<H::Release>;
    const NAME: &'static str = H::AZURE;

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let statement = match Statement::from_slice(&case.evidence.statement.0) {
            Ok(statement) => statement,
            Err(error) => return malformed(verdict, error.to_string()),
        };
        let runtime = match RuntimeData::parse(&statement.runtime_data.0) {
            Ok(runtime) => runtime,
            Err(error) => return malformed(verdict, format!("runtime data: {error}")),
        };
        let attest = match Attest::parse(&statement.attest.0) {
            Ok(attest) => attest,
            Err(error) => return malformed(verdict, format!("TPM quote: {error}")),
        };
        let evidence = inner(case, &statement.hardware.0, H::PLATFORM);
        let case = Case {
            evidence: &evidence,
            ..*case
        };
        let hardware = H::examine(verdict, &case, root)?;
        let vouched = hardware.carried() == runtime.report_data();
        verdict.verified &= vouched;
        verdict.check(
            "runtime_data",
            vouched,
            Reason::AzureRuntimeData,
            hex::encode(runtime.report_data()),
            hex::encode(hardware.carried()),
        );
        let quote = quote(&statement, &attest, &runtime);
        verdict.link("tpm_quote", root, quote);
        let facts = AzureFacts {
            hardware: verdict.facts.take(),
            vm: runtime.configuration().clone(),
            pcrs: statement
                .pcrs
                .0
                .iter()
                .map(|(register, value)| (*register, Hex(*value)))
                .collect(),
            extra_data: hex::encode(attest.extra_data),
            clock: attest.clock,
        };
        verdict.facts(Facts::Azure(facts));
        Some(Self {
            hardware,
            configuration: runtime.configuration().clone(),
            extra_data: attest.extra_data.to_vec(),
            pcrs: statement.pcrs.0,
        })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &Self::Rules) {
        self.hardware.apply(verdict, case, &rules.hardware);
        let vm = &self.configuration;
        let said = |flag: Option<bool>| match flag {
            Some(true) => "on",
            Some(false) => "off",
            None => "not said",
        };
        verdict.check(
            "secure_boot",
            !rules.secure_boot || vm.secure_boot == Some(true),
            Reason::AzureSecureBoot,
            if rules.secure_boot { "on" } else { "on or off" },
            said(vm.secure_boot),
        );
        verdict.check(
            "vtpm",
            vm.tpm_enabled == Some(true),
            Reason::AzureConfiguration,
            "on",
            said(vm.tpm_enabled),
        );
        verdict.check(
            "console",
            rules.console || vm.console_enabled == Some(false),
            Reason::AzureConsole,
            if rules.console { "on or off" } else { "off" },
            said(vm.console_enabled),
        );
        if !rules.vm_ids.is_empty() {
            let found = vm.vm_unique_id.as_deref().unwrap_or("not said");
            verdict.check(
                "vm",
                rules.vm_ids.iter().any(|id| id.eq_ignore_ascii_case(found)),
                Reason::MachineRefused,
                rules.vm_ids.join(", "),
                found,
            );
        }
    }

    fn differences(&self, release: &Self::Release) -> Vec<&'static str> {
        let mut different = self.hardware.differences(&release.hardware);
        let quoted = |register: &&u8| !release.varying.contains(register);
        let found: BTreeMap<String, Hex<32>> = self
            .pcrs
            .iter()
            .filter(|(register, _)| quoted(register))
            .map(|(register, value)| (register.to_string(), Hex(*value)))
            .collect();
        if found.is_empty() || found != release.pcrs {
            different.push("pcrs");
        }
        different
    }

    fn carried(&self) -> &[u8] {
        &self.extra_data
    }

    fn expected(binding: &Binding) -> &[u8] {
        binding.tpm_nonce().as_bytes()
    }

    fn observed(&self) -> (Self::Rules, Self::Release) {
        let (hardware_rules, hardware) = self.hardware.observed();
        let rules = AzureRules {
            hardware: hardware_rules,
            secure_boot: self.configuration.secure_boot == Some(true),
            console: self.configuration.console_enabled != Some(false),
            vm_ids: self.configuration.vm_unique_id.iter().cloned().collect(),
        };
        let pcrs = self
            .pcrs
            .iter()
            .map(|(register, value)| (register.to_string(), Hex(*value)))
            .collect();
        let release = AzureRelease {
            hardware,
            pcrs,
            varying: Vec::new(),
        };
        (rules, release)
    }
}

fn malformed<T>(verdict: &mut Verdict, found: String) -> Option<T> {
    verdict.fail(
        "azure_format",
        Reason::EvidenceMalformed,
        "a hardware report, runtime data, a TPM quote and its PCRs",
        found,
    );
    None
}

/// The quote under the key in the runtime data, and the registers under the
/// quote.
pub(crate) fn quote(
    statement: &Statement,
    attest: &Attest<'_>,
    runtime: &RuntimeData,
) -> Result<(), Refusal> {
    let signature = tpm::Signature::parse(&statement.signature.0)
        .map_err(|error| Refusal::new(Reason::EvidenceMalformed, error.to_string()))?;
    if !signature.is_by(runtime.key(), &statement.attest.0) {
        return Err(Refusal::new(
            Reason::TpmSignature,
            "not signed by the key in the runtime data",
        ));
    }
    statement
        .pcrs
        .check(attest)
        .map_err(|error| Refusal::new(Reason::TpmRegisters, error.to_string()))
}
