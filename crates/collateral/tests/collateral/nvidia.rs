//! NVIDIA's services, one answer at a time.

use crate::world::{DAY_MS, NOW, collateral, source};
use soundproof_collateral::{CollateralError, Kind, Target, item};
use soundproof_evidence::{
    gpu::{Needs, ocsp::CertId},
    x509::Certificate,
};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, Document, FakeServices},
    gpu::{Answer, GpuPki},
};

fn pki() -> GpuPki {
    GpuPki::sound(NOW / 1000)
}

fn rim() -> Target {
    let [driver, _] = pki().profile.manifest_ids();
    Target::from_key(&format!("rim/{driver}")).unwrap()
}

/// Of the signer of manifests.
fn ocsp() -> Target {
    let chain = pki().signers.into_iter();
    let chain: Vec<_> = chain
        .map(|signer| Certificate::parse(&signer.der).unwrap())
        .collect();
    Target::Ocsp(CertId::of_chain(&chain).next().unwrap())
}

/// About that one.
fn answer(from_ms: u64, until_ms: Option<u64>) -> Vec<Answer> {
    let [signer, authority, _] = <[_; 3]>::try_from(pki().signers).ok().unwrap();
    vec![Answer {
        from_s: from_ms / 1000,
        until_s: until_ms.map(|ms| ms / 1000),
        ..Answer::good(&signer, &authority, NOW / 1000)
    }]
}

async fn service() -> FakeServices {
    let service = FakeServices::start().await.unwrap();
    service.give_gpu(&pki());
    service
}

#[tokio::test]
async fn manifests_and_answers() {
    let service = service().await;
    service.give_ocsp(answer(NOW - DAY_MS, Some(NOW + 2 * DAY_MS)));
    let collateral = collateral(vec![
        source(Kind::Rim, &service),
        source(Kind::Ocsp, &service),
    ]);
    let held = collateral.get(&rim(), NOW).await.unwrap();
    let [driver, _] = pki().manifests();
    assert_eq!(held.item.body, driver.sign(&pki()));
    assert_eq!(held.item.window.until_part, "RIM signer's certificate");
    assert!(!held.stale);
    let held = collateral.get(&ocsp(), NOW).await.unwrap();
    assert_eq!(held.item.window.until_ms, (NOW + 2 * DAY_MS) / 1000 * 1000);
    let [id, _] = pki().profile.manifest_ids();
    assert_eq!(service.asked(), [format!("/v1/rim/{id}"), "/".into()]);
    // An answer without an end counts for a day.
    service.give_ocsp(answer(NOW, None));
    let item = collateral.fetch_now(&ocsp(), NOW).await.unwrap();
    assert_eq!(item::date(item.window.until_ms), item::date(NOW + DAY_MS));
}

/// What a GPU says that it runs are names of a fixed form, and only a GPU
/// whose evidence verifies says any.
#[test]
fn what_a_gpu_needs() {
    let sound = pki().gpu(&[1; 32]);
    let needs = Needs::of(&sound).unwrap();
    assert_eq!(needs.manifests, pki().profile.manifest_ids());
    // The chip's, its provisioner's, the family's: neither leaf nor root.
    assert_eq!(needs.certificates.len(), 3);
    assert_eq!(needs.nonce, [1; 32]);
    let mut forged = sound.clone();
    *forged.report.0.last_mut().unwrap() ^= 1;
    assert_eq!(Needs::of(&forged), None);
    let mut other = sound.clone();
    other.kind = soundproof_evidence::gpu::GpuKind::Nvidia;
    assert_eq!(Needs::of(&other), None, "not under NVIDIA's root");
    let mut short = sound;
    short.chain.0.truncate(2000);
    assert_eq!(Needs::of(&short), None);
}

#[tokio::test]
async fn bad_answers_are_named() {
    for (document, target, behaviour, fault) in [
        (Document::Rim, rim(), Behaviour::Status(404), "status"),
        (Document::Rim, rim(), Behaviour::Garbage, "malformed"),
        (Document::Rim, rim(), Behaviour::Oversized, "too_large"),
        (Document::Rim, rim(), Behaviour::OfAnother, "other"),
        (Document::Rim, rim(), Behaviour::Redirect, "redirected"),
        (Document::Ocsp, ocsp(), Behaviour::Garbage, "malformed"),
        (Document::Ocsp, ocsp(), Behaviour::Oversized, "too_large"),
        (Document::Ocsp, ocsp(), Behaviour::OfAnother, "other"),
        (
            Document::Ocsp,
            ocsp(),
            Behaviour::Throttle(None),
            "throttled",
        ),
    ] {
        let service = service().await;
        service.behave(document, behaviour.clone());
        let collateral = collateral(vec![
            source(Kind::Rim, &service),
            source(Kind::Ocsp, &service),
        ]);
        let target = match behaviour {
            Behaviour::OfAnother if document == Document::Rim => {
                Target::from_key("rim/NV_GPU_OTHER").unwrap()
            }
            _ => target,
        };
        let Err(CollateralError::Unavailable { attempts, .. }) = collateral.get(&target, NOW).await
        else {
            panic!("{document:?} {behaviour:?}");
        };
        assert_eq!(
            attempts[0].fault.name(),
            fault,
            "{document:?} {behaviour:?}"
        );
    }
}

/// A responder that does not know a certificate says so, and is not asked
/// again at once.
#[tokio::test]
async fn a_responder_may_refuse() {
    let service = service().await;
    service.give_ocsp(Vec::new());
    let collateral = collateral(vec![source(Kind::Ocsp, &service)]);
    let error = collateral.get(&ocsp(), NOW).await.unwrap_err();
    assert!(error.to_string().contains("OCSP status 6"), "{error}");
    assert_eq!(service.asked().len(), 1);
}

/// An old answer that somebody serves again is not kept.
#[tokio::test]
async fn an_old_answer_is_refused() {
    let service = service().await;
    service.give_ocsp(answer(NOW - 10 * DAY_MS, Some(NOW - DAY_MS)));
    let collateral = collateral(vec![source(Kind::Ocsp, &service)]);
    let Err(CollateralError::Unavailable { attempts, .. }) = collateral.get(&ocsp(), NOW).await
    else {
        panic!();
    };
    assert_eq!(attempts[0].fault.name(), "expired");
}

/// What lives for a day only is asked for anew in time, and not all the time.
#[tokio::test]
async fn short_lived_answers_are_refreshed_half_way() {
    const HOUR: u64 = DAY_MS / 24;
    let service = service().await;
    service.give_ocsp(answer(NOW, Some(NOW + 12 * HOUR)));
    let collateral = collateral(vec![source(Kind::Ocsp, &service)]);
    collateral.get(&ocsp(), NOW).await.unwrap();
    service.asked();
    collateral.refresh(NOW + 5 * HOUR).await;
    assert!(service.asked().is_empty());
    service.give_ocsp(answer(NOW + 6 * HOUR, Some(NOW + 18 * HOUR)));
    collateral.refresh(NOW + 7 * HOUR).await;
    assert_eq!(service.asked().len(), 1);
    let held = collateral.get(&ocsp(), NOW + 13 * HOUR).await.unwrap();
    assert_eq!(held.item.window.until_ms, (NOW + 18 * HOUR) / 1000 * 1000);
}
