//! What the platform demands, and what the direct path may.

use super::*;

/// Broken if a hardware platform started with swap, or with a prover that
/// lacks a layer: secrets could reach the host's disk, or a hostile program
/// the keeper.
#[test]
fn hardware_demands_every_layer_and_no_swap() {
    assert!(matches!(
        check_swap(Platform::Tdx, true),
        Err(KeeperError::Swap)
    ));
    assert!(check_swap(Platform::Tdx, false).is_ok());
    assert!(check_swap(Platform::Software, true).is_ok());
    assert_eq!(
        required_layers(Platform::Tdx),
        Some(sandbox::SandboxLevel::full())
    );
    assert_eq!(required_layers(Platform::Software), None);
}

/// Broken if a witness could be put on a GPU that nothing vouches for, on a
/// platform whose evidence says that hardware protects it.
#[test]
fn hardware_allows_no_gpu_without_evidence() {
    assert!(matches!(
        check_gpu(Platform::Tdx, true),
        Err(KeeperError::Gpu)
    ));
    assert!(check_gpu(Platform::Tdx, false).is_ok());
    assert!(check_gpu(Platform::Software, true).is_ok());
}

async fn keeper(dir: &std::path::Path, sp1_direct: bool) -> Arc<Keeper> {
    use soundproof_attester::software::{Measured, Options, SoftwarePlatform};
    let measured = Measured {
        soundproofd: Digest([1; 32]),
        provers: vec![],
    };
    let now = run::host_clock_ms();
    let platform =
        SoftwarePlatform::open_or_create(dir, &measured, Options::default(), now).unwrap();
    let mut config = KeeperConfig::new(Arc::new(platform));
    config.sp1_direct = sp1_direct;
    Keeper::start(config).await.unwrap()
}

fn open() -> OpenSession {
    OpenSession {
        version: PROTOCOL_VERSION,
        nonce: soundproof_protocol::id::Nonce([1; 32]),
        suites: vec![Suite::X25519.code()],
        held: vec![],
    }
}

/// What the session table says of the session that was opened.
fn appraises(keeper: &Keeper, opened: &SessionOpened) -> bool {
    let transcript = Transcript::from_slice(&opened.transcript.0).unwrap();
    let session = keeper.sessions.get(&transcript.digest()).unwrap();
    session.client_appraises
}

/// Broken if a gateway could have jobs pass for appraised that were not, or
/// open such sessions where the trust configuration says that there are
/// none.
#[tokio::test]
async fn sessions_that_nobody_appraises_are_for_the_direct_path_only() {
    let dir = tempfile::tempdir().unwrap();
    let off = keeper(&dir.path().join("off"), false).await;
    assert!(!off.trust().sp1_direct);
    let KeeperAnswers::Hello { direct, .. } = off.hello() else {
        panic!("a hello")
    };
    assert!(direct.is_none());
    let refused = off.open_session(open(), true).await.unwrap_err();
    assert_eq!(refused.code, Code::RequestMalformed);
    assert_eq!(off.sessions.count().0, 0);
    let opened = off.open_session(open(), false).await.unwrap();
    assert!(appraises(&off, &opened));

    let on = keeper(&dir.path().join("on"), true).await;
    assert!(on.trust().sp1_direct);
    assert_ne!(on.trust().digest(), off.trust().digest());
    let secret = |keeper: &Keeper| match keeper.hello() {
        KeeperAnswers::Hello { direct, .. } => direct.map(|secret| *secret.0),
        _ => None,
    };
    let first = secret(&on).unwrap();
    assert_eq!(secret(&on), Some(first), "the same for the keeper's life");
    let other = keeper(&dir.path().join("other"), true).await;
    assert_ne!(secret(&other), Some(first), "and no other's");
    let opened = on.open_session(open(), true).await.unwrap();
    assert!(!appraises(&on, &opened));
    let opened = on.open_session(open(), false).await.unwrap();
    assert!(appraises(&on, &opened));
}
