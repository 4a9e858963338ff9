//! `[platform.tdx.event_log]`: what a firmware's event log must show. It adds
//! to a release's registers and takes nothing away.

use crate::bytes::Hex;
use serde::{Deserialize, Serialize};

/// See the module. An event log that is there must be that of the quote,
/// whatever is said here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventLogRules {
    /// Whether there must be one.
    pub required: bool,
    /// Whether it must show that secure boot was on.
    pub require_secure_boot: bool,
    /// SHA-384 of the value of the variable PK: whose keys decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pk: Option<Hex<48>>,
    /// Likewise, KEK: who may change db and dbx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kek: Option<Hex<48>>,
    /// Likewise, db: whose code may boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db: Option<Hex<48>>,
    /// Likewise, dbx: what may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dbx: Option<Hex<48>>,
    /// Digests of all code that was measured into RTMR1, in order: boot
    /// loaders, drivers, kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_chain: Option<Vec<Hex<48>>>,
    /// The kernel's command line, as its loader measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
}

impl EventLogRules {
    /// Whether none of them needs a log.
    pub(crate) fn ask_nothing(&self) -> bool {
        !self.need_one()
    }

    /// Whether any of them needs a log.
    pub(crate) fn need_one(&self) -> bool {
        let Self {
            required,
            require_secure_boot,
            pk,
            kek,
            db,
            dbx,
            boot_chain,
            command_line,
        } = self;
        *required
            || *require_secure_boot
            || [pk, kek, db, dbx].into_iter().any(Option::is_some)
            || boot_chain.is_some()
            || command_line.is_some()
    }

    /// What they let through, for a review.
    pub(crate) fn lets_through(&self) -> Vec<String> {
        let asked: Vec<&str> = [
            (self.require_secure_boot, "secure boot on"),
            (
                [self.pk, self.kek, self.db, self.dbx]
                    .iter()
                    .any(Option::is_some),
                "secure boot's keys as named",
            ),
            (self.boot_chain.is_some(), "the boot chain as named"),
            (self.command_line.is_some(), "the command line as named"),
        ]
        .into_iter()
        .filter_map(|(asked, what)| asked.then_some(what))
        .collect();
        match (self.need_one(), asked.as_slice()) {
            (false, _) => Vec::new(),
            (true, []) => vec!["machines whose event log replays".into()],
            (true, asked) => vec![format!(
                "machines whose event log replays and shows {}",
                asked.join(", ")
            )],
        }
    }
}
