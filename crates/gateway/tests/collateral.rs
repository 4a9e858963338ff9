//! Endorsements that the keeper does not have: stapled, kept, and missed
//! clearly.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic, its helpers too

mod harness;

use harness::{
    Gateway,
    http::Client,
    keeper::{FakeKeeper, session},
};
use soundproof_attester::{
    Attester as _,
    software::{Options, SoftwarePlatform},
};
use soundproof_evidence::gpu::GpuEndorsements;
use soundproof_gateway::{Kind, SourceConfig};
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{MAX_SESSION_OPENED, OpenSession, SessionOpened},
    attestation::{Endorsements, Role},
    binding::Binding,
    cbor,
    digest::Digest,
    error::Code,
    id::Nonce,
    suite::Suite,
};
use soundproof_testkit::{
    fakes::collateral::{Behaviour, Document, FakeServices},
    gpu::GpuPki,
    pki::measured,
};
use std::{path::Path, sync::Arc, sync::atomic::Ordering, time::SystemTime};

/// A machine whose endorsements only its vendor's service has.
struct World {
    service: FakeServices,
    keeper: Arc<FakeKeeper>,
    issued: Endorsements,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        let keys = folder.path().join("keys");
        let platform =
            SoftwarePlatform::open_or_create(&keys, &measured(), Options::default(), now_ms)
                .unwrap();
        let binding = Binding::new(
            platform.platform(),
            Role::Keeper,
            Digest([1; 32]),
            None,
            None,
        );
        let issued = platform.endorsements().unwrap();
        let service = FakeServices::start().await.unwrap();
        service.give_dcap(&issued.body.0);
        let keeper = Arc::new(FakeKeeper::new());
        let given = Endorsements::new(platform.platform(), Vec::new());
        *keeper.session.lock().unwrap() = Some(SessionOpened {
            evidence: platform.evidence(&binding).unwrap(),
            endorsements_digest: given.digest(),
            endorsements: Some(given),
            ..session()
        });
        Self {
            service,
            keeper,
            issued,
            folder,
        }
    }

    fn data(&self) -> std::path::PathBuf {
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        data
    }

    async fn gateway(&self, data: &Path) -> Gateway {
        Gateway::start_with(data, self.keeper.clone(), |config| {
            let mut source = SourceConfig::new(Kind::Pccs, &self.service.url);
            source.timeout_ms = 60_000;
            config.collateral.sources = vec![source];
            config.collateral.rounds = 1;
        })
        .await
    }
}

fn open(held: &[Digest]) -> Vec<u8> {
    cbor::to_vec(&OpenSession {
        version: PROTOCOL_VERSION,
        nonce: Nonce(harness::random()),
        suites: vec![Suite::X25519.code()],
        held: held.to_vec(),
    })
}

