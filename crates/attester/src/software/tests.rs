use super::*;
use soundproof_evidence::{Outcome, appraise, tdx::Quote};
use soundproof_protocol::{attestation::Role, digest::Digest, trust::ProverIdentity};

const NOW_MS: u64 = 1_795_000_000_000;

fn measured() -> Measured {
    Measured {
        soundproofd: Digest([1; 32]),
        provers: vec![Digest([3; 32]), Digest([2; 32])],
    }
}

fn trust() -> TrustConfiguration {
    TrustConfiguration {
        version: 1,
        provers: vec![ProverIdentity {
            system: "groth16".into(),
            executable: Digest([2; 32]),
            version: "0.1.0".into(),
        }],
        sandbox: vec!["seccomp".into()],
        delegation: None,
        durable_scope: None,
        gpu: false,
        telemetry: vec![],
        danger: vec![],
        swap: false,
        sp1_direct: false,
    }
}

fn open(dir: &Path) -> SoftwarePlatform {
    SoftwarePlatform::open_or_create(dir, &measured(), Options::default(), NOW_MS).unwrap()
}

fn binding(root: u8) -> Binding {
    Binding::new(
        Platform::Software,
        Role::Keeper,
        Digest([root; 32]),
        None,
        None,
    )
}

#[test]
fn its_own_policy_accepts_it_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let platform = open(dir.path());
    let evidence = platform.evidence(&binding(7)).unwrap();
    let endorsements = platform.endorsements().unwrap();
    let policy = platform.policy("this one", &trust()).unwrap();
    let verdict = appraise(
        &evidence,
        &endorsements,
        &binding(7),
        &trust(),
        &policy,
        NOW_MS,
    );
    let accepted = verdict
        .accept()
        .unwrap_or_else(|verdict| panic!("{verdict}"));
    assert_eq!(accepted.verdict().release.as_deref(), Some("this one"));
    assert_eq!(accepted.platform(), Platform::Software);

    // Broken if another session's evidence passed.
    let other = appraise(
        &evidence,
        &endorsements,
        &binding(8),
        &trust(),
        &policy,
        NOW_MS,
    );
    let failed: Vec<_> = other.failures().map(|check| check.code.code()).collect();
    assert_eq!(failed, ["binding_mismatch"]);
}

#[test]
fn a_restart_keeps_the_anchor_and_another_folder_has_another() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let later = SoftwarePlatform::open_or_create(
        dir.path(),
        &measured(),
        Options::default(),
        NOW_MS + 90 * DAY_S * 1000,
    )
    .unwrap();
    assert_eq!(first.anchor_der(), later.anchor_der());
    assert_eq!(
        std::fs::read_to_string(dir.path().join(ANCHOR_FILE)).unwrap(),
        first.anchor_pem()
    );
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).anchor_der(), first.anchor_der());
}

#[test]
fn keys_are_for_their_owner_only_and_damage_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("pki");
    open(&inside);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside.join("keys")), 0o600);
    assert_eq!(mode(&inside), 0o700);
    let left: Vec<_> = std::fs::read_dir(&inside)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "keys and anchor only: {left:?}");

    std::fs::write(inside.join("keys"), "root 00\n").unwrap();
    let damaged =
        SoftwarePlatform::open_or_create(&inside, &measured(), Options::default(), NOW_MS);
    assert!(matches!(damaged, Err(AttestError::Keys(_))));
}

#[test]
fn two_that_start_at_once_share_one_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let anchors: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open(dir.path()).anchor_der().to_vec()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(anchors.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn every_executable_is_measured_and_their_order_is_not() {
    let of = |soundproofd: u8, provers: &[u8]| {
        Measured {
            soundproofd: Digest([soundproofd; 32]),
            provers: provers.iter().map(|prover| Digest([*prover; 32])).collect(),
        }
        .measurements(&Profile::default())
    };
    assert_eq!(of(1, &[2, 3]), of(1, &[3, 2]));
    let all = [
        of(1, &[2, 3]),
        of(9, &[2, 3]),
        of(1, &[2]),
        of(1, &[2, 4]),
        of(1, &[]),
    ];
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            assert_ne!(a, b);
        }
    }
}

#[test]
fn a_quote_is_read_back_as_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let platform = open(dir.path());
    let evidence = platform.evidence(&binding(7)).unwrap();
    let quote = Quote::parse(&evidence.statement.0).unwrap();
    assert_eq!(quote.version(), 4);
    assert_eq!(quote.report_data(), binding(7).as_bytes());
    assert_eq!(&quote.measurements(), platform.measurements());
    assert_eq!(platform.quotes(), 1);
}

#[test]
fn quotes_are_made_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let delay = Duration::from_millis(20);
    let platform = SoftwarePlatform::open_or_create(
        dir.path(),
        &measured(),
        Options { quote_delay: delay },
        NOW_MS,
    )
    .unwrap();
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| platform.evidence(&binding(1)).unwrap());
        }
    });
    // A lower bound, which holds at any speed; side by side it would be 20 ms.
    assert!(start.elapsed() >= delay * 4);
    assert_eq!(platform.quotes(), 4);
}

#[test]
fn a_time_out_of_range_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let opened =
        SoftwarePlatform::open_or_create(dir.path(), &measured(), Options::default(), u64::MAX);
    assert!(matches!(opened, Err(AttestError::Time(_))));
}

#[test]
fn the_verdict_says_in_capitals_that_nothing_is_protected() {
    let dir = tempfile::tempdir().unwrap();
    let platform = open(dir.path());
    let evidence = platform.evidence(&binding(7)).unwrap();
    let policy = platform.policy("this one", &trust()).unwrap();
    let verdict = appraise(
        &evidence,
        &platform.endorsements().unwrap(),
        &binding(7),
        &trust(),
        &policy,
        NOW_MS,
    );
    let text = verdict.to_string();
    assert!(
        text.lines()
            .next()
            .unwrap()
            .starts_with("NO HARDWARE PROTECTS ANYTHING")
    );
    assert_eq!(verdict.checks[0].result, Outcome::Warn);
}
