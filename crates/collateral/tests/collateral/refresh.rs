//! What time brings: refreshing, failing, ending, recovering.

use crate::world::{DAY_MS, NOW, World, collateral, pccs};
use soundproof_collateral::{Collateral, CollateralError};
use soundproof_testkit::fakes::collateral::{Behaviour, FakeServices};

/// A fresh copy is asked for after a day, and well before the end, whether or
/// not anybody opens a session.
#[tokio::test]
async fn it_is_refreshed_before_it_ends() {
    let world = World::new();
    let service = world.service().await;
    let collateral = collateral(vec![pccs(&service)]);
    let first = collateral.get(&world.target(), NOW).await.unwrap();
    service.asked();
    collateral.refresh(NOW + DAY_MS / 2).await;
    assert!(service.asked().is_empty(), "not due yet");
    service.give_dcap(&world.collateral(NOW + DAY_MS));
    let held = collateral.get(&world.target(), NOW + DAY_MS).await.unwrap();
    assert!(
        held.stale && held.item == first.item,
        "a session does not wait for it"
    );
    collateral.refresh(NOW + DAY_MS).await;
    let second = collateral.get(&world.target(), NOW + DAY_MS).await.unwrap();
    assert!(!second.stale);
    assert!(second.item.window.until_ms > first.item.window.until_ms);
}

/// Within the margin of its end a fresh copy is due although it is young, and
/// of what ends sooner than that, half way to its end.
#[tokio::test]
async fn the_margin_counts_before_the_age() {
    for (left_days, due_days) in [(30, 23), (9, 5), (4, 3)] {
        let mut world = World::new();
        world.profile.collateral_life_s = left_days * DAY_MS / 1000;
        let service = world.service().await;
        let mut slow = crate::world::config(vec![pccs(&service)]);
        slow.refresh_s = 365 * DAY_MS / 1000;
        let collateral = Collateral::new(slow).unwrap();
        let held = collateral.get(&world.target(), NOW).await.unwrap();
        let end = held.item.window.until_ms;
        assert!(!held.stale && end > NOW + (left_days - 2) * DAY_MS);
        for (before, stale) in [(true, false), (false, true)] {
            let now = if before {
                NOW + (due_days - 2) * DAY_MS
            } else {
                NOW + due_days * DAY_MS
            };
            let held = collateral.get(&world.target(), now).await.unwrap();
            assert_eq!(held.stale, stale, "{left_days} {before}");
        }
    }
}

/// Served while it holds, however long every source fails; then a clear error;
/// then it recovers by itself.
#[tokio::test]
async fn offline_too_long_and_back_again() {
    let world = World::new();
    let service = world.service().await;
    let collateral = collateral(vec![pccs(&service)]);
    let held = collateral.get(&world.target(), NOW).await.unwrap();
    let end = held.item.window.until_ms;
    service.behave_always(&Behaviour::Status(503));
    for day in 1..=60 {
        let now = NOW + day * DAY_MS;
        collateral.refresh(now).await;
        match collateral.get(&world.target(), now).await {
            Ok(held) => assert!(now <= end && held.stale, "day {day}"),
            Err(CollateralError::Unavailable {
                since_ms,
                ended_ms,
                attempts,
                ..
            }) => {
                assert!(now > end, "day {day}");
                assert_eq!((since_ms, ended_ms), (NOW + DAY_MS, Some(end)));
                assert_eq!(attempts[0].source, service.url);
            }
            Err(other) => panic!("{other}"),
        }
    }
    let status = &collateral.status()[0];
    assert_eq!(status.failing_since_ms, Some(NOW + DAY_MS));
    assert!(status.answers[0].contains("503"), "{:?}", status.answers);
    let back = NOW + 61 * DAY_MS;
    service.behave_always(&Behaviour::Sound);
    service.give_dcap(&world.collateral(back));
    collateral.get(&world.target(), back).await.unwrap();
    assert_eq!(collateral.status()[0].failing_since_ms, None);
}

/// While all fail, strangers' sessions do not make questions of their own, and
/// the waits grow.
#[tokio::test]
async fn failing_is_not_hammered() {
    let world = World::new();
    let service = FakeServices::start().await.unwrap();
    let collateral = collateral(vec![pccs(&service)]);
    let mut rounds = Vec::new();
    for second in 0..600 {
        collateral
            .get(&world.target(), NOW + second * 1000)
            .await
            .unwrap_err();
        if !service.asked().is_empty() {
            rounds.push(second);
        }
    }
    assert!(
        (4..=7).contains(&rounds.len()),
        "30 s doubled, with jitter, in ten minutes: {rounds:?}"
    );
}
