//! Bundles for machines without a network.

use crate::world::{DAY_MS, NOW, World, collateral, config, pccs};
use soundproof_collateral::{Bundle, Collateral};

#[tokio::test]
async fn a_bundle_serves_where_no_network_is() {
    let world = World::new();
    let service = world.service().await;
    let item = collateral(vec![pccs(&service)])
        .fetch_now(&world.target(), NOW)
        .await
        .unwrap();
    let bundle = Bundle::new([(*item).clone()]);
    let bytes = bundle.to_vec();
    assert_eq!(Bundle::from_slice(&bytes).unwrap(), bundle);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endorsements.bundle");
    std::fs::write(&path, &bytes).unwrap();
    let mut air_gapped = config(vec![]);
    air_gapped.bundle = Some(path.clone());
    let server = Collateral::new(air_gapped).unwrap();
    let evidence = world.evidence();
    let endorsed = server.endorse(&evidence, None, NOW + DAY_MS).await.unwrap();
    assert_eq!(endorsed.unwrap(), bundle.endorse(&evidence, None).unwrap());
    // A newer file is read when it changes.
    service.give_dcap(&world.collateral(NOW + 10 * DAY_MS));
    let newer = collateral(vec![pccs(&service)])
        .fetch_now(&world.target(), NOW + 10 * DAY_MS)
        .await
        .unwrap();
    std::fs::write(&path, Bundle::new([(*newer).clone()]).to_vec()).unwrap();
    let touched = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(touched)
        .unwrap();
    server.refresh(NOW + 11 * DAY_MS).await;
    let held = server
        .get(&world.target(), NOW + 11 * DAY_MS)
        .await
        .unwrap();
    assert_eq!(held.item.fetched_ms, newer.fetched_ms);
}

#[test]
fn bare_dcap_collateral_says_itself_what_it_is_of() {
    let world = World::new();
    let bundle = Bundle::from_slice(&world.collateral(NOW)).unwrap();
    assert_eq!(bundle.items()[0].target, world.target());
    let endorsed = bundle.endorse(&world.evidence(), None).unwrap();
    assert_eq!(endorsed.body.0, world.collateral(NOW));
}

#[test]
fn another_machines_bundle_is_no_use() {
    let mut other = World::new();
    other.profile.tcb_info_fmspc = [9; 6];
    let bundle = Bundle::from_slice(&other.collateral(NOW)).unwrap();
    let error = bundle.endorse(&World::new().evidence(), None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no endorsements of Intel TDX family"),
        "{error}"
    );
}

/// Each byte changed, each length: refused or read, and never a panic.
#[test]
fn mutated_bundles() {
    let world = World::new();
    let bundle = Bundle::from_slice(&world.collateral(NOW)).unwrap();
    let sound = bundle.to_vec();
    for at in 0..sound.len() {
        assert!(Bundle::from_slice(&sound[..at]).is_err(), "{at}");
    }
    for at in (0..sound.len()).step_by(7) {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        let _ = Bundle::from_slice(&changed);
    }
    let mut longer = sound;
    longer.push(0);
    assert!(Bundle::from_slice(&longer).is_err());
}

/// Real collateral, where the captured vectors are at hand.
#[test]
fn captured_collateral() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/tdx");
    let mut read = 0;
    for (name, key) in [
        ("tdx_quote", "dcap/tdx/b0c06f000000/platform"),
        ("tdx_quote_outdated", "dcap/tdx/90c06f000000/platform"),
        ("sgx_quote", "dcap/sgx/00a067110000/processor"),
    ] {
        let Ok(body) = std::fs::read(format!("{folder}/{name}_collateral.json")) else {
            continue;
        };
        let quote = std::fs::read(format!("{folder}/{name}")).unwrap();
        let bundle = Bundle::from_slice(&body).unwrap();
        assert_eq!(bundle.items()[0].target.key(), key);
        assert_eq!(
            soundproof_collateral::target::dcap(&quote).unwrap().key(),
            key
        );
        read += 1;
    }
    eprintln!("{read} of 3 captured files read, {} skipped", 3 - read);
}

/// The captured SNP report names its chip.
#[test]
fn captured_report() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/snp");
    let Ok(text) = std::fs::read_to_string(format!("{folder}/report_milan.hex")) else {
        eprintln!("1 captured file skipped");
        return;
    };
    let report = hex::decode(text.trim()).unwrap();
    let target = soundproof_collateral::target::snp(&report).unwrap();
    assert!(target.key().starts_with("vcek/any/"), "{}", target.key());
}