async fn opened(client: &mut Client, held: &[Digest]) -> SessionOpened {
    let reply = client.post("/v1/sessions", open(held)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    cbor::from_slice(&reply.body, MAX_SESSION_OPENED).unwrap()
}

fn tcb_info(endorsements: &Endorsements) -> serde_json::Value {
    let body: serde_json::Value = serde_json::from_slice(&endorsements.body.0).unwrap();
    body["tcb_info"].clone()
}

/// Stapled; not sent to who holds them; fetched once; there after a restart
/// without a network.
#[tokio::test]
async fn endorsements_are_fetched_once_and_stapled() {
    let world = World::new().await;
    let data = world.data();
    let gateway = world.gateway(&data).await;
    let mut client = Client::http1(&gateway).await;
    let reply = opened(&mut client, &[]).await;
    let stapled = reply.endorsements.unwrap();
    assert_eq!(reply.endorsements_digest, stapled.digest());
    assert_eq!(tcb_info(&stapled), tcb_info(&world.issued));
    let again = opened(&mut client, &[stapled.digest()]).await;
    assert!(again.endorsements.is_none());
    assert_eq!(again.endorsements_digest, stapled.digest());
    assert_eq!(world.service.asked().len(), 4);
    let metrics = client.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let line = "soundproof_endorsement_answers{kind=\"pccs\",result=\"fetched\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("soundproof_endorsements_failing 0"));
    drop(client);
    gateway.stop().await.unwrap();
    world.service.behave_always(&Behaviour::Status(503));
    let gateway = world.gateway(&data).await;
    let mut client = Client::http1(&gateway).await;
    let reply = opened(&mut client, &[]).await;
    assert_eq!(reply.endorsements.unwrap(), stapled);
    assert!(world.service.asked().is_empty());
}

/// A session's GPUs are endorsed too; what cannot be had of that is left out,
/// and refuses no session.
#[tokio::test]
async fn gpus_are_endorsed_as_well_as_can_be() {
    let world = World::new().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let pki = GpuPki::sound(now.unwrap().as_secs());
    world.service.give_gpu(&pki);
    if let Some(session) = world.keeper.session.lock().unwrap().as_mut() {
        session.evidence.gpu = Some(pki.evidence(&[1; 32]));
    }
    for (behaviour, answers) in [(Behaviour::Sound, 5), (Behaviour::Status(404), 0)] {
        world.service.behave(Document::Ocsp, behaviour);
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start_with(folder.path(), world.keeper.clone(), |config| {
            let kinds = [Kind::Pccs, Kind::Rim, Kind::Ocsp];
            let sources = kinds.map(|kind| SourceConfig::new(kind, &world.service.url));
            config.collateral.sources = sources.into();
            config.collateral.rounds = 1;
        })
        .await;
        let mut client = Client::http1(&gateway).await;
        let reply = opened(&mut client, &[]).await;
        let stapled = reply.endorsements.unwrap();
        assert_eq!(reply.endorsements_digest, stapled.digest());
        assert_eq!(tcb_info(&stapled), tcb_info(&world.issued));
        let gpu = GpuEndorsements::from_slice(&stapled.gpu.unwrap().0).unwrap();
        assert_eq!(gpu.manifests.len(), 2);
        assert_eq!(gpu.revocation.len(), answers);
        let again = opened(&mut client, &[reply.endorsements_digest]).await;
        assert!(again.endorsements.is_none());
    }
}

/// Without any, sessions are refused with a problem that says so, and after
/// the first the keeper is not asked for quotes that nobody could judge.
#[tokio::test]
async fn missing_endorsements_are_a_clear_refusal() {
    let world = World::new().await;
    world.service.behave_always(&Behaviour::Status(404));
    let gateway = world.gateway(&world.data()).await;
    let mut client = Client::http1(&gateway).await;
    for _ in 0..3 {
        let reply = client.post("/v1/sessions", open(&[])).await;
        let problem = reply.problem(Code::EndorsementsUnavailable);
        let text = serde_json::to_string(&problem).unwrap();
        assert!(
            !text.contains(&world.service.url),
            "sources are the operator's own"
        );
    }
    assert_eq!(world.keeper.sessions.load(Ordering::SeqCst), 1);
    let metrics = client.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        metrics.contains("soundproof_endorsements_failing 1"),
        "{metrics}"
    );
}

/// The keeper's own endorsements are handed on as they are.
#[tokio::test]
async fn what_the_keeper_has_is_not_fetched() {
    let world = World::new().await;
    if let Some(session) = world.keeper.session.lock().unwrap().as_mut() {
        session.endorsements_digest = world.issued.digest();
        session.endorsements = Some(world.issued.clone());
    }
    let gateway = world.gateway(&world.data()).await;
    let mut client = Client::http1(&gateway).await;
    let reply = opened(&mut client, &[]).await;
    assert_eq!(reply.endorsements, Some(world.issued.clone()));
    assert!(world.service.asked().is_empty());
}

/// A wrong setting stops the start.
#[tokio::test]
async fn a_source_that_cannot_be_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let start = Gateway::try_start(folder.path(), Arc::new(FakeKeeper::new()), |config| {
        config.collateral.sources = vec![SourceConfig::new(Kind::Pccs, "http://pccs.example")];
    });
    let error = start.await.err().unwrap();
    assert!(error.to_string().contains("https"), "{error}");
}
