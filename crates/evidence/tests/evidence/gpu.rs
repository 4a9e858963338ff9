//! GPUs beside a processor: what is accepted, and what must not be, of the
//! evidence itself. What vouches for it is in `gpu_endorsements`, and what a
//! policy says of it in `gpu_policy`.

use crate::common::{Case, codes};
use soundproof_attester::Attester as _;
use soundproof_evidence::{
    Verdict,
    gpu::GpuEndorsements,
    policy::{Anchor, GpuRules, Software},
};
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::{self, Bytes},
    digest::Digest,
};
use soundproof_testkit::{
    gpu::{self, GpuPki, Profile},
    pki::NOW_MS,
    x509::{Key, Template},
};

pub(crate) const ROOT: Digest = Digest([3; 32]);
pub(crate) const NOW_S: u64 = NOW_MS / 1000;

/// A session on the software platform with a software GPU.
pub(crate) struct Gpu {
    pub(crate) case: Case,
    pub(crate) pki: GpuPki,
    pub(crate) endorsements: GpuEndorsements,
}

impl Gpu {
    pub(crate) fn sound() -> Self {
        Self::of(Profile::default())
    }

    pub(crate) fn of(profile: Profile) -> Self {
        let pki = GpuPki::new(profile, NOW_S);
        let mut gpu = Self {
            case: Case::sound(),
            endorsements: pki.endorsements(),
            pki,
        };
        gpu.case.trust.gpu = true;
        gpu.case.policy.trust.gpu = true;
        gpu.case.policy.software_gpu = Some(Software {
            anchor_pem: Anchor::from_pem(&gpu.pki.anchor_pem()).unwrap(),
            rules: GpuRules {
                any_machine: true,
                ..GpuRules::default()
            },
        });
        let nonce = GpuNonce::new(ROOT);
        gpu.carry(gpu.pki.evidence(nonce.as_bytes()));
        gpu
    }

    /// Makes the processor's evidence, bound to this GPU evidence.
    pub(crate) fn carry(&mut self, bytes: Bytes) {
        let digest = Some(Digest::of(&bytes.0));
        self.case.binding = Binding::new(Platform::Software, Role::Keeper, ROOT, digest, None);
        let platform = &self.case.pki.platform;
        self.case.evidence = platform.evidence(&self.case.binding).unwrap();
        self.case.evidence.gpu = Some(bytes);
    }

    /// The same with another report, signed or not.
    pub(crate) fn carry_report(&mut self, change: impl FnOnce(&mut soundproof_evidence::gpu::Gpu)) {
        let mut gpu = self.pki.gpu(GpuNonce::new(ROOT).as_bytes());
        change(&mut gpu);
        self.carry(gpu::evidence(vec![gpu]));
    }

    pub(crate) fn rules(&mut self) -> &mut GpuRules {
        &mut self.case.policy.software_gpu.as_mut().unwrap().rules
    }

    pub(crate) fn judge(&mut self) -> Verdict {
        let endorsements = cbor::to_vec(&self.endorsements);
        self.case.endorsements.gpu = Some(Bytes(endorsements));
        self.case.judge()
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, code: &str) {
        let verdict = self.judge();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }

    #[track_caller]
    pub(crate) fn accepted(&mut self) {
        let verdict = self.judge();
        assert_eq!(codes(&verdict), [""; 0], "{verdict}");
        assert!(verdict.accept().is_ok());
    }
}

/// Broken if a GPU's signature made up for the processor's.
#[test]
fn a_gpus_report_alone_verifies_nothing() {
    let mut gpu = Gpu::sound();
    assert!(gpu.judge().verified);
    gpu.case.endorsements.body.0.clear();
    let verdict = gpu.judge();
    assert!(!verdict.verified, "{verdict}");
    assert!(verdict.accept().is_err());
}

#[test]
fn a_sound_gpu_is_accepted_and_named() {
    let mut gpu = Gpu::sound();
    let verdict = gpu.judge();
    assert_eq!(codes(&verdict), [""; 0], "{verdict}");
    let facts = verdict.gpus.first().unwrap();
    assert_eq!(facts.chip.as_deref(), Some("GH100"));
    assert_eq!(facts.driver.as_deref(), Some("570.124.06"));
    assert_eq!(facts.vbios.as_deref(), Some("96.00.9F.00.01"));
    assert_eq!(
        facts.manifests,
        [
            "NV_GPU_DRIVER_GH100_570.124.06",
            "NV_GPU_VBIOS_1010_0200_882_96009F0001"
        ]
    );
    assert!(verdict.accept().is_ok());
    Gpu::of(Profile::blackwell()).accepted();
}

