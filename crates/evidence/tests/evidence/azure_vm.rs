//! An Azure VM as a whole: hardware, paravisor and virtual TPM, accepted, and
//! ten things that are not.

use crate::{common::codes, snp::Case};
use serde_json::json;
use soundproof_evidence::{
    Hex, Policy, Verdict, appraise,
    azure::AzureRelease,
    policy::{Anchor, AzureRules, SnpRules, Software, observed},
    snp::SnpMeasurements,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{azure::Vm, session};

const ROOT: Digest = Digest([3; 32]);

fn evidence(statement: Vec<u8>) -> Evidence {
    Evidence {
        platform: Platform::SoftwareAzureSnp,
        statement: Bytes(statement),
        event_log: None,
        gpu: None,
        runtime: None,
    }
}

/// A session on a software VM in Azure's SEV-SNP format.
struct Azure {
    case: Case,
    vm: Vm,
    binding: Binding,
    evidence: Evidence,
}

impl Azure {
    fn sound() -> Self {
        Self::of(Vm::default())
    }

    fn of(vm: Vm) -> Self {
        let mut case = Case::sound();
        let Software { anchor_pem, rules } = case.policy.platform.software_snp.take().unwrap();
        case.policy.platform.software_azure_snp = Some(Software {
            anchor_pem,
            rules: AzureRules {
                hardware: rules,
                ..AzureRules::default()
            },
        });
        let hardware = case.policy.release[0].software_snp.take().unwrap();
        let pcrs = Vm::default().pcrs;
        case.policy.release[0].software_azure_snp = Some(AzureRelease {
            hardware,
            pcrs: pcrs
                .iter()
                .map(|(register, value)| (register.to_string(), Hex(*value)))
                .collect(),
            varying: Vec::new(),
        });
        let binding = Binding::new(Platform::SoftwareAzureSnp, Role::Keeper, ROOT, None, None);
        let mut azure = Self {
            evidence: evidence(vec![]),
            case,
            vm,
            binding,
        };
        let data = azure.vm.report_data();
        let nonce = *azure.binding.tpm_nonce().as_bytes();
        azure.carry(&data, &nonce);
        azure
    }

    /// Evidence whose hardware carries `data` and whose quote carries `extra`.
    fn carry(&mut self, data: &[u8; 64], extra: &[u8]) {
        let report = self.case.guest.report(&self.case.chip, data);
        self.evidence = evidence(self.vm.encoded(report, extra));
    }

    fn rules(&mut self) -> &mut AzureRules<SnpRules> {
        let table = self.case.policy.platform.software_azure_snp.as_mut();
        &mut table.unwrap().rules
    }

    fn release(&mut self) -> &mut AzureRelease<SnpMeasurements> {
        self.case.policy.release[0]
            .software_azure_snp
            .as_mut()
            .unwrap()
    }

    fn judge(&self) -> Verdict {
        appraise(
            &self.evidence,
            &Endorsements::new(self.evidence.platform, self.case.collateral.clone()),
            &self.binding,
            &session::trust(),
            &self.case.policy,
            self.case.now_ms,
        )
    }

    #[track_caller]
    fn refused(&self, code: &str) {
        let verdict = self.judge();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }

    #[track_caller]
    fn accepted(&self) -> Verdict {
        let verdict = self.judge();
        assert_eq!(codes(&verdict), [""; 0], "{verdict}");
        assert!(verdict.clone().accept().is_ok());
        verdict
    }
}

#[test]
fn a_sound_vm_is_accepted() {
    let verdict = Azure::sound().accepted();
    assert_eq!(verdict.release.as_deref(), Some("this one"));
}

#[test]
fn the_quote_is_of_this_session() {
    let mut azure = Azure::sound();
    let data = azure.vm.report_data();
    azure.carry(&data, &[7; 32]);
    azure.refused("binding_mismatch");
    azure.carry(&data, &[]);
    azure.refused("binding_mismatch");
    // B itself is not what a virtual TPM carries.
    let binding = *azure.binding.as_bytes();
    azure.carry(&data, &binding);
    azure.refused("binding_mismatch");
    // Nor does it stand in the hardware's report, which the paravisor asks for.
    let nonce = *azure.binding.tpm_nonce().as_bytes();
    azure.carry(&binding, &nonce);
    azure.refused("azure_runtime_data");
}

#[test]
fn the_hardware_vouches_for_the_runtime_data() {
    let mut azure = Azure::sound();
    let nonce = *azure.binding.tpm_nonce().as_bytes();
    let other = Vm::with("secure-boot", json!(false)).report_data();
    azure.carry(&other, &nonce);
    azure.refused("azure_runtime_data");
    // All 64 bytes: the rest is zero.
    let mut data = azure.vm.report_data();
    data[63] = 1;
    azure.carry(&data, &nonce);
    azure.refused("azure_runtime_data");
}

#[test]
fn the_vm_is_configured_as_the_policy_wants() {
    Azure::of(Vm::with("secure-boot", json!(false))).refused("azure_secure_boot");
    Azure::of(Vm::with("secure-boot", json!(null))).refused("azure_secure_boot");
    Azure::of(Vm::with("tpm-enabled", json!(false))).refused("azure_configuration");
    let mut azure = Azure::of(Vm::with("console-enabled", json!(true)));
    azure.refused("azure_console");
    azure.rules().console = true;
    azure.accepted();
    let mut azure = Azure::of(Vm::with("secure-boot", json!(false)));
    azure.rules().secure_boot = false;
    azure.accepted();
    let mut azure = Azure::sound();
    azure.rules().vm_ids = vec!["00000000-0000-0000-0000-000000000000".into()];
    azure.refused("machine_refused");
    azure.rules().vm_ids = vec!["baefd3e1-184b-4c4c-ab88-0bdad260505f".into()];
    azure.accepted();
    azure.rules().hardware.any_machine = false;
    azure.refused("machine_unspecified");
}

#[test]
fn a_release_is_hardware_and_registers() {
    let mut azure = Azure::sound();
    azure.release().pcrs.insert("4".into(), Hex([0; 32]));
    azure.refused("release_unknown");
    azure.release().varying = vec![4];
    azure.refused("release_unknown");
    azure.release().pcrs.remove("4");
    azure.accepted();
    let mut azure = Azure::sound();
    azure.release().pcrs.remove("4");
    azure.refused("release_unknown");
    let mut azure = Azure::sound();
    azure.release().hardware.measurement = Hex([0; 48]);
    azure.refused("release_unknown");
    // Registers that nobody quoted, or all of them varying, are none.
    let mut azure = Azure::sound();
    azure.release().pcrs.clear();
    azure.release().varying = (0..24).collect();
    azure.refused("release_unknown");
}

#[test]
fn a_changed_statement_is_refused() {
    let mut azure = Azure::sound();
    let mut tried = 0;
    for at in (0..azure.evidence.statement.0.len()).step_by(41) {
        azure.evidence.statement.0[at] ^= 1;
        let verdict = azure.judge();
        assert_ne!(codes(&verdict), [""; 0], "byte {at}\n{verdict}");
        azure.evidence.statement.0[at] ^= 1;
        tried += 1;
    }
    azure.accepted();
    println!("{tried} changes to an Azure VM's evidence: accepted 0");
}

#[test]
fn a_software_vm_is_no_vm() {
    let mut azure = Azure::sound();
    azure.evidence.platform = Platform::AzureSnp;
    azure.refused("platform_not_accepted");
    azure.case.policy.platform.azure_snp = Some(azure.rules().clone());
    azure.refused("anchor_mismatch");
    // Nor is it a guest by itself, whose report data it could choose.
    azure.evidence.platform = Platform::SoftwareSnp;
    azure.refused("evidence_malformed");
}

#[test]
fn what_was_observed_begins_a_policy() {
    let azure = Azure::sound();
    let endorsements = Endorsements::new(Platform::SoftwareAzureSnp, azure.case.collateral.clone());
    let anchor = Anchor::from_pem(&azure.case.chip.root_pem()).unwrap();
    let (mut platforms, release) = observed(
        &azure.evidence,
        &endorsements,
        Some(anchor),
        "seen",
        azure.case.now_ms,
    )
    .unwrap();
    let rules = &mut platforms.software_azure_snp.as_mut().unwrap().rules;
    assert!(rules.secure_boot && !rules.console);
    assert_eq!(rules.vm_ids, ["BAEFD3E1-184B-4C4C-AB88-0BDAD260505F"]);
    rules.hardware.min_tcb = Azure::sound().rules().hardware.min_tcb.clone();
    let mut other = Azure::sound();
    other.case.policy.platform = platforms;
    other.case.policy.release = vec![release];
    assert_eq!(other.accepted().release.as_deref(), Some("seen"));
}

/// The example as it is, on the software kind.
fn example(vm: Vm) -> Azure {
    let text = include_str!("../../../../docs/policies/azure-vm.toml");
    let mut policy = Policy::from_toml(text).unwrap();
    let mut azure = Azure::of(vm);
    policy.platform.software_azure_snp = Some(Software {
        anchor_pem: Anchor::from_pem(&azure.case.chip.root_pem()).unwrap(),
        rules: policy.platform.azure_snp.take().unwrap(),
    });
    policy.release[0].software_azure_snp = policy.release[0].azure_snp.take();
    azure.case.policy = policy;
    azure
}

/// Accepts what it should, and rejects eleven things that it should not.
#[test]
fn the_example_policy_does_what_it_says() {
    example(Vm::default()).accepted();
    for (name, value, code) in [
        ("secure-boot", json!(false), "azure_secure_boot"),
        ("console-enabled", json!(true), "azure_console"),
        ("tpm-enabled", json!(false), "azure_configuration"),
        ("vmUniqueId", json!("another"), "machine_refused"),
    ] {
        example(Vm::with(name, value)).refused(code);
    }
    let mut vm = Vm::default();
    vm.pcrs.insert(7, [0; 32]);
    example(vm).refused("release_unknown");
    let mut vm = Vm::default();
    vm.pcrs.remove(&23);
    example(vm).refused("release_unknown");
    let changed = |change: fn(&mut Case)| {
        let mut azure = example(Vm::default());
        change(&mut azure.case);
        let data = azure.vm.report_data();
        let nonce = *azure.binding.tpm_nonce().as_bytes();
        azure.carry(&data, &nonce);
        azure
    };
    changed(|case| case.guest.measurement[0] ^= 1).refused("release_unknown");
    changed(|case| case.guest.policy |= 1 << 19).refused("debug_enabled");
    changed(|case| {
        case.chip.chip_id = vec![0xc2; 64];
        case.collateral = case.chip.collateral().to_vec();
    })
    .refused("machine_refused");
    changed(|case| case.chip.launch[4] -= 1).refused("tcb_below_minimum");
    let mut azure = example(Vm::default());
    let data = azure.vm.report_data();
    azure.carry(&data, &[7; 32]);
    azure.refused("binding_mismatch");
}

/// The vTPM's quote holds, and so nothing is verified by it alone: the
/// hardware's chain comes first.
#[test]
fn a_vtpms_quote_alone_verifies_nothing() {
    let mut azure = Azure::sound();
    assert!(azure.judge().verified);
    let sound = std::mem::take(&mut azure.case.collateral);
    let verdict = azure.judge();
    assert!(!verdict.verified, "{verdict}");
    azure.case.collateral = sound;
    let nonce = *azure.binding.tpm_nonce().as_bytes();
    azure.carry(&[9; 64], &nonce);
    let verdict = azure.judge();
    assert!(codes(&verdict).contains(&"azure_runtime_data"), "{verdict}");
    assert!(!verdict.verified, "{verdict}");
}
