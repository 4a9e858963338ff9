//! One fetch: what is put together, and what every kind of bad answer leads
//! to.

use crate::world::{NOW, World, collateral, pccs, source};
use soundproof_collateral::{
    Collateral, CollateralError, Fault, Kind, SourceConfig, Target, config::CollateralConfig,
};
use soundproof_evidence::{explain_under, policy::Anchor};
use soundproof_testkit::fakes::collateral::{Behaviour, Document, FakeServices};

/// What comes together is what the judge reads, and verifies.
#[tokio::test]
async fn a_pccs_gives_what_the_judge_accepts() {
    let world = World::new();
    let service = world.service().await;
    let collateral = collateral(vec![pccs(&service)]);
    let evidence = world.evidence();
    let endorsements = collateral
        .endorse(&evidence, None, NOW)
        .await
        .unwrap()
        .unwrap();
    let issued = world.endorsements(NOW);
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    assert_eq!(
        read(&endorsements.body.0)["tcb_info"],
        read(&issued.body.0)["tcb_info"]
    );
    let anchor = Anchor::from_pem(&world.anchor_pem()).unwrap();
    let verdict = explain_under(&evidence, &endorsements, Some(anchor), NOW);
    assert_eq!(verdict.failures().count(), 0, "{verdict}");
    let mut asked = service.asked();
    asked.sort();
    assert_eq!(
        asked,
        [
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
            "/sgx/certification/v4/rootcacrl",
            "/tdx/certification/v4/qe/identity?update=standard",
            "/tdx/certification/v4/tcb?fmspc=50524F4F4600&update=standard",
        ]
    );
    // Held from now on; and given endorsements are left as they are.
    collateral.endorse(&evidence, None, NOW).await.unwrap();
    let given = collateral.endorse(&evidence, Some(&issued), NOW).await;
    assert!(given.unwrap().is_none());
    assert!(service.asked().is_empty());
}

/// Intel's own service has the root's list elsewhere, as a file.
#[tokio::test]
async fn a_pcs_and_its_list() {
    let world = World::new();
    let service = world.service().await;
    let mut pcs = source(Kind::Pcs, &service);
    pcs.root_crl = Some(format!("{}/IntelSGXRootCA.der", service.url));
    collateral(vec![pcs])
        .get(&world.target(), NOW)
        .await
        .unwrap();
    assert!(service.asked().contains(&"/IntelSGXRootCA.der".to_owned()));
}

/// What a source does, the document it does it with, and how that is called.
fn bad_answers() -> Vec<(Document, Behaviour, &'static str)> {
    let mut all = vec![
        (Document::TcbInfo, Behaviour::OfAnother, "other"),
        (Document::TcbInfo, Behaviour::Oversized, "too_large"),
        (Document::PckCrl, Behaviour::Oversized, "too_large"),
        (
            Document::QeIdentity,
            Behaviour::Announced(1 << 40),
            "too_large",
        ),
        (Document::TcbInfo, Behaviour::NoChain, "malformed"),
        (Document::QeIdentity, Behaviour::NoChain, "malformed"),
        (Document::PckCrl, Behaviour::NoChain, "malformed"),
        (
            Document::TcbInfo,
            Behaviour::Throttle(Some("60".into())),
            "throttled",
        ),
    ];
    for document in [
        Document::TcbInfo,
        Document::QeIdentity,
        Document::PckCrl,
        Document::RootCrl,
    ] {
        all.extend([
            (document, Behaviour::Garbage, "malformed"),
            (document, Behaviour::Status(404), "status"),
            (document, Behaviour::Status(500), "status"),
            (document, Behaviour::Redirect, "redirected"),
        ]);
    }
    all
}

