//! Why a check failed: a stable code, and what to do about it.

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($( $variant:ident = $code:literal, $remedy:literal; )*) => {
        /// A check's reason code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $( #[doc = concat!("`", $code, "`")] $variant, )*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// What to do; empty for `ok`.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }
        }
    };
}

reasons! {
    Ok = "ok", "";
    // === The platform and what it sent ===
    SoftwarePlatform = "software_platform", "Use it for development only; for real secrets, accept a hardware platform.";
    PlatformNotAccepted = "platform_not_accepted", "The policy has no table for this platform; add one only if you mean to trust it.";
    PlatformUnknown = "platform_unknown", "Use a newer version of this program.";
    EvidenceTooLong = "evidence_too_long", "No platform sends this much; do not go on.";
    EvidenceMalformed = "evidence_malformed", "The quote is damaged or of a version that is not understood; ask the operator.";
    EvidenceUnjudged = "evidence_unjudged", "It carries evidence that this version cannot judge; use a newer version.";
    EndorsementsMalformed = "endorsements_malformed", "The operator must fetch the collateral anew.";
    EndorsementsPlatform = "endorsements_platform", "The operator must send the collateral of this platform.";
    CollateralExpired = "collateral_expired", "The operator must fetch fresh collateral; check your own clock too.";
    CollateralNotYetValid = "collateral_not_yet_valid", "Check your own clock.";
    CollateralTooOld = "collateral_too_old", "The operator must fetch fresh collateral, or the policy may allow a greater age.";
    CollateralSignature = "collateral_signature", "Somebody changed the collateral; do not go on.";
    TcbEvaluationOld = "tcb_evaluation_old", "The operator must fetch collateral of a newer TCB evaluation.";
    // === The chain from the anchor to the quote ===
    AnchorUnnamed = "anchor_unnamed", "Name the software platform's anchor, as its operator gave it to you.";
    AnchorMismatch = "anchor_mismatch", "It was not signed under this platform's trust anchor; do not go on.";
    CertificateRevoked = "certificate_revoked", "The platform's certificate was revoked; use another machine.";
    CertificateInvalid = "certificate_invalid", "The certificate chain does not hold; do not go on.";
    QuoteSignature = "quote_signature", "Somebody changed the quote; do not go on.";
    QuotingEnclave = "quoting_enclave", "It was not made by the vendor's quoting enclave; do not go on.";
    FmspcMismatch = "fmspc_mismatch", "The operator must send the collateral of this machine's family.";
    QuoteUnverified = "quote_unverified", "The quote does not verify; see what was found.";
    // === The state of the platform ===
    DebugEnabled = "debug_enabled", "A debuggable enclave hides nothing; use another. No policy can accept it.";
    AttributesRefused = "attributes_refused", "The enclave may be migrated, profiled or shared; use another.";
    ModuleRefused = "module_refused", "The TDX module is not one that Intel signed for this TCB; do not go on.";
    TcbLevelUnknown = "tcb_level_unknown", "The operator must update the machine's firmware; what falls short is in what was found.";
    TcbRevoked = "tcb_revoked", "This TCB level was revoked; the operator must update the machine.";
    TcbStatusRefused = "tcb_status_refused", "The operator must update or configure the machine, or the policy may accept the status.";
    AdvisoryRefused = "advisory_refused", "Read the advisory; the policy may accept it by name.";
    FmspcRefused = "fmspc_refused", "The policy accepts other machine families only.";
    MachineRefused = "machine_refused", "The policy accepts other machines only.";
    MachineUnspecified = "machine_unspecified", "Name the machines in the policy, or write any_machine = true if you mean every machine on earth, whoever holds it.";
    TcbExcepted = "tcb_excepted", "The policy excepts it for a time; the operator must update the machine before that ends.";
    TcbGrace = "tcb_grace", "The operator must update the machine before the time of grace ends.";
    // === AMD SEV-SNP ===
    SignerMismatch = "signer_mismatch", "The operator must send the certificate of the key that signed the report: VCEK or VLEK.";
    ChipMismatch = "chip_mismatch", "The operator must send the certificate of this chip.";
    ProductMismatch = "product_mismatch", "The operator must send the certificates of this processor's product.";
    TcbCertificate = "tcb_certificate", "The operator must fetch the certificate for the TCB that the machine reports.";
    TcbInconsistent = "tcb_inconsistent", "No machine can be in this state; do not go on.";
    TcbUnspecified = "tcb_unspecified", "Say in the policy which TCB is the least for this product: a table in min_tcb.";
    TcbBelowMinimum = "tcb_below_minimum", "The operator must update the machine's firmware; what falls short, and by how much, is in what was found.";
    FirmwareProvisional = "firmware_provisional", "The operator must commit the firmware that runs, or the policy may accept that it can go back.";
    VlekRefused = "vlek_refused", "The operator must have the chip's own key sign, or the policy may name the provider in vlek_providers.";
    RevocationListMissing = "revocation_list_missing", "The operator must send AMD's revocation list, or the policy may do without.";
    VmplRefused = "vmpl_refused", "The report must come from software at a higher privilege level of the guest, or the policy may accept this one.";
    GuestPolicyRefused = "guest_policy_refused", "The operator must launch the guest with another policy; what is wrong is in what was found.";
    PlatformInfoRefused = "platform_info_refused", "The operator must set the machine up otherwise; what is wrong is in what was found.";
    AliasCheckMissing = "alias_check_missing", "The operator should update firmware that checks memory for aliases (AMD-SB-3015); the policy can require it.";
    // === AWS Nitro Enclaves ===
    DocumentTooOld = "document_too_old", "The operator must have a new document made, or the policy may allow a greater age.";
    DocumentFields = "document_fields", "The document was made for another protocol; do not go on.";
    // === Event logs ===
    EventLogMissing = "event_log_missing", "The operator must send the event log, or the policy must ask for nothing that is in it.";
    EventLogMalformed = "event_log_malformed", "The event log is damaged or of a form that is not understood; ask the operator.";
    EventLogReplay = "event_log_replay", "The event log is not that of this quote; do not go on.";
    EventLogDigest = "event_log_digest", "The event log says another thing than what was measured; do not go on.";
    SecureBootOff = "secure_boot_off", "The operator must turn secure boot on, or the policy may do without.";
    BootChainRefused = "boot_chain_refused", "It booted otherwise than the policy says; accept it only after checking why.";
    // === dstack ===
    IdentityRefused = "identity_refused", "The event log leaves a doubt about what runs; do not go on.";
    ComposeMissing = "compose_missing", "The operator must send app-compose.json, or the policy may do without: require_compose = false.";
    ComposeMismatch = "compose_mismatch", "The operator must send app-compose.json byte for byte as it was deployed.";
    ComposeShows = "compose_shows", "The application shows it to everybody; the operator must turn that off.";
    ComposeUnpinned = "compose_unpinned", "Name container images by digest in the compose file: its hash does not say what a tag stands for.";
    KeyProviderUnspecified = "key_provider_unspecified", "Name in the policy who may give the guest its keys: key_providers.";
    KeyProviderRefused = "key_provider_refused", "The policy accepts keys from others only.";
    InstanceRefused = "instance_refused", "The policy accepts other instances only.";
    MrConfigRefused = "mr_config_refused", "MRCONFIGID is not that of what runs; do not go on.";
    // === Intel SGX ===
    SgxQuoteVersion = "sgx_quote_version", "Ask for a quote of version 3, which is what Intel's quoting enclave makes of enclaves.";
    // === What runs on it ===
    ReleaseUnknown = "release_unknown", "Accept this release in the policy only after checking that it is what you mean to trust.";
    BindingMismatch = "binding_mismatch", "The evidence was not made for this session; do not go on.";
    ReportDataMismatch = "report_data_mismatch", "The evidence was made for something else; do not go on.";
    BindingNotExpected = "binding_not_expected", "This explains the evidence; it accepts nothing.";
    // === GPUs ===
    GpuNotAccepted = "gpu_not_accepted", "The policy has no table for this GPU; add one only if you mean to trust it.";
    GpuTwice = "gpu_twice", "Somebody shows one GPU as two; do not go on.";
    GpuSignature = "gpu_signature", "Somebody changed the GPU's report or its certificates; do not go on.";
    GpuNonce = "gpu_nonce", "The GPU's evidence was not made for this session; do not go on.";
    GpuFirmware = "gpu_firmware", "The GPU's key is not of the firmware that it reports; the operator must update its driver.";
    GpuArchitecture = "gpu_architecture", "The policy accepts other GPUs only.";
    GpuMode = "gpu_mode", "The operator must pass the GPU through in another way, or the policy may accept this one.";
    GpuVersion = "gpu_version", "The operator must update the GPU's driver or video BIOS.";
    GpuMeasurements = "gpu_measurements", "What runs on the GPU is not what its maker or the policy names; do not go on.";
    GpuManifestMissing = "gpu_manifest_missing", "The operator must fetch the manifests of the GPU's driver and video BIOS.";
    GpuManifestSignature = "gpu_manifest_signature", "Somebody changed a manifest; do not go on.";
    GpuRevocationUnknown = "gpu_revocation_unknown", "The operator must fetch answers about revocation, or the policy may do without: gpu.revocation.";
    // === Azure and virtual TPMs ===
    AzureRuntimeData = "azure_runtime_data", "The virtual TPM is not the one that the hardware vouches for; do not go on.";
    AzureSecureBoot = "azure_secure_boot", "The operator must turn secure boot on, or the policy may do without.";
    AzureConfiguration = "azure_configuration", "The operator must create the VM with a virtual TPM.";
    AzureConsole = "azure_console", "The operator must turn the VM's console off, or the policy may accept it.";
    TpmSignature = "tpm_signature", "Somebody changed the virtual TPM's quote; do not go on.";
    TpmRegisters = "tpm_registers", "The registers are not those that were quoted; do not go on.";
    // === Attestation results of others ===
    ResultMissing = "result_missing", "The operator must fetch the result of the service that the policy names.";
    ResultMalformed = "result_malformed", "The result is damaged or of a form that is not understood; ask the operator.";
    ResultAlgorithm = "result_algorithm", "The result is not signed by an algorithm that is accepted; do not go on.";
    ResultSignature = "result_signature", "The result is not signed by a key that the policy names; if its issuer has new keys, put them in the policy.";
    ResultIssuer = "result_issuer", "The policy names another issuer, or none.";
    ResultAudience = "result_audience", "The result is for somebody else; the operator must ask for another.";
    ResultExpired = "result_expired", "The operator must fetch the result anew; check your own clock too.";
    ResultNotYetValid = "result_not_yet_valid", "Check your own clock.";
    ResultClaims = "result_claims", "The result does not say what it must; see what was found.";
    // === The trust configuration ===
    TrustVersion = "trust_version", "Use a client of this server's version.";
    ProverNone = "prover_none", "The server offers no prover.";
    ProverUnknown = "prover_unknown", "Accept the prover's executable in the policy only after checking that it is what you mean to trust.";
    SandboxUnspecified = "sandbox_unspecified", "Say in the policy which layers are required: trust.sandbox.";
    SandboxLayerMissing = "sandbox_layer_missing", "The operator must run it where this layer works, or the policy may do without.";
    DelegationRefused = "delegation_refused", "The policy does not accept that jobs are handed to other enclaves by this rule.";
    DurableRefused = "durable_refused", "The policy does not accept keys of this scope.";
    GpuRefused = "gpu_refused", "The policy does not accept secrets on a GPU.";
    GpuUnattested = "gpu_unattested", "A GPU that is not in the session's evidence may touch no witness; use another server.";
    TelemetryRefused = "telemetry_refused", "The policy does not accept this telemetry sink.";
    DangerRefused = "danger_refused", "The operator turned on what the policy does not accept.";
    SwapRefused = "swap_refused", "The operator must turn swap off.";
    Sp1DirectRefused = "sp1_direct_refused", "The operator must turn sp1_direct off, or the policy may accept it.";
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_every_failure_has_a_remedy() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.remedy().is_empty(), *reason == Reason::Ok);
        }
    }
}
