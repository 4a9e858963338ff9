//! Leaves evidence, sound and changed, with what the native build says of it,
//! so that WebAssembly can be held against it.

use crate::{
    cases::{Case, framed},
    mutate,
};
use soundproof_evidence::{Policy, Verdict, fuzz};
use std::{fs, path::Path};

/// Changes of each case, from one end of the list to the other.
const CHANGES: usize = 60;
/// A moment at which the seeds' session is valid, and one long after.
const TIMES_MS: [u64; 2] = [1_780_000_000_000, 1_980_000_000_000];

/// Writes `NAME`, as [`Case::to_vec`] has it, and `NAME.verdict`, one of each.
pub(crate) fn leave(cases: &[Case], folder: &Path) {
    for (at, case) in cases.iter().enumerate() {
        write(
            folder,
            &format!("{at:02}-sound"),
            &case.to_vec(case),
            &case.judge(),
        );
        let changes = mutate::all(case, cases, 1);
        let step = (changes.len() / CHANGES).max(1);
        for (change, changed) in changes.iter().enumerate().step_by(step) {
            // The binding is not left: every case has the same.
            let changed = changed
                .apply(case)
                .filter(|changed| changed.binding == case.binding);
            if let Some(changed) = changed {
                let name = format!("{at:02}-{change:06}");
                write(folder, &name, &changed.to_vec(case), &changed.judge());
            }
        }
    }
    sessions(folder);
}

/// A client's whole way: a session's evidence under three policies.
fn sessions(folder: &Path) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let session = fs::read(seeds.join("session_evidence/one")).unwrap();
    let mut accepted = 0;
    for name in ["software", "empty"] {
        let toml = fs::read_to_string(seeds.join(format!("policy/{name}.toml"))).unwrap();
        let policy = Policy::from_toml(&toml).unwrap();
        for now_ms in TIMES_MS {
            let verdict = fuzz::session(&session, &policy, now_ms).unwrap();
            accepted += usize::from(verdict.clone().accept().is_ok());
            let parts: [&[u8]; 6] = [&session, &[], &[], &[], &[], toml.as_bytes()];
            let name = format!("session-{name}-{now_ms}");
            write(folder, &name, &framed(&parts, now_ms), &verdict);
        }
    }
    assert_eq!(accepted, 1, "the seeds are of another time");
}

fn write(folder: &Path, name: &str, case: &[u8], verdict: &Verdict) {
    let accepted = verdict.clone().accept().is_ok();
    let text = format!(
        "{}\naccepted: {accepted}\n",
        serde_json::to_string(verdict).unwrap()
    );
    fs::write(folder.join(name), case).unwrap();
    fs::write(folder.join(format!("{name}.verdict")), text).unwrap();
}
