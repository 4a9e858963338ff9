//! A TDX guest and its GPUs in one transcript, by the modules for both: what
//! is accepted, and GPU evidence of another session in every way in which it
//! could come.

use super::{
    cases::{self, Case, anchor},
    codes,
};
use soundproof_attester::{
    Attester, DeviceError,
    composite::WithGpus,
    nvml::{Gpus, Nvml},
};
use soundproof_evidence::{
    Policy, Verdict, appraise,
    policy::{GpuRules, Software},
    verify_session,
};
use soundproof_protocol::{
    attestation::Platform,
    binding::GpuNonce,
    cbor::{self, Bytes},
    id::Nonce,
    receipt::SessionEvidence,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    fakes::{impatient, nvml},
    gpu::{GpuPki, Profile},
    pki::NOW_MS,
    session,
};
use std::{path::PathBuf, sync::Arc};

/// A TDX guest with two GPUs, and the policy that accepts exactly that.
struct Machine {
    cpu: Case,
    makers: Arc<[GpuPki; 2]>,
    _folder: tempfile::TempDir,
    library: PathBuf,
    policy: Policy,
    trust: TrustConfiguration,
}

impl Machine {
    fn new() -> Self {
        let maker = |seed: &str, serial: u8| {
            let profile = Profile {
                seed: seed.into(),
                serial: format!("48B02D92490000{serial:02}"),
                leaf_serial: vec![0x53, 0xc2, 0x2b, 0xa1, serial],
                ..Profile::default()
            };
            GpuPki::new(profile, NOW_MS / 1000)
        };
        let makers = Arc::new([maker("first", 1), maker("second", 2)]);
        let folder = tempfile::tempdir().unwrap();
        let signers = makers.clone();
        let make: nvml::GpuMaker = Arc::new(move |index, nonce| {
            let gpu = &signers[index as usize];
            (gpu.report(nonce), gpu.chain_pem().into_bytes())
        });
        let behaviour = nvml::Behaviour {
            gpus: 2,
            ..nvml::Behaviour::default()
        };
        let library = nvml::build(folder.path(), make, &behaviour).unwrap();
        let cpu = cases::tdx();
        let mut policy = cpu.policy.clone();
        policy.trust.gpu = true;
        policy.software_gpu = Some(Software {
            anchor_pem: anchor(&makers[0].anchor_pem()),
            rules: GpuRules {
                any_machine: true,
                ..GpuRules::default()
            },
        });
        let mut trust = session::trust();
        trust.gpu = true;
        Self {
            cpu,
            makers,
            _folder: folder,
            library,
            policy,
            trust,
        }
    }

    fn nvml(&self) -> Nvml {
        Nvml::new(&self.library, impatient())
    }

    /// The modules for both, GPUs under their software kind.
    fn attester(&self) -> WithGpus {
        self.attester_with(Arc::new(self.nvml().as_software()))
    }

    fn attester_with(&self, gpus: Arc<dyn Gpus>) -> WithGpus {
        WithGpus::new(self.cpu.software.clone(), gpus)
    }

    /// What a session gets whose client drew that nonce.
    fn session(&self, attester: &dyn Attester, nonce: u8) -> SessionEvidence {
        let transcript = session::transcript(Nonce([nonce; 32]), &self.trust);
        let mut session = session::attest(attester, &transcript, &self.trust, 3, 11).unwrap();
        session.endorsements = self.cpu.endorsements();
        let mut endorsed = self.makers[0].endorsements();
        endorsed
            .revocation
            .extend(self.makers[1].endorsements().revocation);
        session.endorsements.gpu = Some(Bytes(cbor::to_vec(&endorsed)));
        session
    }

    fn judge_by(&self, policy: &Policy, session: &SessionEvidence) -> Verdict {
        let (_, binding) = verify_session(session).unwrap();
        let SessionEvidence {
            evidence,
            endorsements,
            ..
        } = session;
        appraise(
            evidence,
            endorsements,
            &binding,
            &self.trust,
            policy,
            NOW_MS,
        )
    }

