//! Sound evidence: of each software platform, accepted by a policy; and what
//! real machines made, which verifies but carries nobody's binding.

use soundproof_attester::Attester as _;
use soundproof_evidence::{Outcome, Policy, Verdict, appraise, explain};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    pki::{NOW_MS, Pki},
    session,
};
use std::{fs, path::PathBuf};

/// Sound evidence and what it is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) evidence: Evidence,
    pub(crate) endorsements: Endorsements,
    pub(crate) binding: Binding,
    pub(crate) now_ms: u64,
    /// None: it is explained, and sound if it verifies and no check fails.
    pub(crate) policy: Option<Policy>,
    pub(crate) trust: TrustConfiguration,
}

impl Case {
    pub(crate) fn judge(&self) -> Verdict {
        match &self.policy {
            Some(policy) => appraise(
                &self.evidence,
                &self.endorsements,
                &self.binding,
                &self.trust,
                policy,
                self.now_ms,
            ),
            None => explain(&self.evidence, &self.endorsements, self.now_ms),
        }
    }

    pub(crate) fn accepts(&self, verdict: &Verdict) -> bool {
        match &self.policy {
            Some(_) => verdict.clone().accept().is_ok(),
            None => {
                let failed = |check: &soundproof_evidence::Check| check.result == Outcome::Fail;
                verdict.verified && !verdict.checks.iter().any(failed)
            }
        }
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![software()];
    for (name, platform, now_ms, statement, endorsements) in CAPTURES {
        let parts = (read(statement), read(endorsements));
        let (Some(statement), Some(body)) = parts else {
            println!("skipped 1: no capture {statement}");
            continue;
        };
        cases.push(capture(name, *platform, *now_ms, statement, body));
    }
    cases
}

/// Name, platform, a time at which it is valid, statement, endorsements.
type Capture = (&'static str, Platform, u64, &'static str, &'static str);

const CAPTURES: &[Capture] = &[(
    "capture, quote v4",
    Platform::Tdx,
    1_750_400_000_000,
    "tdx/tdx_quote",
    "tdx/tdx_quote_collateral.json",
)];

fn read(name: &str) -> Option<Vec<u8>> {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    fs::read(vectors.join(name)).ok()
}

fn capture(
    name: &'static str,
    platform: Platform,
    now_ms: u64,
    statement: Vec<u8>,
    body: Vec<u8>,
) -> Case {
    Case {
        name,
        evidence: Evidence {
            platform,
            statement: Bytes(statement),
            event_log: None,
            gpu: None,
            runtime: None,
        },
        endorsements: Endorsements::new(platform, body),
        binding: binding(platform),
        now_ms,
        policy: None,
        trust: session::trust(),
    }
}

fn binding(platform: Platform) -> Binding {
    Binding::new(platform, Role::Keeper, Digest([5; 32]), None, None)
}

/// The software platform in TDX's format.
fn software() -> Case {
    let pki = Pki::sound().unwrap();
    let trust = session::trust();
    let binding = binding(Platform::Software);
    Case {
        name: "quote v4",
        evidence: pki.platform.evidence(&binding).unwrap(),
        endorsements: pki.platform.endorsements().unwrap(),
        binding,
        now_ms: NOW_MS,
        policy: Some(pki.platform.policy("sound", &trust).unwrap()),
        trust,
    }
}