/// Each bad answer alone is an error that names source, document and fault;
/// with a sound source behind it, nobody notices.
#[tokio::test]
async fn every_bad_answer_is_named_and_passed_over() {
    let world = World::new();
    let good = world.service().await;
    for (document, behaviour, fault) in bad_answers() {
        let bad = world.service().await;
        // The bad one has the collateral of another family, to send instead.
        if behaviour == Behaviour::OfAnother {
            let mut other = World::new();
            other.profile.tcb_info_fmspc = [9; 6];
            bad.give_dcap(&other.collateral(NOW));
        }
        bad.behave(document, behaviour.clone());
        let alone = collateral(vec![pccs(&bad)]).get(&world.target(), NOW).await;
        let Err(CollateralError::Unavailable { attempts, .. }) = alone else {
            panic!("{document:?} {behaviour:?}");
        };
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            attempts[0].fault.name(),
            fault,
            "{document:?} {behaviour:?}"
        );
        assert_eq!(attempts[0].source, bad.url);
        let both = collateral(vec![pccs(&bad), pccs(&good)]);
        let held = both.get(&world.target(), NOW).await.unwrap();
        assert_eq!(held.item.source, good.url, "{document:?} {behaviour:?}");
        let redirected = bad.asked();
        assert!(
            !redirected.iter().any(|path| path.starts_with("/elsewhere")),
            "a redirect was followed: {redirected:?}"
        );
    }
}

/// What never answers is given its time and no more.
#[tokio::test]
async fn a_silent_source_is_passed_over() {
    let world = World::new();
    let (silent, good) = (world.service().await, world.service().await);
    silent.behave(Document::QeIdentity, Behaviour::Silent);
    let mut slow = pccs(&silent);
    slow.timeout_ms = 50;
    let both = collateral(vec![slow.clone(), pccs(&good)]);
    let held = both.get(&world.target(), NOW).await.unwrap();
    assert_eq!(held.item.source, good.url);
    let mut config = crate::world::config(vec![slow]);
    config.rounds = 1;
    let alone = Collateral::new(config).unwrap();
    let Err(CollateralError::Unavailable { attempts, .. }) = alone.get(&world.target(), NOW).await
    else {
        panic!();
    };
    assert_eq!(attempts[0].fault, Fault::Slow { ms: 50 });
}

/// A source that fails for a moment is asked again; one that says no is not.
#[tokio::test]
async fn only_what_may_pass_is_tried_again() {
    let world = World::new();
    let count = |asked: Vec<String>| asked.iter().filter(|path| path.contains("/tcb?")).count();
    for (behaviour, times) in [
        (Behaviour::Status(500), 3),
        (Behaviour::Status(404), 1),
        (Behaviour::Garbage, 1),
        (Behaviour::Redirect, 1),
        (Behaviour::Throttle(None), 1),
    ] {
        let service = world.service().await;
        service.behave(Document::TcbInfo, behaviour.clone());
        let result = collateral(vec![pccs(&service)])
            .get(&world.target(), NOW)
            .await;
        assert!(result.is_err());
        assert_eq!(count(service.asked()), times, "{behaviour:?}");
    }
}

/// A source that asks for time gets it, by seconds or by date, while others
/// are asked; then it is asked again.
#[tokio::test]
async fn throttling_is_honoured() {
    let world = World::new();
    // NOW is 2026-11-18T11:06:40Z: both say a minute.
    for after in ["60", "Wed, 18 Nov 2026 11:07:40 GMT"] {
        let service = world.service().await;
        service.behave(Document::TcbInfo, Behaviour::Throttle(Some(after.into())));
        let mut config = crate::world::config(vec![pccs(&service)]);
        config.retry_s = 0;
        let collateral = Collateral::new(config).unwrap();
        collateral.get(&world.target(), NOW).await.unwrap_err();
        service.behave(Document::TcbInfo, Behaviour::Sound);
        service.asked();
        let error = collateral
            .get(&world.target(), NOW + 50_000)
            .await
            .unwrap_err();
        assert!(service.asked().is_empty(), "asked before its time: {after}");
        assert!(error.to_string().contains("asks to wait"), "{error}");
        assert!(error.remedy().contains("mirror"), "{}", error.remedy());
        collateral.get(&world.target(), NOW + 61_000).await.unwrap();
    }
}