    #[track_caller]
    fn refused(&self, session: &SessionEvidence, expected: &[&str]) {
        let verdict = self.judge_by(&self.policy, session);
        assert_eq!(codes(&verdict), expected, "{verdict}");
        assert!(verdict.accept().is_err());
    }
}

/// GPUs that say what was recorded.
struct Recorded(Vec<u8>);

impl Gpus for Recorded {
    fn evidence(&self, _: &GpuNonce) -> Result<Vec<u8>, DeviceError> {
        Ok(self.0.clone())
    }
}

#[test]
fn a_guest_and_its_gpus_are_accepted_in_one_transcript() {
    let machine = Machine::new();
    let session = machine.session(&machine.attester(), 9);
    assert_eq!(session.evidence.platform, Platform::Software);
    let verdict = machine.judge_by(&machine.policy, &session);
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    let serials: Vec<_> = verdict
        .gpus
        .iter()
        .map(|gpu| gpu.serial.as_deref())
        .collect();
    assert_eq!(
        serials,
        [Some("48B02D9249000001"), Some("48B02D9249000002")]
    );
    assert!(verdict.accept().is_ok());

    // Without a table for GPUs, or with one that names others, it is refused.
    let mut none = machine.policy.clone();
    none.software_gpu = None;
    let refused = machine.judge_by(&none, &session);
    assert!(codes(&refused).contains(&"gpu_not_accepted"), "{refused}");
    let mut others = machine.policy.clone();
    let rules = &mut others.software_gpu.as_mut().unwrap().rules;
    (rules.any_machine, rules.serials) = (false, vec!["48B02D9249000001".into()]);
    let refused = machine.judge_by(&others, &session);
    assert!(codes(&refused).contains(&"machine_refused"), "{refused}");
}

/// Broken if a GPU's evidence were not tied to its session both ways: by its
/// nonce, and by its digest in what the processor signs.
#[test]
fn gpu_evidence_of_another_session_is_refused() {
    let machine = Machine::new();
    let attester = machine.attester();
    let (ours, theirs) = (
        machine.session(&attester, 9),
        machine.session(&attester, 10),
    );
    let recorded = theirs.evidence.gpu.clone().unwrap();

    // Put in the place of ours on the way.
    let mut swapped = ours.clone();
    swapped.evidence.gpu = Some(recorded.clone());
    let nonces = ["gpu_nonce", "gpu_nonce"];
    let digest_too = [&["binding_mismatch"], &nonces[..]].concat();
    machine.refused(&swapped, &digest_too);
    // Bound by the processor itself, which a taken-over keeper could do.
    let replayed = machine.attester_with(Arc::new(Recorded(recorded.0)));
    machine.refused(&machine.session(&replayed, 9), &nonces);
    // Left out, as if there were no GPU.
    let mut without = ours.clone();
    without.evidence.gpu = None;
    machine.refused(&without, &["binding_mismatch", "gpu_unattested"]);
    // The other way round: added to evidence that was made without.
    let mut added = machine.session(&*machine.cpu.software, 9);
    machine.refused(&added, &["gpu_unattested"]);
    added.evidence.gpu = ours.evidence.gpu.clone();
    machine.refused(&added, &["binding_mismatch"]);
    // The processor's evidence of the other session beside our GPUs'.
    let mut mixed = ours.clone();
    mixed.evidence.statement = theirs.evidence.statement;
    machine.refused(&mixed, &["binding_mismatch"]);
}

/// Broken if a software GPU could pass for one of NVIDIA's (invariant 8).
#[test]
fn software_gpus_are_none_of_nvidias() {
    let machine = Machine::new();
    let attester = machine.attester_with(Arc::new(machine.nvml()));
    let session = machine.session(&attester, 9);
    let verdict = machine.judge_by(&machine.policy, &session);
    assert!(codes(&verdict).contains(&"gpu_not_accepted"), "{verdict}");
    let mut policy = machine.policy.clone();
    policy.gpu = policy.software_gpu.take().map(|table| table.rules);
    let verdict = machine.judge_by(&policy, &session);
    assert!(codes(&verdict).contains(&"anchor_mismatch"), "{verdict}");
    assert!(verdict.accept().is_err());
}
