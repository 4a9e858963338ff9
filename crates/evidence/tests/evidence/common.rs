//! What these tests share: a sound session on the software platform, and the
//! policy that accepts exactly it.

use soundproof_attester::Attester as _;
use soundproof_evidence::{Policy, Verdict, appraise, policy::DcapRules, verify_session};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence},
    binding::Binding,
    id::Nonce,
    receipt::SessionEvidence,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    pki::{NOW_MS, Pki},
    session,
};

/// All that goes into one appraisal.
pub(crate) struct Case {
    pub(crate) pki: Pki,
    pub(crate) session: SessionEvidence,
    pub(crate) evidence: Evidence,
    pub(crate) endorsements: Endorsements,
    pub(crate) binding: Binding,
    pub(crate) trust: TrustConfiguration,
    pub(crate) policy: Policy,
    pub(crate) now_ms: u64,
}

impl Case {
    pub(crate) fn sound() -> Self {
        Self::of(Pki::sound().unwrap())
    }

    pub(crate) fn of(pki: Pki) -> Self {
        let trust = session::trust();
        let transcript = session::transcript(Nonce([9; 32]), &trust);
        let session = session::attest(&pki.platform, &transcript, &trust, 3, 11).unwrap();
        let (_, binding) = verify_session(&session).unwrap();
        let policy = pki.platform.policy("this one", &trust).unwrap();
        Self {
            evidence: session.evidence.clone(),
            endorsements: pki.platform.endorsements().unwrap(),
            pki,
            session,
            binding,
            trust,
            policy,
            now_ms: NOW_MS,
        }
    }

    /// The software platform's rules.
    pub(crate) fn rules(&mut self) -> &mut DcapRules {
        &mut self.policy.platform.software.as_mut().unwrap().rules.dcap
    }

    pub(crate) fn judge(&self) -> Verdict {
        appraise(
            &self.evidence,
            &self.endorsements,
            &self.binding,
            &self.trust,
            &self.policy,
            self.now_ms,
        )
    }
}

/// Reason codes of the checks that failed.
pub(crate) fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.failures().map(|check| check.code.code()).collect()
}
