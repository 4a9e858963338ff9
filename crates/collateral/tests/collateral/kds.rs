//! AMD's service.

use crate::world::{DAY_MS, NOW, collateral, source};
use soundproof_collateral::{CollateralError, Kind, Target};
use soundproof_evidence::{
    Facts, explain_under,
    policy::Anchor,
    snp::{Product, Signer, SnpCollateral},
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    cbor::Bytes,
};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, Document, FakeServices, Kds},
    snp::{Chip, Guest},
};

const TCB: [u8; 8] = [4, 0, 0, 0, 0, 0, 24, 219];

fn chip() -> [u8; 64] {
    core::array::from_fn(|index| u8::try_from(index + 1).unwrap())
}

async fn service(product: &'static str) -> (FakeServices, Kds) {
    let service = FakeServices::start().await.unwrap();
    let kds = Kds::make(product, &chip(), TCB, NOW, 60).unwrap();
    service.give_kds(kds.clone());
    (service, kds)
}

fn target(product: &str) -> Target {
    let key = format!(
        "vcek/{product}/{}/{}",
        hex::encode(chip()),
        hex::encode(TCB)
    );
    Target::from_key(&key).unwrap()
}

/// {0: key, 1: [chain], 2: list}.
fn body(key: Option<&[u8]>, chain: Option<usize>, list: bool, item: &[u8]) -> bool {
    let mut decoder = minicbor::Decoder::new(item);
    let entries = decoder.map().unwrap().unwrap();
    let mut found = (false, false, false);
    for _ in 0..entries {
        match decoder.u8().unwrap() {
            0 => found.0 = Some(decoder.bytes().unwrap()) == key,
            1 => {
                let len = decoder.array().unwrap().unwrap();
                found.1 = Some(usize::try_from(len).unwrap()) == chain;
                for _ in 0..len {
                    decoder.bytes().unwrap();
                }
            }
            2 => found.2 = !decoder.bytes().unwrap().is_empty(),
            _ => return false,
        }
    }
    found == (key.is_some(), chain.is_some(), list)
}

#[tokio::test]
async fn key_chain_and_list_of_every_product_line() {
    for (product, asked) in [
        ("Milan", "Milan"),
        ("Genoa", "Genoa"),
        ("Turin", "Turin"),
        // Reports of version 2 do not say: the lines of that time are tried.
        ("Milan", "any"),
        ("Genoa", "any"),
    ] {
        let (service, kds) = service(product).await;
        let collateral = collateral(vec![source(Kind::Kds, &service)]);
        let held = collateral.get(&target(asked), NOW).await.unwrap();
        assert!(
            body(Some(&kds.vcek), Some(2), true, &held.item.body),
            "{product} as {asked}"
        );
        assert_eq!(held.item.window.until_part, "CRL");
        assert_eq!(held.item.window.until_ms, NOW / 1000 * 1000 + 60 * DAY_MS);
    }
}

#[tokio::test]
async fn bad_answers_are_named() {
    for (document, behaviour, fault) in [
        (Document::Vcek, Behaviour::OfAnother, "other"),
        (Document::Vcek, Behaviour::Garbage, "malformed"),
        (Document::Vcek, Behaviour::Oversized, "too_large"),
        (Document::Vcek, Behaviour::Status(404), "status"),
        (
            Document::Vcek,
            Behaviour::Throttle(Some("10".into())),
            "throttled",
        ),
        (Document::Vcek, Behaviour::Redirect, "redirected"),
        (Document::CertChain, Behaviour::Garbage, "malformed"),
        (Document::CertChain, Behaviour::Oversized, "too_large"),
        (Document::Crl, Behaviour::Garbage, "malformed"),
        (Document::Crl, Behaviour::Status(404), "status"),
    ] {
        let (service, _) = service("Milan").await;
        if behaviour == Behaviour::OfAnother {
            service.give_kds(Kds::make("Milan", &[9; 64], TCB, NOW, 60).unwrap());
        }
        service.behave(document, behaviour.clone());
        let collateral = collateral(vec![source(Kind::Kds, &service)]);
        let Err(CollateralError::Unavailable { attempts, .. }) =
            collateral.get(&target("Milan"), NOW).await
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

/// A host gives the key, the rest is fetched and put beside it.
#[test]
fn what_the_host_gives_is_kept() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (service, kds) = service("Genoa").await;
        let collateral = collateral(vec![source(Kind::Kds, &service)]);
        let held = collateral
            .get(&Target::from_key("chain/Genoa").unwrap(), NOW)
            .await
            .unwrap();
        assert!(body(None, Some(2), true, &held.item.body));
        let vlek = collateral
            .get(&Target::from_key("vlek/Genoa").unwrap(), NOW)
            .await
            .unwrap();
        assert!(body(None, Some(2), true, &vlek.item.body));
        let mut asked = service.asked();
        asked.sort();
        assert_eq!(
            asked,
            [
                "/vcek/v1/Genoa/cert_chain",
                "/vcek/v1/Genoa/crl",
                "/vlek/v1/Genoa/cert_chain",
                "/vlek/v1/Genoa/crl"
            ]
        );
        drop(kds);
    });
}