#[test]
fn several_gpus_are_each_judged() {
    let mut gpu = Gpu::sound();
    let nonce = GpuNonce::new(ROOT);
    let second = GpuPki::new(
        Profile {
            seed: "second".into(),
            ..Profile::default()
        },
        NOW_S,
    );
    let both = vec![gpu.pki.gpu(nonce.as_bytes()), second.gpu(nonce.as_bytes())];
    gpu.carry(gpu::evidence(both));
    let answers = second.answers();
    gpu.endorsements
        .revocation
        .extend(answers.iter().map(|answer| Bytes(answer.sign())));
    gpu.accepted();
    // One of them twice is not two; one of another session spoils both.
    let twice = vec![gpu.pki.gpu(nonce.as_bytes()), gpu.pki.gpu(nonce.as_bytes())];
    gpu.carry(gpu::evidence(twice));
    gpu.refused("gpu_twice");
    let one_old = vec![gpu.pki.gpu(nonce.as_bytes()), second.gpu(&[7; 32])];
    gpu.carry(gpu::evidence(one_old));
    gpu.refused("gpu_nonce");
}

#[test]
fn the_gpu_of_another_session_is_refused() {
    // Fetched by this enclave, for another tree of transcripts.
    let mut gpu = Gpu::sound();
    let other = GpuNonce::new(Digest([4; 32]));
    gpu.carry(gpu.pki.evidence(other.as_bytes()));
    gpu.refused("gpu_nonce");
    // Put beside evidence that does not bind it: B is of other GPU evidence.
    let mut gpu = Gpu::sound();
    let nonce = GpuNonce::new(ROOT);
    let second = GpuPki::new(
        Profile {
            seed: "second".into(),
            ..Profile::default()
        },
        NOW_S,
    );
    gpu.case.evidence.gpu = Some(second.evidence(nonce.as_bytes()));
    let digest = gpu.case.evidence.gpu_digest();
    gpu.case.binding = Binding::new(Platform::Software, Role::Keeper, ROOT, digest, None);
    gpu.refused("binding_mismatch");
    // And GPU evidence where the processor's binds none.
    let mut gpu = Gpu::sound();
    let bytes = gpu.case.evidence.gpu.take();
    let none = Binding::new(Platform::Software, Role::Keeper, ROOT, None, None);
    gpu.case.evidence = gpu.case.pki.platform.evidence(&none).unwrap();
    gpu.case.evidence.gpu = bytes;
    gpu.refused("binding_mismatch");
}

#[test]
fn no_secret_on_a_gpu_that_nothing_shows() {
    let mut gpu = Gpu::sound();
    gpu.case.evidence.gpu = None;
    gpu.case.binding = Binding::new(Platform::Software, Role::Keeper, ROOT, None, None);
    gpu.case.evidence = gpu.case.pki.platform.evidence(&gpu.case.binding).unwrap();
    gpu.refused("gpu_unattested");
}

#[test]
fn without_a_table_there_is_no_gpu() {
    let mut gpu = Gpu::sound();
    gpu.case.policy.software_gpu = None;
    gpu.refused("gpu_not_accepted");
    // Nor does NVIDIA's table accept a software GPU, whatever it calls itself.
    let mut gpu = Gpu::sound();
    gpu.case.policy.gpu = Some(gpu.rules().clone());
    gpu.case.policy.software_gpu = None;
    gpu.refused("gpu_not_accepted");
    gpu.carry_report(|gpu| gpu.kind = soundproof_evidence::gpu::GpuKind::Nvidia);
    gpu.refused("anchor_mismatch");
}

