//! The verdict's JSON, to the byte: other programs read it. Nothing in it
//! depends on the software platform's keys.
//!
//! After a change that is meant, run with `SOUNDPROOF_WRITE_GOLDEN=1` and
//! look at the difference.

use crate::common::Case;
use soundproof_testkit::pki::{Fault, Pki};
use std::{fs, path::Path};

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/evidence/golden")
        .join(name);
    if std::env::var_os("SOUNDPROOF_WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "{name} differs from the golden file");
}

#[test]
fn accepted() {
    let verdict = Case::sound().judge();
    compare(
        "verdict_accepted.json",
        &(serde_json::to_string_pretty(&verdict).unwrap() + "\n"),
    );
    compare("verdict_accepted.txt", &format!("{verdict}\n"));
}

#[test]
fn rejected() {
    let mut case = Case::of(Pki::with(Fault::TcbOutOfDate).unwrap());
    case.trust.danger.push("danger_example".into());
    let verdict = case.judge();
    compare(
        "verdict_rejected.json",
        &(serde_json::to_string_pretty(&verdict).unwrap() + "\n"),
    );
    compare("verdict_rejected.txt", &format!("{verdict}\n"));
}