/// Documents that are over, or not begun, are an old or a wrong source's.
#[tokio::test]
async fn what_is_over_or_not_begun_is_refused() {
    let world = World::new();
    let (old, good) = (world.service().await, world.service().await);
    let day = crate::world::DAY_MS;
    for (issued, name) in [
        (NOW - 300 * day, "expired"),
        (NOW + 5 * day, "not_yet_valid"),
    ] {
        old.give_dcap(&world.collateral(issued));
        let alone = collateral(vec![pccs(&old)]).get(&world.target(), NOW).await;
        let Err(error @ CollateralError::Unavailable { .. }) = alone else {
            panic!("{name}");
        };
        assert!(error.remedy().contains("clock"), "{}", error.remedy());
        let CollateralError::Unavailable { attempts, .. } = error else {
            panic!();
        };
        assert_eq!(attempts[0].fault.name(), name);
        let both = collateral(vec![pccs(&old), pccs(&good)]);
        let held = both.get(&world.target(), NOW).await.unwrap();
        assert_eq!(held.item.source, good.url);
    }
}

/// A document whose signature does not hold is not kept.
#[tokio::test]
async fn a_changed_document_is_refused() {
    let mut world = World::new();
    world.profile.bad_tcb_signature = true;
    let service = world.service().await;
    let error = collateral(vec![pccs(&service)])
        .get(&world.target(), NOW)
        .await;
    let Err(CollateralError::Unavailable { attempts, .. }) = error else {
        panic!();
    };
    assert_eq!(attempts[0].fault, Fault::Signature("TCB info"));
}

/// White space that a cache adds is no change.
#[tokio::test]
async fn pretty_documents_are_the_same() {
    let world = World::new();
    let service = world.service().await;
    service.behave(Document::TcbInfo, Behaviour::Pretty);
    service.behave(Document::QeIdentity, Behaviour::Pretty);
    let held = collateral(vec![pccs(&service)])
        .get(&world.target(), NOW)
        .await
        .unwrap();
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    assert_eq!(read(&held.item.body), read(&world.collateral(NOW)));
}

/// Many who wait for one target are one question.
#[tokio::test]
async fn one_fetch_serves_all_who_wait() {
    let world = World::new();
    let service = world.service().await;
    let collateral = std::sync::Arc::new(collateral(vec![pccs(&service)]));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (collateral, target) = (collateral.clone(), world.target());
            tokio::spawn(async move { collateral.get(&target, NOW).await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(service.asked().len(), 4);
    assert_eq!(collateral.figures()[0].fetched, 1);
}

/// Nothing listens there, nothing is configured, or it is turned off.
#[tokio::test]
async fn offline_says_what_to_do() {
    let world = World::new();
    let gone = FakeServices::start().await.unwrap().url.clone();
    let dead = SourceConfig::new(Kind::Pccs, gone.clone());
    let error = collateral(vec![dead])
        .get(&world.target(), NOW)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&gone) && text.contains("cannot be reached"),
        "{text}"
    );
    assert!(text.contains("since 2026-11-18T11:06:40Z"), "{text}");
    assert!(error.remedy().contains("network"));
    let error = collateral(vec![])
        .get(&world.target(), NOW)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        CollateralError::NoSource { offline: false, .. }
    ));
    let service = world.service().await;
    let mut config: CollateralConfig = crate::world::config(vec![pccs(&service)]);
    config.offline = true;
    let collateral = Collateral::new(config).unwrap();
    let error = collateral.get(&world.target(), NOW).await.unwrap_err();
    assert!(matches!(
        error,
        CollateralError::NoSource { offline: true, .. }
    ));
    assert!(service.asked().is_empty());
}

/// A source of another kind is not asked.
#[tokio::test]
async fn each_kind_is_asked_for_its_own() {
    let world = World::new();
    let service = world.service().await;
    let kds = collateral(vec![source(Kind::Kds, &service)]);
    assert!(kds.get(&world.target(), NOW).await.is_err());
    let vlek = Target::from_key("vlek/Milan").unwrap();
    let pccs = collateral(vec![pccs(&service)]);
    assert!(pccs.get(&vlek, NOW).await.is_err());
    assert!(service.asked().is_empty());
}

/// No URL but https, or http to loopback.
#[test]
fn settings_are_checked_at_once() {
    for url in ["http://pccs.example", "https://user:pass@pccs.example", "x"] {
        let source = SourceConfig::new(Kind::Pccs, url);
        assert!(
            Collateral::new(crate::world::config(vec![source])).is_err(),
            "{url}"
        );
    }
    let mut source = SourceConfig::new(Kind::Pcs, "https://pcs.example");
    source.root_crl = Some("http://crl.example/root.der".into());
    assert!(Collateral::new(crate::world::config(vec![source])).is_err());
}
