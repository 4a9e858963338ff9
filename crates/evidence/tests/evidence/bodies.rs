//! Trust domains' quotes of version 5, every body type, and each TD attribute
//! that a verifier must know of.

use crate::common::codes;
use soundproof_attester::software::Profile;
use soundproof_evidence::{Measurements, Policy, Verdict, appraise};
use soundproof_protocol::{
    attestation::{Evidence, Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};
use soundproof_testkit::{
    pki::{NOW_MS, Pki},
    session,
};

struct Domain {
    pki: Pki,
    binding: Binding,
    policy: Policy,
}

impl Domain {
    fn new() -> Self {
        let pki = Pki::sound().unwrap();
        let binding = Binding::new(
            Platform::Software,
            Role::Keeper,
            Digest([3; 32]),
            None,
            None,
        );
        let policy = pki.platform.policy("this one", &session::trust()).unwrap();
        Self {
            pki,
            binding,
            policy,
        }
    }

    fn judge(&self, statement: Vec<u8>) -> Verdict {
        let evidence = Evidence {
            platform: Platform::Software,
            statement: Bytes(statement),
            event_log: None,
            gpu: None,
            runtime: None,
        };
        appraise(
            &evidence,
            &self.pki.endorsements().unwrap(),
            &self.binding,
            &session::trust(),
            &self.policy,
            NOW_MS,
        )
    }

    fn measurements(&self) -> Measurements {
        *self.pki.platform.measurements()
    }

    fn v5(&self, tail: &[u8]) -> Verdict {
        let platform = &self.pki.platform;
        self.judge(platform.sign_domain_v5(&self.measurements(), self.binding.as_bytes(), tail))
    }
}

/// A TD report 1.5's end: the SVNs now, and no service TD.
fn tail(len: usize) -> Vec<u8> {
    let mut tail = Profile::default().tee_tcb_svn.to_vec();
    tail.resize(len, 0);
    tail
}

#[test]
fn every_body_type_is_judged() {
    let domain = Domain::new();
    for len in [0, 64, 301] {
        let tail = if len == 0 { vec![] } else { tail(len) };
        let verdict = domain.v5(&tail);
        assert_eq!(codes(&verdict), [""; 0], "{len}\n{verdict}");
        assert!(verdict.accept().is_ok());
    }
    // Sizes that no type has.
    for len in [1, 63, 65, 300, 302] {
        let verdict = domain.v5(&tail(len));
        assert_eq!(codes(&verdict)[0], "evidence_malformed", "{len}\n{verdict}");
    }
}

#[test]
fn a_service_td_is_refused() {
    let domain = Domain::new();
    // MRSERVICETD; in the extended form the hashes at creation and now.
    for (len, at) in [
        (64, 16),
        (64, 63),
        (301, 16),
        (301, 64 + 81),
        (301, 64 + 81 + 47),
        (301, 64 + 181),
        (301, 64 + 181 + 47),
    ] {
        let mut tail = tail(len);
        tail[at] = 1;
        let verdict = domain.v5(&tail);
        assert!(
            verdict.failures().any(
                |check| check.name == "service_td" && check.code.code() == "attributes_refused"
            ),
            "{len} {at}\n{verdict}"
        );
        assert!(verdict.accept().is_err());
    }
}

#[test]
fn each_attribute_has_its_check() {
    let mut domain = Domain::new();
    for (bit, name) in [
        (0, "debug"),
        (1, "td_attributes"),
        (4, "profiling"),
        (5, "profiling"),
        (6, "profiling"),
        (7, "td_attributes"),
        (17, "service_td"),
        (28, "td_attributes"),
        (29, "migration"),
        (32, "td_attributes"),
        (61, "td_attributes"),
    ] {
        let mut measurements = domain.measurements();
        measurements.tdattributes.0[bit / 8] ^= 1 << (bit % 8);
        // The release names it: no policy can accept it.
        domain.policy.release[0].software = Some(measurements);
        let quote = domain
            .pki
            .platform
            .sign_domain(&measurements, domain.binding.as_bytes());
        let verdict = domain.judge(quote);
        assert!(
            verdict.failures().any(|check| check.name == name),
            "bit {bit}: {name}\n{verdict}"
        );
        assert!(verdict.accept().is_err());
    }
    for bit in [16, 27, 30, 31, 62, 63] {
        let mut measurements = domain.measurements();
        measurements.tdattributes.0[bit / 8] ^= 1 << (bit % 8);
        domain.policy.release[0].software = Some(measurements);
        let quote = domain
            .pki
            .platform
            .sign_domain(&measurements, domain.binding.as_bytes());
        let verdict = domain.judge(quote);
        assert_eq!(codes(&verdict), [""; 0], "bit {bit}\n{verdict}");
    }
}
