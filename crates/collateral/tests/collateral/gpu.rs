//! A session's GPU: what is fetched for it makes the judge accept, and what
//! cannot be had leads to the verdict that it should.

use crate::world::{NOW, config, source};
use soundproof_attester::Attester as _;
use soundproof_collateral::{Bundle, Collateral, CollateralError, Kind};
use soundproof_evidence::{
    Policy, appraise,
    gpu::GpuEndorsements,
    jwt::Keys,
    policy::{Anchor, Appraisal, GpuRules, Issuer, Software},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform, Role},
    binding::{Binding, GpuNonce},
    cbor::Bytes,
    digest::Digest,
    trust::TrustConfiguration,
};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, Document, FakeServices},
    gpu::{self, GpuPki, Profile},
    jwt,
    pki::Pki,
    session,
};

const ROOT: Digest = Digest([3; 32]);
/// Time of a source that does not answer.
const SHORT_MS: u64 = 50;

/// A session on the software platform with a software GPU, and NVIDIA's
/// services for it.
struct World {
    pki: GpuPki,
    evidence: Evidence,
    given: Endorsements,
    binding: Binding,
    trust: TrustConfiguration,
    policy: Policy,
    service: FakeServices,
}

impl World {
    async fn new() -> Self {
        Self::of(vec![GpuPki::sound(NOW / 1000)]).await
    }

    /// The first one's services.
    async fn of(gpus: Vec<GpuPki>) -> Self {
        let platform = Pki::sound().unwrap();
        let nonce = GpuNonce::new(ROOT);
        let bytes = gpu::evidence(gpus.iter().map(|one| one.gpu(nonce.as_bytes())).collect());
        let digest = Some(Digest::of(&bytes.0));
        let binding = Binding::new(Platform::Software, Role::Keeper, ROOT, digest, None);
        let mut evidence = platform.platform.evidence(&binding).unwrap();
        evidence.gpu = Some(bytes);
        let mut trust = session::trust();
        trust.gpu = true;
        let pki = gpus.into_iter().next().unwrap();
        let mut policy = platform.platform.policy("this one", &trust).unwrap();
        policy.trust.gpu = true;
        policy.software_gpu = Some(Software {
            anchor_pem: Anchor::from_pem(&pki.anchor_pem()).unwrap(),
            rules: GpuRules {
                any_machine: true,
                ..GpuRules::default()
            },
        });
        let service = FakeServices::start().await.unwrap();
        service.give_gpu(&pki);
        Self {
            given: platform.endorsements().unwrap(),
            pki,
            evidence,
            binding,
            trust,
            policy,
            service,
        }
    }

    fn collateral(&self, kinds: &[Kind]) -> Collateral {
        let sources = kinds.iter().map(|kind| {
            let mut source = source(*kind, &self.service);
            if *kind == Kind::Ocsp && self.is_silent() {
                source.timeout_ms = SHORT_MS;
            }
            source
        });
        let mut config = config(sources.collect());
        config.rounds = 1;
        Collateral::new(config).unwrap()
    }

    fn is_silent(&self) -> bool {
        self.service.behaviour(Document::Ocsp) == Behaviour::Silent
    }

    async fn stapled(&self, collateral: &Collateral) -> Endorsements {
        let stapled = collateral.endorse(&self.evidence, Some(&self.given), NOW);
        stapled.await.unwrap().unwrap_or_else(|| self.given.clone())
    }

    /// Reason codes of the verdict, none if it is accepted.
    fn codes(&self, endorsements: &Endorsements) -> Vec<&'static str> {
        let verdict = appraise(
            &self.evidence,
            endorsements,
            &self.binding,
            &self.trust,
            &self.policy,
            NOW,
        );
        let codes: Vec<_> = verdict.failures().map(|check| check.code.code()).collect();
        assert_eq!(
            codes.is_empty(),
            verdict.clone().accept().is_ok(),
            "{verdict}"
        );
        codes
    }

    async fn judged(&self) -> Vec<&'static str> {
        let collateral = self.collateral(&[Kind::Rim, Kind::Ocsp]);
        self.codes(&self.stapled(&collateral).await)
    }
}

#[tokio::test]
async fn what_is_stapled_makes_the_judge_accept() {
    let world = World::new().await;
    assert_eq!(
        world.codes(&world.given),
        ["gpu_manifest_missing", "gpu_revocation_unknown"]
    );
    let collateral = world.collateral(&[Kind::Rim, Kind::Ocsp]);
    let stapled = world.stapled(&collateral).await;
    assert_eq!(world.codes(&stapled), [""; 0]);
    assert_eq!(stapled.body, world.given.body, "the keeper's own");
    let parts = GpuEndorsements::from_slice(&stapled.gpu.clone().unwrap().0).unwrap();
    assert_eq!(parts.manifests.len(), 2);
    // Chip, provisioner, family; signer of the manifests and its authority.
    assert_eq!(parts.revocation.len(), 5);
    let [driver, vbios] = world.pki.profile.manifest_ids();
    let asked = world.service.asked();
    assert_eq!(asked.len(), 7, "{asked:?}");
    for id in [driver, vbios] {
        assert!(asked.contains(&format!("/v1/rim/{id}")), "{asked:?}");
    }
    // Held from now on: the same bytes, and nobody is asked.
    assert_eq!(world.stapled(&collateral).await, stapled);
    assert!(world.service.asked().is_empty());
    // Given ones are left as they are.
    let again = collateral
        .endorse(&world.evidence, Some(&stapled), NOW)
        .await;
    assert!(again.unwrap().is_none());
}