/// A host's certificate table (configfs-tsm's auxblob) has no revocation list:
/// chip and provider alike, it comes from AMD's service, and beside what the
/// host gave it makes a report judge as whole.
#[tokio::test]
async fn a_hosts_table_is_completed() {
    for (signer, keys) in [(Signer::Vcek, "vcek"), (Signer::Vlek, "vlek")] {
        let mut chip = Chip::new(Product::Genoa, NOW / 1000);
        chip.signer = signer;
        let mut evidence = Evidence {
            platform: Platform::SoftwareSnp,
            statement: Bytes(Guest::new(3).report(&chip, &[7; 64])),
            event_log: None,
            gpu: None,
            runtime: None,
        };
        let whole = chip.collateral();
        let table = SnpCollateral {
            crl: None,
            ..whole.clone()
        };
        let given = Endorsements::new(evidence.platform, table.to_vec());
        let service = FakeServices::start().await.unwrap();
        service.give_kds(Kds::of(&chip));
        let collateral = collateral(vec![source(Kind::Kds, &service)]);
        let endorsed = collateral.endorse(&evidence, Some(&given), NOW).await;
        let endorsed = endorsed.unwrap().unwrap();
        assert_eq!(endorsed.body.0, whole.to_vec());
        let mut asked = service.asked();
        asked.sort();
        let path = |document| format!("/{keys}/v1/Genoa/{document}");
        assert_eq!(asked, [path("cert_chain"), path("crl")]);
        let anchor = || Some(Anchor::from_pem(&chip.root_pem()).unwrap());
        let verdict = explain_under(&evidence, &endorsed, anchor(), NOW);
        assert_eq!(verdict.failures().count(), 0, "{verdict}");
        let Some(Facts::Snp(facts)) = verdict.facts.map(|facts| *facts) else {
            panic!();
        };
        assert!(facts.machine.unwrap().revocation_checked);
        // Whole already: nobody is asked.
        let again = collateral.endorse(&evidence, Some(&endorsed), NOW).await;
        assert!(again.unwrap().is_none());
        // A table of garbage is not completed.
        let garbage = Endorsements::new(evidence.platform, b"garbage".to_vec());
        let result = collateral.endorse(&evidence, Some(&garbage), NOW).await;
        assert!(matches!(result, Err(CollateralError::Target(_))));
        // Nor is a report that is none asked about.
        evidence.statement.0.pop();
        let result = collateral.endorse(&evidence, None, NOW).await;
        assert!(matches!(result, Err(CollateralError::Target(_))));
        assert!(service.asked().is_empty());
    }
}

/// Where the host gives nothing, all of it is fetched: by the report's chip id
/// and TCB, whatever the product's layout.
#[tokio::test]
async fn a_report_alone_is_endorsed() {
    for (product, version) in [
        (Product::Milan, 2),
        (Product::Genoa, 3),
        (Product::Turin, 5),
    ] {
        let chip = Chip::new(product, NOW / 1000);
        let evidence = Evidence {
            platform: Platform::SoftwareSnp,
            statement: Bytes(Guest::new(version).report(&chip, &[7; 64])),
            event_log: None,
            gpu: None,
            runtime: None,
        };
        let service = FakeServices::start().await.unwrap();
        service.give_kds(Kds::of(&chip));
        let collateral = collateral(vec![source(Kind::Kds, &service)]);
        let endorsed = collateral.endorse(&evidence, None, NOW).await.unwrap();
        assert_eq!(endorsed.unwrap().body.0, chip.collateral().to_vec());
    }
}

/// The software platform's evidence is never an SNP report; a quote that is
/// none is an error, not a request.
#[tokio::test]
async fn damaged_evidence_asks_nobody() {
    let (service, _) = service("Milan").await;
    let collateral = collateral(vec![
        source(Kind::Kds, &service),
        source(Kind::Pccs, &service),
    ]);
    let evidence = Evidence {
        platform: Platform::Software,
        statement: Bytes(vec![4; 5000]),
        event_log: None,
        gpu: None,
        runtime: None,
    };
    let given = Endorsements::new(Platform::Software, Vec::new());
    let result = collateral.endorse(&evidence, Some(&given), NOW).await;
    assert!(matches!(result, Err(CollateralError::Target(_))));
    assert!(service.asked().is_empty());
}
