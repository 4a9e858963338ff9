//! What a policy says of GPUs: what it narrows, releases of its own, a service
//! that it names, and the example as it is.

use crate::gpu::{Gpu, NOW_S, ROOT};
use soundproof_attester::Attester as _;
use soundproof_evidence::{
    Hex, Policy,
    gpu::{Mode, device::Architecture},
    jwt::Keys,
    policy::{Anchor, Appraisal, DriverVersion, GpuRelease, Issuer, Software, VbiosVersion},
};
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::Bytes,
};
use soundproof_testkit::{
    gpu::{self, GpuPki, Profile},
    jwt,
    x509::Key,
};

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
