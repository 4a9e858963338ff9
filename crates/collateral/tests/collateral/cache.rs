//! What is kept on disk, and what somebody does to it there.

use crate::world::{DAY_MS, NOW, World, config, pccs};
use soundproof_collateral::{Collateral, CollateralConfig};
use soundproof_testkit::fakes::collateral::{Behaviour, FakeServices};
use std::path::{Path, PathBuf};

fn cached(service: &FakeServices, folder: &Path) -> CollateralConfig {
    let mut config = config(vec![pccs(service)]);
    config.cache = Some(folder.to_owned());
    config
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A restart without a network has what was held.
#[tokio::test]
async fn a_restart_offline_serves_what_was_kept() {
    let world = World::new();
    let service = world.service().await;
    let folder = tempfile::tempdir().unwrap();
    let config = cached(&service, folder.path());
    let first = Collateral::new(config.clone()).unwrap();
    let item = first.get(&world.target(), NOW).await.unwrap().item;
    assert_eq!(files(folder.path()).len(), 1, "no temporary file is left");
    service.behave_always(&Behaviour::Status(503));
    service.asked();
    let second = Collateral::new(config).unwrap();
    let held = second.get(&world.target(), NOW + DAY_MS).await.unwrap();
    assert_eq!(held.item, item);
    assert!(service.asked().is_empty());
}

/// Every byte changed in turn, every length: fetched anew, never served.
#[tokio::test]
async fn a_damaged_copy_is_fetched_anew() {
    let world = World::new();
    let service = world.service().await;
    let folder = tempfile::tempdir().unwrap();
    let config = cached(&service, folder.path());
    let collateral = Collateral::new(config.clone()).unwrap();
    collateral.get(&world.target(), NOW).await.unwrap();
    let path = files(folder.path()).remove(0);
    let sound = std::fs::read(&path).unwrap();
    // Offline: nothing but the copy can be served.
    let mut offline = config.clone();
    offline.offline = true;
    let step = (sound.len() / 400).max(1);
    for at in (0..sound.len()).step_by(step) {
        let mut changed = sound.clone();
        changed[at] ^= 0x10;
        for bytes in [changed, sound[..at].to_vec()] {
            std::fs::write(&path, bytes).unwrap();
            let collateral = Collateral::new(offline.clone()).unwrap();
            assert!(collateral.get(&world.target(), NOW).await.is_err(), "{at}");
            assert!(!path.exists(), "a damaged copy is removed");
        }
    }
    let collateral = Collateral::new(config).unwrap();
    collateral.get(&world.target(), NOW).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap().len(), sound.len());
}

/// A sound copy under another target's name is not that target's; one that
/// is over is not served; nor is one larger than any may be.
#[tokio::test]
async fn a_copy_of_another_machine_or_time_is_not_served() {
    let world = World::new();
    let service = world.service().await;
    let folder = tempfile::tempdir().unwrap();
    let config = cached(&service, folder.path());
    let collateral = Collateral::new(config.clone()).unwrap();
    collateral.get(&world.target(), NOW).await.unwrap();
    let ours = files(folder.path()).remove(0);
    let mut other = World::new();
    other.profile.fmspc = [1; 6];
    other.profile.tcb_info_fmspc = [1; 6];
    service.give_dcap(&other.collateral(NOW));
    collateral.get(&other.target(), NOW).await.unwrap();
    let theirs = files(folder.path())
        .into_iter()
        .find(|path| *path != ours)
        .unwrap();
    let sound = std::fs::read(&ours).unwrap();
    std::fs::copy(&theirs, &ours).unwrap();
    let mut offline = config;
    offline.offline = true;
    let get = async |now| {
        let collateral = Collateral::new(offline.clone()).unwrap();
        collateral.get(&world.target(), now).await
    };
    assert!(get(NOW).await.is_err());
    std::fs::write(&ours, &sound).unwrap();
    assert!(get(NOW).await.is_ok());
    assert!(get(NOW + 400 * DAY_MS).await.is_err(), "over");
    assert!(get(NOW - 400 * DAY_MS).await.is_err(), "not begun");
    let large = std::fs::File::create(&ours).unwrap();
    large.set_len(8 << 30).unwrap();
    assert!(get(NOW).await.is_err());
}