#[tokio::test]
async fn gpus_of_several_kinds_are_endorsed_together() {
    let second = Profile {
        seed: "second".into(),
        ..Profile::default()
    };
    let second = GpuPki::new(second, NOW / 1000);
    // Another video BIOS: one name is one manifest.
    let third = Profile {
        vbios: [0x01, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0],
        ..Profile::blackwell()
    };
    let third = GpuPki::new(third, NOW / 1000);
    let first = GpuPki::sound(NOW / 1000);
    let mut answers = first.answers();
    answers.extend(second.answers());
    answers.extend(third.answers());
    let world = World::of(vec![first, second, third.clone()]).await;
    world.service.give_gpu(&third);
    world.service.give_ocsp(answers);
    assert_eq!(world.judged().await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_had_leads_to_the_right_verdict() {
    for (document, behaviour, codes) in [
        (
            Document::Rim,
            Behaviour::Status(404),
            "gpu_manifest_missing",
        ),
        (
            Document::Rim,
            Behaviour::Status(503),
            "gpu_manifest_missing",
        ),
        (Document::Rim, Behaviour::Oversized, "gpu_manifest_missing"),
        (Document::Rim, Behaviour::Garbage, "gpu_manifest_missing"),
        (Document::Rim, Behaviour::Redirect, "gpu_manifest_missing"),
        (
            Document::Ocsp,
            Behaviour::Status(503),
            "gpu_revocation_unknown",
        ),
        (
            Document::Ocsp,
            Behaviour::Oversized,
            "gpu_revocation_unknown",
        ),
        (Document::Ocsp, Behaviour::Garbage, "gpu_revocation_unknown"),
        (
            Document::Ocsp,
            Behaviour::OfAnother,
            "gpu_revocation_unknown",
        ),
        (Document::Ocsp, Behaviour::Silent, "gpu_revocation_unknown"),
    ] {
        let world = World::new().await;
        world.service.behave(document, behaviour.clone());
        assert_eq!(world.judged().await, [codes], "{document:?} {behaviour:?}");
        let asked = world.service.asked();
        let elsewhere = asked.iter().any(|path| path.starts_with("/elsewhere"));
        assert!(!elsewhere, "a redirect was followed: {asked:?}");
    }
    // No source at all.
    let world = World::new().await;
    let stapled = world.stapled(&world.collateral(&[])).await;
    let missing = ["gpu_manifest_missing", "gpu_revocation_unknown"];
    assert_eq!(world.codes(&stapled), missing);
}

/// A policy that asks for no revocation answers does without.
#[tokio::test]
async fn a_policy_may_do_without() {
    let mut world = World::new().await;
    world.service.behave(Document::Ocsp, Behaviour::Status(500));
    assert_eq!(world.judged().await, ["gpu_revocation_unknown"]);
    let rules = &mut world.policy.software_gpu.as_mut().unwrap().rules;
    rules.revocation = soundproof_evidence::policy::Revocation::WhenGiven;
    assert_eq!(world.judged().await, [""; 0]);
}

/// An answer that says that a certificate was revoked is stapled like any.
#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let world = World::new().await;
    for at in 0..world.pki.answers().len() {
        let mut answers = world.pki.answers();
        answers[at].status = 1;
        world.service.give_ocsp(answers);
        let codes = world.judged().await;
        assert!(codes.contains(&"certificate_revoked"), "{at} {codes:?}");
    }
    // What the responder does not know is not good.
    let mut answers = world.pki.answers();
    answers[0].status = 2;
    world.service.give_ocsp(answers);
    assert_eq!(world.judged().await, ["gpu_revocation_unknown"]);
}

/// Manifests of another driver under the name that was asked for.
#[tokio::test]
async fn another_manifest_under_that_name_is_no_use() {
    let world = World::new().await;
    let [driver_id, _] = world.pki.profile.manifest_ids();
    let mut other = world.pki.manifests()[0].clone();
    other.version = "550.00.00".into();
    world.service.give_rim(&driver_id, &other.sign(&world.pki));
    assert_eq!(world.judged().await, ["gpu_manifest_missing"]);
    let mut changed = world.pki.manifests()[0].clone();
    changed.golden[20].2 = vec![[7; 48]];
    world
        .service
        .give_rim(&driver_id, &changed.sign(&world.pki));
    assert_eq!(world.judged().await, ["gpu_measurements"]);
}

/// Evidence that no GPU signed asks nobody for anything.
#[tokio::test]
async fn a_strangers_words_are_not_asked_about() {
    let mut world = World::new().await;
    let mut gpu = world.pki.gpu(&[9; 32]);
    *gpu.report.0.last_mut().unwrap() ^= 1;
    world.evidence.gpu = Some(gpu::evidence(vec![gpu]));
    let collateral = world.collateral(&[Kind::Rim, Kind::Ocsp, Kind::Nras]);
    let stapled = collateral.endorse(&world.evidence, Some(&world.given), NOW);
    assert!(stapled.await.unwrap().is_none());
    world.evidence.gpu = Some(Bytes(b"\xa0".to_vec()));
    let stapled = collateral.endorse(&world.evidence, Some(&world.given), NOW);
    assert!(stapled.await.unwrap().is_none());
    assert!(world.service.asked().is_empty());
}

/// NVIDIA's attestation service is asked where it is configured, once for one
/// session's evidence, and its answer is stapled.
#[tokio::test]
async fn results_of_the_attestation_service_are_an_alternative() {
    let mut world = World::new().await;
    world.service.give_nras(world.pki.clone());
    world.service.behave(Document::Rim, Behaviour::Status(404));
    let service = world.pki.service.clone();
    world.policy.issuer = vec![Issuer {
        name: "nras".into(),
        issuer: gpu::ISSUER.into(),
        jwks: Keys::parse(&jwt::jwks(&[(gpu::KEY_ID, &service)])).unwrap(),
        audience: None,
        max_age_s: 3600,
        required: false,
        bound_by: vec!["eat_nonce".into()],
        claims: Default::default(),
    }];
    let rules = &mut world.policy.software_gpu.as_mut().unwrap().rules;
    rules.appraisal = vec![Appraisal::Nras];
    rules.nras = Some("nras".into());
    assert_eq!(world.judged().await, ["result_missing"], "off by default");
    let asked = world.service.asked();
    assert!(
        !asked.iter().any(|path| path.starts_with("/v4")),
        "{asked:?}"
    );
    let collateral = world.collateral(&[Kind::Ocsp, Kind::Nras]);
    let (one, two) = tokio::join!(world.stapled(&collateral), world.stapled(&collateral));
    assert_eq!(one, two);
    assert_eq!(world.codes(&one), [""; 0]);
    let asked = world.service.asked();
    let results = asked.iter().filter(|path| *path == "/v4/attest/gpu");
    assert_eq!(results.count(), 1, "{asked:?}");
    for behaviour in [
        Behaviour::Status(400),
        Behaviour::Oversized,
        Behaviour::Garbage,
        Behaviour::Redirect,
        Behaviour::Throttle(None),
    ] {
        world.service.behave(Document::Nras, behaviour.clone());
        let collateral = world.collateral(&[Kind::Ocsp, Kind::Nras]);
        let stapled = world.stapled(&collateral).await;
        assert_eq!(world.codes(&stapled), ["result_missing"], "{behaviour:?}");
    }
}

/// All of it in a file, for a machine without a network.
#[tokio::test]
async fn a_bundle_has_all_of_it() {
    let world = World::new().await;
    let mut kinds = vec![Kind::Pccs, Kind::Rim, Kind::Ocsp];
    world.service.give_dcap(&world.given.body.0);
    let online = world.collateral(&kinds);
    let fetched = online.fetch_for(&world.evidence, Some(&world.given), NOW);
    let fetched = fetched.await.unwrap();
    assert_eq!((fetched.items.len(), fetched.missing.len()), (8, 0));
    let items = fetched.items.iter().map(|item| (**item).clone());
    let bundle = Bundle::from_slice(&Bundle::new(items).to_vec()).unwrap();
    let bare = Endorsements::new(world.evidence.platform, Vec::new());
    let endorsements = bundle.endorse(&world.evidence, Some(&bare)).unwrap();
    assert_eq!(world.codes(&endorsements), [""; 0]);
    // A server that has nothing else.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bundle");
    std::fs::write(&path, bundle.to_vec()).unwrap();
    let mut settings = config(vec![]);
    settings.bundle = Some(path);
    let server = Collateral::new(settings).unwrap();
    let stapled = server.endorse(&world.evidence, None, NOW).await.unwrap();
    assert_eq!(stapled.unwrap(), endorsements);
    // What could not be fetched is said.
    kinds.pop();
    let fetched = world.collateral(&kinds);
    let fetched = fetched.fetch_for(&world.evidence, None, NOW).await.unwrap();
    assert_eq!(fetched.items.len(), 3);
    assert_eq!(fetched.missing.len(), 5);
    let no_source = |error: &CollateralError| matches!(error, CollateralError::NoSource { .. });
    assert!(fetched.missing.iter().all(no_source));
}
