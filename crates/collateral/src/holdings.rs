//! Endorsements on a disk, as a person asks after them: a bundle, or the folder
//! of a cache. Nothing is fetched, and nothing changed.

use crate::{
    bundle::Bundle,
    cache,
    config::CollateralConfig,
    fault::CollateralError,
    item::{self, Item},
};
use serde::Serialize;
use std::path::Path;

/// Files of a folder that are read at most.
const MAX_FILES: usize = 4096;
/// Milliseconds by which a fresh copy may be late: attempts are an hour apart
/// at most.
const LATE_MS: u64 = 2 * 3_600_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Holdings {
    /// What was read.
    pub items: Vec<Item>,
    /// Names of files in a cache that are damaged.
    pub damaged: Vec<String>,
    /// Seconds after which a fresh copy was due, if something keeps them fresh.
    refresh_s: Option<u64>,
}

/// How an item is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// It holds, and is fresh.
    Good,
    /// It holds yet, but a fresh copy should be there by now: whoever fetches
    /// is offline, or its sources fail.
    Overdue,
    /// It ended before a fresh copy was had: of no use.
    Ended,
    /// It begins later, by this machine's clock.
    NotYetValid,
}

impl Condition {
    /// Whether a judge can use it.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Good | Self::Overdue)
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Good => "",
            Self::Overdue => {
                "See the server's log for what each source answered; or bring a bundle before it ends: `soundproof collateral fetch` elsewhere."
            }
            Self::Ended => {
                "Offline for too long: let the server reach a source, or bring a new bundle. If the machine is gone, remove the file."
            }
            Self::NotYetValid => "Check this machine's clock.",
        }
    }
}

impl Holdings {
    /// Reads a bundle, or a cache's folder.
    ///
    /// # Errors
    /// [`CollateralError::Bundle`], for what is neither, or cannot be read.
    pub fn read(path: &Path) -> Result<Self, CollateralError> {
        if !path.is_dir() {
            let items = Bundle::read(path)?.items().to_vec();
            return Ok(Self {
                items,
                ..Self::default()
            });
        }
        let wrong = |why: String| CollateralError::Bundle {
            path: path.display().to_string(),
            why,
        };
        let mut holdings = Self {
            refresh_s: Some(CollateralConfig::default().refresh_s),
            ..Self::default()
        };
        let entries = std::fs::read_dir(path).map_err(|error| wrong(error.to_string()))?;
        for (count, entry) in entries.enumerate() {
            let entry = entry.map_err(|error| wrong(error.to_string()))?;
            if count >= MAX_FILES {
                return Err(wrong(format!("more than {MAX_FILES} files")));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if !cache::is_item(&name) {
                continue;
            }
            match cache::read_file(&entry.path()).filter(|item| cache::name(&item.target) == name) {
                Some(item) => holdings.items.push(item),
                None => holdings.damaged.push(name),
            }
        }
        holdings.items.sort_by_key(|item| item.target.key());
        holdings.damaged.sort();
        Ok(holdings)
    }

    /// How one of its items is.
    pub fn condition(&self, item: &Item, now_ms: u64) -> Condition {
        if now_ms > item.window.until_ms {
            return Condition::Ended;
        }
        if !item.window.holds(now_ms) {
            return Condition::NotYetValid;
        }
        let margin_s = CollateralConfig::default().margin_s;
        let due_ms = item.due_ms(self.refresh_s.unwrap_or(u64::MAX), margin_s);
        if now_ms > due_ms.saturating_add(LATE_MS) {
            Condition::Overdue
        } else {
            Condition::Good
        }
    }

    /// How one of its items is, in words.
    pub fn words(&self, item: &Item, now_ms: u64) -> String {
        let until = item::date(item.window.until_ms);
        let part = item.window.until_part;
        let days = now_ms.saturating_sub(item.fetched_ms) / 86_400_000;
        match self.condition(item, now_ms) {
            Condition::Good => format!("holds until {until} (the {part} ends first)"),
            Condition::Overdue => format!(
                "holds until {until} (the {part} ends first), but was not refreshed for {days} days"
            ),
            Condition::Ended => {
                format!("ENDED {until} (the {part}): offline for too long, fetched {days} days ago")
            }
            Condition::NotYetValid => format!(
                "begins {} (the {})",
                item::date(item.window.from_ms),
                item.window.from_part
            ),
        }
    }

    /// Whether all of it can be used, and there is something.
    pub fn is_usable(&self, now_ms: u64) -> bool {
        let usable = |item: &Item| self.condition(item, now_ms).is_usable();
        self.damaged.is_empty() && !self.items.is_empty() && self.items.iter().all(usable)
    }
}
