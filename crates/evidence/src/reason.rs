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
    // === What runs on it ===
    ReleaseUnknown = "release_unknown", "Accept this release in the policy only after checking that it is what you mean to trust.";
    BindingMismatch = "binding_mismatch", "The evidence was not made for this session; do not go on.";
    BindingNotExpected = "binding_not_expected", "This explains the evidence; it accepts nothing.";
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
