//! Endorsements that this machine keeps.

use super::{Checks, Finding};
use soundproof_collateral::{Condition, Holdings};
use std::path::Path;

/// What is held of this machine's vendor, from where, until when.
pub(super) fn look(checks: &mut Checks, path: &Path, now_ms: u64) {
    const NAME: &str = "endorsements";
    let holdings = match Holdings::read(path) {
        Ok(holdings) => holdings,
        Err(error) => {
            return checks.add(NAME, Finding::Bad, error.to_string(), error.remedy());
        }
    };
    for item in &holdings.items {
        let condition = holdings.condition(item, now_ms);
        let finding = match condition {
            Condition::Good => Finding::Good,
            Condition::Overdue => Finding::Warn,
            _ => Finding::Bad,
        };
        let found = format!(
            "{}, from {}: {}",
            item.target.name(),
            item.source,
            holdings.words(item, now_ms)
        );
        checks.add(NAME, finding, found, condition.remedy());
    }
    for name in &holdings.damaged {
        let found = format!("{}: damaged", path.join(name).display());
        let remedy = "The server fetches it anew when it needs it; or remove the file.";
        checks.add(NAME, Finding::Bad, found, remedy);
    }
    if holdings.items.is_empty() && holdings.damaged.is_empty() {
        checks.add(
            NAME,
            Finding::Bad,
            format!("{}: none", path.display()),
            "Open a session, so that the server fetches them; or bring a bundle: `soundproof collateral fetch`.",
        );
    }
}