#[test]
fn every_fault_of_a_gpu_is_found() {
    let profile = Profile::default;
    let faults: Vec<(Profile, &str)> = vec![
        (
            Profile {
                fwid: None,
                ..profile()
            },
            "gpu_firmware",
        ),
        (
            Profile {
                fwid: Some([1; 48]),
                ..profile()
            },
            "gpu_firmware",
        ),
        (
            Profile {
                debug: true,
                ..Profile::blackwell()
            },
            "debug_enabled",
        ),
        (
            Profile {
                feature: Some(2),
                ..profile()
            },
            "gpu_mode",
        ),
        (
            Profile {
                feature: Some(9),
                ..profile()
            },
            "gpu_mode",
        ),
        // A switch's or another vendor's chain.
        (
            Profile {
                chip: "LS10".into(),
                provisioned: "LS10".into(),
                ..profile()
            },
            "certificate_invalid",
        ),
        (
            Profile {
                provisioned: "LS10".into(),
                ..profile()
            },
            "certificate_invalid",
        ),
        (
            Profile {
                maker: "NOVIDIA".into(),
                ..profile()
            },
            "certificate_invalid",
        ),
        // A leaf on another curve, whose signature is shorter.
        (
            Profile {
                leaf_key: Some(Key::p256("leaf")),
                ..profile()
            },
            "evidence_malformed",
        ),
        (
            Profile {
                provisioner_expired: true,
                ..profile()
            },
            "collateral_expired",
        ),
        (
            Profile {
                signer_expired: true,
                ..profile()
            },
            "collateral_expired",
        ),
    ];
    for (at, (profile, code)) in faults.into_iter().enumerate() {
        println!("fault {at}");
        Gpu::of(profile).refused(code);
    }
}

#[test]
fn chains_are_whole_in_order_and_no_longer() {
    let change = |change: &dyn Fn(&mut Vec<String>)| {
        let mut gpu = Gpu::sound();
        let mut pems: Vec<String> = gpu.pki.chain.iter().map(|c| gpu::pem(&c.der)).collect();
        change(&mut pems);
        gpu.carry_report(|gpu| gpu.chain = Bytes(pems.concat().into_bytes()));
        gpu
    };
    change(&|_| ()).accepted();
    change(&|pems| pems.swap(1, 2)).refused("certificate_invalid");
    change(&|pems| drop(pems.remove(2))).refused("certificate_invalid");
    change(&|pems| drop(pems.remove(0))).refused("certificate_invalid");
    change(&|pems| drop(pems.pop())).refused("certificate_invalid");
    change(&|pems| pems.push(pems[4].clone())).refused("certificate_invalid");
    change(&|pems| pems.truncate(0)).refused("certificate_invalid");
    change(&|pems| drop(pems.drain(..4))).refused("certificate_invalid");
    // Of another GPU, all or one certificate of it.
    let other = GpuPki::new(
        Profile {
            seed: "second".into(),
            ..Profile::default()
        },
        NOW_S,
    );
    let mut gpu = Gpu::sound();
    gpu.carry_report(|gpu| gpu.chain = Bytes(other.chain_pem().into_bytes()));
    gpu.refused("gpu_signature");
    change(&|pems| pems[1] = gpu::pem(&other.chain[1].der)).refused("certificate_invalid");
    // Under another root of the same name.
    let root = Key::p384("another root");
    let name = gpu.pki.chain[4].name.clone();
    let forged = Template::authority(1, &name, &name, None).sign(&root, &root);
    change(&|pems| pems[4] = gpu::pem(&forged)).refused("anchor_mismatch");
}

#[test]
fn a_leaf_on_another_curve_signs_nothing() {
    let mut gpu = Gpu::of(Profile {
        leaf_key: Some(Key::p256("leaf")),
        ..Profile::default()
    });
    for fill in [0, 1] {
        gpu.carry_report(|gpu| gpu.report.0.extend([fill; 32]));
        gpu.refused("gpu_signature");
    }
}

#[test]
fn a_changed_report_is_refused() {
    for at in [4, 45, 60, 900, 3200, 3300, 3400] {
        let mut gpu = Gpu::sound();
        gpu.carry_report(|gpu| gpu.report.0[at] ^= 1);
        let verdict = gpu.judge();
        let failed = codes(&verdict);
        assert!(
            failed.contains(&"gpu_signature") || failed.contains(&"evidence_malformed"),
            "{at}\n{verdict}"
        );
    }
}

#[test]
fn what_does_not_decode_is_refused() {
    for bytes in [
        vec![],
        vec![0xa0],
        gpu::evidence(vec![]).0,
        gpu::evidence(vec![Gpu::sound().pki.gpu(&[0; 32]); 17]).0,
    ] {
        let mut gpu = Gpu::sound();
        gpu.carry(Bytes(bytes));
        gpu.refused("evidence_malformed");
    }
    let mut gpu = Gpu::sound();
    gpu.case.endorsements.gpu = Some(Bytes(vec![0xa0]));
    let verdict = gpu.case.judge();
    assert!(
        codes(&verdict).contains(&"endorsements_malformed"),
        "{verdict}"
    );
}
