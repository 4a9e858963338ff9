//! GPUs beside a processor: what is accepted, and what must not be.

use crate::common::{Case, codes};
use soundproof_attester::Attester as _;
use soundproof_evidence::{
    Hex, Policy, Verdict,
    gpu::{GpuEndorsements, Mode, device::Architecture},
    jwt::Keys,
    policy::{
        Anchor, Appraisal, DriverVersion, GpuRelease, GpuRules, Issuer, Revocation, Software,
        VbiosVersion,
    },
};
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::{self, Bytes},
    digest::Digest,
};
use soundproof_testkit::{
    gpu::{self, GpuPki, Profile},
    jwt,
    pki::NOW_MS,
    x509::{Key, Template, extension, key_usage, usage},
};

const ROOT: Digest = Digest([3; 32]);
const NOW_S: u64 = NOW_MS / 1000;

/// A session on the software platform with a software GPU.
struct Gpu {
    case: Case,
    pki: GpuPki,
    endorsements: GpuEndorsements,
}

impl Gpu {
    fn sound() -> Self {
        Self::of(Profile::default())
    }

    fn of(profile: Profile) -> Self {
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
    fn carry(&mut self, bytes: Bytes) {
        let digest = Some(Digest::of(&bytes.0));
        self.case.binding = Binding::new(Platform::Software, Role::Keeper, ROOT, digest, None);
        let platform = &self.case.pki.platform;
        self.case.evidence = platform.evidence(&self.case.binding).unwrap();
        self.case.evidence.gpu = Some(bytes);
    }

    /// The same with another report, signed or not.
    fn carry_report(&mut self, change: impl FnOnce(&mut soundproof_evidence::gpu::Gpu)) {
        let mut gpu = self.pki.gpu(GpuNonce::new(ROOT).as_bytes());
        change(&mut gpu);
        self.carry(gpu::evidence(vec![gpu]));
    }

    fn rules(&mut self) -> &mut GpuRules {
        &mut self.case.policy.software_gpu.as_mut().unwrap().rules
    }

    fn judge(&mut self) -> Verdict {
        let endorsements = cbor::to_vec(&self.endorsements);
        self.case.endorsements.gpu = Some(Bytes(endorsements));
        self.case.judge()
    }

    #[track_caller]
    fn refused(&mut self, code: &str) {
        let verdict = self.judge();
        assert!(codes(&verdict).contains(&code), "{code}\n{verdict}");
        assert!(verdict.accept().is_err());
    }

    #[track_caller]
    fn accepted(&mut self) {
        let verdict = self.judge();
        assert_eq!(codes(&verdict), [""; 0], "{verdict}");
        assert!(verdict.accept().is_ok());
    }
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
fn the_policy_narrows_what_is_accepted() {
    let mut gpu = Gpu::sound();
    gpu.rules().architectures = vec![Architecture::Blackwell];
    gpu.refused("gpu_architecture");
    let mut gpu = Gpu::sound();
    gpu.rules().modes = vec![Mode::Ppcie];
    gpu.refused("gpu_mode");
    let mut gpu = Gpu::sound();
    gpu.rules().min_driver = DriverVersion::parse("570.124.06");
    gpu.rules().min_vbios = VbiosVersion::parse("96.00.9f.00.01");
    gpu.accepted();
    gpu.rules().min_driver = DriverVersion::parse("570.124.07");
    gpu.refused("gpu_version");
    gpu.rules().min_driver = None;
    gpu.rules().min_vbios = VbiosVersion::parse("96.00.A0.00.00");
    gpu.refused("gpu_version");
    // Machines: one of the three must be said.
    let mut gpu = Gpu::sound();
    gpu.rules().any_machine = false;
    gpu.refused("machine_unspecified");
    gpu.rules().serials = vec!["48B02D9249000001".into()];
    gpu.accepted();
    gpu.rules().leaf_keys = vec![Hex([1; 48])];
    gpu.refused("machine_refused");
    let key = gpu.judge().gpus[0].leaf_key.unwrap();
    gpu.rules().leaf_keys = vec![key];
    gpu.accepted();
    gpu.rules().serials = vec!["48B02D9249000002".into()];
    gpu.refused("machine_refused");
}

#[test]
fn measurements_are_compared_with_both_manifests() {
    // Each measurement counts: changed in the report, it is found.
    for index in [0, 7, 8, 35, 63] {
        let mut profile = Profile::default();
        profile.measurements[index] = [9; 48];
        let mut gpu = Gpu::of(profile);
        gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
        gpu.refused("gpu_measurements");
    }
    // The video decoder's is not made while that is off.
    let mut profile = Profile::default();
    profile.measurements[35] = [9; 48];
    profile.nvdec0 = 0x55;
    let mut gpu = Gpu::of(profile);
    gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
    gpu.accepted();
    // Both are needed, of this chip and these versions.
    for drop in [0, 1] {
        let mut gpu = Gpu::sound();
        gpu.endorsements.manifests.remove(drop);
        gpu.refused("gpu_manifest_missing");
    }
    for at in [0, 1] {
        for change in [0, 1] {
            let mut gpu = Gpu::sound();
            let mut manifest = gpu.pki.manifests()[at].clone();
            match change {
                0 => manifest.product = "GB100".into(),
                _ => manifest.version = "1.2".into(),
            }
            gpu.endorsements.manifests[at] = Bytes(manifest.sign(&gpu.pki));
            gpu.refused("gpu_manifest_missing");
        }
    }
    // A block that the report does not have is not as it should be.
    let mut profile = Profile::default();
    profile.measurements.truncate(63);
    let mut gpu = Gpu::of(profile);
    gpu.endorsements.manifests = GpuPki::sound(NOW_S).endorsements().manifests;
    gpu.refused("gpu_measurements");
    // One measurement in both.
    let mut gpu = Gpu::sound();
    let mut manifest = gpu.pki.manifests()[0].clone();
    manifest.golden[2].1 = true;
    gpu.endorsements.manifests[0] = Bytes(manifest.sign(&gpu.pki));
    gpu.refused("endorsements_malformed");
}

#[test]
fn manifests_are_nvidias_to_sign() {
    let sound = Gpu::sound().pki;
    let text = String::from_utf8(sound.manifests()[0].sign(&sound)).unwrap();
    let refused = |text: &str, code: &str| {
        let mut gpu = Gpu::sound();
        gpu.endorsements.manifests[0] = Bytes(text.as_bytes().to_vec());
        gpu.refused(code);
    };
    // Changed after it was signed.
    refused(&text.replacen("True", "False", 1), "gpu_manifest_signature");
    refused(&text.replacen("aaaa", "aaab", 1), "gpu_manifest_signature");
    refused(
        &text.replacen("ns2:Hash1", "ns2:Hash9", 1),
        "gpu_manifest_signature",
    );
    // Another form of signature.
    for (from, to) in [
        (
            "2006/12/xml-c14n11\"></ds:Can",
            "2001/10/xml-exc-c14n#\"></ds:Can",
        ),
        ("ecdsa-sha384", "ecdsa-sha256"),
        ("xmldsig-more#sha384", "xmldsig-more#sha224"),
        ("URI=\"\"", "URI=\"#x\""),
        ("enveloped-signature", "base64"),
        ("<ds:KeyInfo>", "<ds:Object></ds:Object><ds:KeyInfo>"),
        ("<ns0:Payload>", "<!-- --><ns0:Payload>"),
        ("<ns0:Payload>", "<?x?><ns0:Payload>"),
        (
            "<SoftwareIdentity",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><SoftwareIdentity",
        ),
        ("Nobody &amp; Sons", "Nobody &lol; Sons"),
        (
            "</ds:Signature>",
            "</ds:Signature><ds:Signature></ds:Signature>",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        refused(&text.replacen(from, to, 1), "endorsements_malformed");
    }
    // Signed by somebody else, whose certificate is there; or by a signer
    // whose chain is another's.
    let mut other = sound.signers.clone();
    other[0].key = Key::p384("somebody else");
    let forged = sound.manifests()[0].sign_by(&other);
    refused(
        core::str::from_utf8(&forged).unwrap(),
        "gpu_manifest_signature",
    );
    let root = Key::p384("another root");
    let name = sound.signers[2].name.clone();
    let mut other = sound.signers.clone();
    other[2].der = Template::authority(1, &name, &name, None).sign(&root, &root);
    let forged = sound.manifests()[0].sign_by(&other);
    refused(core::str::from_utf8(&forged).unwrap(), "anchor_mismatch");
    // White space between attributes and the order of them are not signed.
    let mut gpu = Gpu::sound();
    let other = text
        .replace(" index=", "\n  index = ")
        .replace("type=\"Measurement\"", "type='Measurement'");
    gpu.endorsements.manifests[0] = Bytes(other.into_bytes());
    gpu.accepted();
}

#[test]
fn revocation_must_be_known() {
    let fresh = |change: &dyn Fn(usize, &mut gpu::Answer)| {
        let mut gpu = Gpu::sound();
        let mut answers = gpu.pki.answers();
        for (at, answer) in answers.iter_mut().enumerate() {
            change(at, answer);
        }
        gpu.endorsements.revocation = answers.iter().map(|a| Bytes(a.sign())).collect();
        gpu
    };
    fresh(&|_, _| ()).accepted();
    for at in 0..5 {
        let only = |change: &dyn Fn(&mut gpu::Answer)| {
            fresh(&|index, answer| {
                if index == at {
                    change(answer);
                }
            })
        };
        only(&|answer| answer.status = 1).refused("certificate_revoked");
        only(&|answer| answer.status = 2).refused("gpu_revocation_unknown");
        only(&|answer| answer.from_s = NOW_S + 1).refused("gpu_revocation_unknown");
        only(&|answer| answer.until_s = Some(NOW_S - 1)).refused("gpu_revocation_unknown");
        only(&|answer| answer.signer = Key::p384("nobody")).refused("gpu_revocation_unknown");
        only(&|answer| answer.serial.push(1)).refused("gpu_revocation_unknown");
        only(&|answer| answer.issuer_key = Key::p384("nobody")).refused("gpu_revocation_unknown");
    }
    // Without an end an answer is as old as the policy allows.
    let mut gpu = fresh(&|_, answer| {
        answer.until_s = None;
        answer.from_s = NOW_S - 86_400;
    });
    gpu.accepted();
    gpu.rules().max_revocation_age_s = 86_399;
    gpu.refused("gpu_revocation_unknown");
    // None given: required, or not.
    let mut gpu = Gpu::sound();
    gpu.endorsements.revocation.clear();
    gpu.refused("gpu_revocation_unknown");
    gpu.rules().revocation = Revocation::WhenGiven;
    gpu.accepted();
    // What does not read is no answer.
    gpu.endorsements.revocation.push(Bytes(vec![0x30, 0]));
    gpu.refused("endorsements_malformed");
}

#[test]
fn a_responder_needs_a_certificate_for_it() {
    let purpose = |oid: &str| {
        let list = soundproof_testkit::der::sequence(&[soundproof_testkit::der::oid(oid)]);
        extension("2.5.29.37", false, &list)
    };
    let delegated = |oid: &str, issuer_at: usize| {
        let mut gpu = Gpu::sound();
        let responder = Key::p384("responder");
        let issuer = gpu.pki.chain[issuer_at].clone();
        let mut template = Template::leaf(99, "Responder", &issuer.name);
        template.extensions = vec![key_usage(usage::SIGN), purpose(oid)];
        let certificate = template.sign(&responder, &issuer.key);
        let mut answers = gpu.pki.answers();
        // About the chip's own certificate, whose issuer is the provisioner.
        answers[0].signer = responder;
        answers[0].certificates = vec![certificate];
        gpu.endorsements.revocation = answers.iter().map(|a| Bytes(a.sign())).collect();
        gpu
    };
    const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
    delegated(OCSP_SIGNING, 2).accepted();
    // From an authority above, which could name another issuer too.
    delegated(OCSP_SIGNING, 3).accepted();
    delegated("1.3.6.1.5.5.7.3.1", 2).refused("gpu_revocation_unknown");
    // From the chip that it is about, or from nobody in the chain.
    delegated(OCSP_SIGNING, 1).refused("gpu_revocation_unknown");
}

#[test]
fn a_release_is_a_complete_tuple() {
    let profile = Profile::default();
    let measurements = (1..)
        .zip(&profile.measurements)
        .map(|(block, value): (u32, _)| (block.to_string(), Hex(*value)))
        .collect();
    let release = GpuRelease {
        name: "570".into(),
        driver: profile.driver.clone(),
        vbios: profile.vbios(),
        varying: Vec::new(),
        measurements,
    };
    let with = |change: &dyn Fn(&mut GpuRelease)| {
        let mut gpu = Gpu::sound();
        gpu.endorsements.manifests.clear();
        let mut release = release.clone();
        change(&mut release);
        gpu.rules().release = vec![release];
        gpu.rules().appraisal = vec![Appraisal::Release];
        gpu
    };
    with(&|_| ()).accepted();
    for block in ["5", "65"] {
        with(&|release| {
            release.measurements.insert(block.into(), Hex([0; 48]));
        })
        .refused("gpu_measurements");
    }
    with(&|release| {
        release.measurements.remove("5");
    })
    .refused("gpu_measurements");
    with(&|release| release.driver = "570".into()).refused("gpu_measurements");
    with(&|release| release.vbios = "96.00".into()).refused("gpu_measurements");
    with(&|release| {
        release.measurements.remove("5");
        release.varying = vec![5];
    })
    .accepted();
    // The tuple counts only where the policy says so.
    let mut gpu = with(&|_| ());
    gpu.rules().appraisal = vec![Appraisal::Manifests];
    gpu.refused("gpu_manifest_missing");
    gpu.rules().appraisal = vec![Appraisal::Manifests, Appraisal::Release];
    gpu.accepted();
    gpu.rules().appraisal.clear();
    gpu.refused("gpu_measurements");
}

fn issuer(pki: &GpuPki) -> Issuer {
    Issuer {
        name: "service".into(),
        issuer: gpu::ISSUER.into(),
        jwks: Keys::parse(&jwt::jwks(&[(gpu::KEY_ID, &pki.service)])).unwrap(),
        audience: None,
        max_age_s: 3600,
        required: false,
        bound_by: vec!["eat_nonce".into()],
        claims: serde_json::Map::new(),
    }
}

fn by_service() -> Gpu {
    let mut gpu = Gpu::sound();
    gpu.endorsements.manifests.clear();
    gpu.rules().appraisal = vec![Appraisal::Nras];
    gpu.rules().nras = Some("service".into());
    let issuer = issuer(&gpu.pki);
    gpu.case.policy.issuer.push(issuer);
    let nonce = GpuNonce::new(ROOT);
    let result = gpu.pki.result(nonce.as_bytes()).to_string();
    gpu.endorsements.results = vec![Bytes(result.into_bytes())];
    gpu
}

#[test]
fn the_service_counts_where_the_policy_names_it() {
    by_service().accepted();
    let mut gpu = by_service();
    gpu.rules().nras = None;
    gpu.refused("result_issuer");
    let mut gpu = by_service();
    gpu.case.policy.issuer.clear();
    gpu.refused("result_issuer");
    let mut gpu = by_service();
    gpu.case.policy.issuer[0].issuer = "https://somebody.example".into();
    gpu.refused("result_issuer");
    let mut gpu = by_service();
    let other = Key::p384("other service");
    gpu.case.policy.issuer[0].jwks = Keys::parse(&jwt::jwks(&[(gpu::KEY_ID, &other)])).unwrap();
    gpu.refused("result_signature");
    let mut gpu = by_service();
    gpu.endorsements.results.clear();
    gpu.refused("result_missing");
    let mut gpu = by_service();
    gpu.endorsements.results[0] = Bytes(b"[]".to_vec());
    gpu.refused("result_malformed");
    let mut gpu = by_service();
    gpu.case.policy.issuer[0].claims = [("hwmodel".to_owned(), "GH100".into())]
        .into_iter()
        .collect();
    gpu.refused("result_claims");
}

#[test]
fn the_service_speaks_of_this_gpu_session_and_time() {
    let nonce = GpuNonce::new(ROOT);
    let with = |name: &str, value: serde_json::Value| {
        let mut gpu = by_service();
        let mut claims = gpu.pki.claims(nonce.as_bytes());
        claims[name] = value;
        let answer = gpu.pki.answer(nonce.as_bytes(), &claims);
        gpu.endorsements.results = vec![Bytes(answer.to_string().into_bytes())];
        gpu
    };
    with("extra", 1.into()).accepted();
    for (name, value) in [
        ("measres", "fail".into()),
        ("measres", serde_json::Value::Null),
        ("secboot", false.into()),
        ("dbgstat", "enabled".into()),
        ("ueid", "1".into()),
        ("x-nvidia-gpu-driver-version", "1".into()),
        ("x-nvidia-gpu-vbios-version", "1".into()),
        ("eat_nonce", "00".into()),
        ("iat", serde_json::Value::Null),
        ("exp", "soon".into()),
    ] {
        with(name, value).refused("result_claims");
    }
    with("iss", "https://somebody.example".into()).refused("result_issuer");
    with("exp", (NOW_S - 1).into()).refused("result_expired");
    with("nbf", (NOW_S + 1000).into()).refused("result_not_yet_valid");
    let mut gpu = by_service();
    gpu.case.now_ms += 3_601_000;
    gpu.refused("result_expired");
    // A token that the first one does not list.
    let mut gpu = by_service();
    let mut answer = gpu.pki.result(nonce.as_bytes());
    let claims = gpu.pki.claims(nonce.as_bytes());
    let mut other = claims;
    other["jti"] = "another".into();
    answer[1]["GPU-0"] = jwt::sign(gpu::KEY_ID, &other, &gpu.pki.service).into();
    gpu.endorsements.results = vec![Bytes(answer.to_string().into_bytes())];
    gpu.refused("result_claims");
    // Of another session, all of it.
    let mut gpu = by_service();
    let result = gpu.pki.result(&[9; 32]).to_string();
    gpu.endorsements.results = vec![Bytes(result.into_bytes())];
    gpu.refused("result_claims");
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

/// The example as it is, on the software kinds.
fn example(profile: Profile) -> Gpu {
    let text = include_str!("../../../../docs/policies/h200-vm.toml");
    let mut policy = Policy::from_toml(text).unwrap();
    let mut gpu = Gpu::of(profile);
    let anchor_pem = Anchor::from_pem(&gpu.pki.anchor_pem()).unwrap();
    let rules = policy.gpu.take().unwrap();
    policy.software_gpu = Some(Software { anchor_pem, rules });
    let rules = policy.platform.tdx.take().unwrap();
    let Software { anchor_pem, .. } = gpu.case.policy.platform.software.take().unwrap();
    policy.platform.software = Some(Software { anchor_pem, rules });
    // The software platform's measurements are of its own making.
    assert!(policy.release[0].tdx.take().is_some());
    policy.release[0].software = Some(*gpu.case.pki.platform.measurements());
    gpu.case.policy = policy;
    gpu
}

/// Accepts what it should, and rejects twelve things that it should not.
#[test]
fn the_example_policy_does_what_it_says() {
    let profile = Profile::default;
    example(profile()).accepted();
    let refused = |profile: Profile, code: &str| example(profile).refused(code);
    refused(
        Profile {
            serial: "48B02D9249000002".into(),
            ..profile()
        },
        "machine_refused",
    );
    refused(Profile::blackwell(), "gpu_architecture");
    refused(
        Profile {
            feature: Some(2),
            ..profile()
        },
        "gpu_mode",
    );
    refused(
        Profile {
            driver: "550.90.07".into(),
            ..profile()
        },
        "gpu_version",
    );
    refused(
        Profile {
            vbios: [0, 0x5e, 0, 0x96, 1, 0, 0, 0],
            ..profile()
        },
        "gpu_version",
    );
    refused(
        Profile {
            fwid: None,
            ..profile()
        },
        "gpu_firmware",
    );
    let mut gpu = example(profile());
    gpu.endorsements.revocation.clear();
    gpu.refused("gpu_revocation_unknown");
    let mut gpu = example(profile());
    gpu.endorsements.manifests.clear();
    gpu.refused("gpu_manifest_missing");
    let mut gpu = example(profile());
    gpu.carry(gpu.pki.evidence(&[7; 32]));
    gpu.refused("gpu_nonce");
    let mut gpu = example(profile());
    gpu.carry_report(|gpu| gpu.report.0[110] ^= 1);
    gpu.refused("gpu_signature");
    let mut gpu = example(profile());
    gpu.case.policy.release[0].software.as_mut().unwrap().mrtd = Hex([9; 48]);
    gpu.refused("release_unknown");
    let mut gpu = example(profile());
    gpu.case.binding = Binding::new(Platform::Software, Role::Keeper, ROOT, None, None);
    gpu.case.evidence = gpu.case.pki.platform.evidence(&gpu.case.binding).unwrap();
    gpu.refused("gpu_unattested");
}
