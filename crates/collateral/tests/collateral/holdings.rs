//! What a person is told of a cache and of a bundle.

use crate::world::{DAY_MS, NOW, World, config, pccs};
use soundproof_collateral::{Bundle, Collateral, Condition, Holdings};

#[tokio::test]
async fn a_cache_says_what_it_holds_and_until_when() {
    let world = World::new();
    let service = world.service().await;
    let folder = tempfile::tempdir().unwrap();
    let empty = Holdings::read(folder.path()).unwrap();
    assert!(!empty.is_usable(NOW), "nothing is no use");
    let mut settings = config(vec![pccs(&service)]);
    settings.cache = Some(folder.path().to_owned());
    let collateral = Collateral::new(settings).unwrap();
    collateral.get(&world.target(), NOW).await.unwrap();
    std::fs::write(folder.path().join("README"), "not an item").unwrap();
    let holdings = Holdings::read(folder.path()).unwrap();
    let [item] = holdings.items.as_slice() else {
        panic!("{holdings:?}");
    };
    assert_eq!(
        (&item.target, &item.source),
        (&world.target(), &service.url)
    );
    for (day, condition, words) in [
        (0, Condition::Good, "holds until"),
        (1, Condition::Good, "ends first"),
        (2, Condition::Overdue, "was not refreshed for 2 days"),
        (28, Condition::Overdue, "was not refreshed for 28 days"),
        (40, Condition::Ended, "offline for too long"),
    ] {
        let now = NOW + day * DAY_MS;
        assert_eq!(holdings.condition(item, now), condition, "day {day}");
        let said = holdings.words(item, now);
        assert!(said.contains(words), "{said}");
        assert_eq!(holdings.is_usable(now), condition.is_usable());
        assert_eq!(condition.remedy().is_empty(), condition == Condition::Good);
    }
    let early = NOW - 20 * DAY_MS;
    assert_eq!(holdings.condition(item, early), Condition::NotYetValid);
    // What is damaged is said, and left there.
    let path = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some())
        .unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let holdings = Holdings::read(folder.path()).unwrap();
    assert_eq!((holdings.items.len(), holdings.damaged.len()), (0, 1));
    assert!(!holdings.is_usable(NOW) && path.exists());
    // So is another target's item under a name that is not its own.
    bytes[40] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(folder.path().join("0.item"), &bytes).unwrap();
    let holdings = Holdings::read(folder.path()).unwrap();
    assert_eq!(holdings.damaged, ["0.item"]);
}

/// Nothing keeps a file fresh: it is overdue near its end only.
#[test]
fn a_bundle_may_be_old() {
    let world = World::new();
    let bundle = Bundle::from_slice(&world.collateral(NOW)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bundle");
    std::fs::write(&path, bundle.to_vec()).unwrap();
    let holdings = Holdings::read(&path).unwrap();
    let item = &holdings.items[0];
    let at = |day: u64| holdings.condition(item, NOW + day * DAY_MS);
    assert_eq!(at(15), Condition::Good);
    assert_eq!(at(27), Condition::Overdue);
    assert_eq!(at(40), Condition::Ended);
    assert!(Holdings::read(&folder.path().join("none")).is_err());
}
