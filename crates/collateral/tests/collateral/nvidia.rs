//! NVIDIA's services.

use crate::world::{DAY_MS, NOW, collateral, source};
use soundproof_collateral::{CollateralError, Kind, Target, item};
use soundproof_testkit::fakes::collateral::{Behaviour, Document, FakeServices};

const RIM: &str = "NV_GPU_DRIVER_GH100_535.104.05";

fn rim() -> Target {
    Target::from_key(&format!("rim/{RIM}")).unwrap()
}

fn ocsp() -> Target {
    Target::from_key(&format!("ocsp/{0}/{0}/0a0b0c", "ab".repeat(48))).unwrap()
}

async fn service() -> FakeServices {
    let service = FakeServices::start().await.unwrap();
    service.give_rim(RIM, b"<SoftwareIdentity/>");
    service.give_ocsp(NOW - DAY_MS, Some(NOW + 2 * DAY_MS));
    service
}

#[tokio::test]
async fn manifests_and_answers() {
    let service = service().await;
    let collateral = collateral(vec![
        source(Kind::Rim, &service),
        source(Kind::Ocsp, &service),
    ]);
    let held = collateral.get(&rim(), NOW).await.unwrap();
    assert_eq!(held.item.body, b"<SoftwareIdentity/>");
    assert!(!held.stale);
    let held = collateral.get(&ocsp(), NOW).await.unwrap();
    assert_eq!(
        item::date(held.item.window.until_ms),
        item::date(NOW + 2 * DAY_MS)
    );
    assert_eq!(service.asked(), [format!("/v1/rim/{RIM}"), "/".into()]);
    // An answer without an end counts for a day.
    service.give_ocsp(NOW, None);
    let item = collateral.fetch_now(&ocsp(), NOW).await.unwrap();
    assert_eq!(item::date(item.window.until_ms), item::date(NOW + DAY_MS));
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

/// An old answer that somebody serves again is not kept.
#[tokio::test]
async fn an_old_answer_is_refused() {
    let service = service().await;
    service.give_ocsp(NOW - 10 * DAY_MS, Some(NOW - DAY_MS));
    let collateral = collateral(vec![source(Kind::Ocsp, &service)]);
    let Err(CollateralError::Unavailable { attempts, .. }) = collateral.get(&ocsp(), NOW).await
    else {
        panic!();
    };
    assert_eq!(attempts[0].fault.name(), "expired");
}
