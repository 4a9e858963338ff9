//! A policy as a person keeps it: with each line explained.

use crate::policy::{Policy, PolicyError};

/// Tables, by how their headers begin; the first that fits explains.
const TABLES: &[(&str, &str)] = &[
    (
        "platform.software",
        "A software platform, under the anchor named here: NO HARDWARE PROTECTS ANYTHING.\n\
         For development only.",
    ),
    (
        "platform.tdx",
        "Intel TDX, under Intel's root, which is compiled in.",
    ),
    ("freshness", "Time."),
    (
        "trust",
        "What the server's operator may have set. What is not named is not accepted.",
    ),
    (
        "release",
        "What may run: complete tuples of measurements. Compare each with what the\n\
         release's makers publish.",
    ),
];

/// Keys, in whatever table they stand.
const KEYS: &[(&str, &str)] = &[
    (
        "anchor_pem",
        "Its root certificate, as its operator gave it to you.",
    ),
    (
        "tcb_statuses",
        "States of the machine's firmware that are accepted, by Intel's names.",
    ),
    (
        "tcb_grace_s",
        "Seconds after its TCB level's date for which an out-of-date machine is accepted\n\
         still: time to update after a TCB recovery.",
    ),
    (
        "advisories",
        "Security advisories that are accepted although they apply.",
    ),
    (
        "advisories_denied",
        "Advisories that are never accepted, in a time of grace neither.",
    ),
    (
        "min_tcb_evaluation",
        "Intel's number for a set of TCB data, at least: an older one hides a recovery.",
    ),
    (
        "max_collateral_age_s",
        "Seconds since Intel issued the TCB data, at most.",
    ),
    (
        "fmspc",
        "Families of machines that are accepted; without this line, all.",
    ),
    (
        "ppid",
        "Machines that are accepted, by Platform Provisioning ID.",
    ),
    (
        "piid",
        "Machines that are accepted, by Platform Instance ID.",
    ),
    (
        "any_machine",
        "true accepts every such machine on earth, in whosever hands: who has one in hand\n\
         can attack it physically. Counts only if no machine is named.",
    ),
    ("tcb_status", "The status that is accepted."),
    ("until", "The last moment at which the exception holds."),
    (
        "clock_skew_s",
        "Seconds that this machine's clock may be behind: what is valid from a time on may\n\
         be used so much before it. Nothing lasts longer by it.",
    ),
    (
        "sandbox",
        "Layers of the sandbox around provers that must be in force.",
    ),
    (
        "delegation",
        "Policies by which jobs may be handed to other enclaves, by digest.",
    ),
    ("durable", "Scopes of keys that may outlive the machine."),
    (
        "gpu",
        "Whether secrets may be put on a GPU that the session's evidence shows.",
    ),
    ("telemetry", "Where telemetry may go."),
    (
        "danger",
        "`danger` options that the operator may have turned on.",
    ),
    (
        "swap",
        "Whether the machine may have swap: secrets may reach a disk.",
    ),
    (
        "sp1_direct",
        "Whether the server may also take SP1 jobs of clients that appraise nothing. What\n\
         you seal does not pass there.",
    ),
    ("system", "The proof system."),
    ("executable", "SHA-256 of the prover's executable."),
    ("name", "What verdicts call it."),
    ("mrseam", "The TDX module."),
    ("mrsignerseam", "The module's signer; zero for Intel's."),
    ("tdattributes", "Attributes of the trust domain."),
    ("xfam", "Extended features that it may use."),
    ("mrtd", "What it was built from: firmware."),
    ("mrconfigid", "Set by the owner: configuration."),
    ("mrowner", "Set by the owner."),
    ("mrownerconfig", "Set by the owner."),
    (
        "rtmr0",
        "Firmware's configuration: memory, CPUs, ACPI tables, secure boot.",
    ),
    ("rtmr1", "Boot loader and kernel."),
    ("rtmr2", "Kernel's command line and initial file system."),
    ("rtmr3", "Application."),
];

impl Policy {
    /// [`to_toml`](Self::to_toml), with a comment above each table and key.
    /// Reads again as the same policy.
    ///
    /// # Errors
    /// [`PolicyError::Toml`].
    pub fn to_commented_toml(&self) -> Result<String, PolicyError> {
        let plain = self.to_toml()?;
        let mut out = String::with_capacity(plain.len().saturating_mul(2));
        // Inside a string or list of several lines nothing is a key.
        let mut until: Option<&str> = None;
        for line in plain.lines() {
            if let Some(end) = until {
                if line.ends_with(end) {
                    until = None;
                }
            } else {
                comment(line, &mut out);
                until = match line.split_once(" = ") {
                    Some((_, "[")) => Some("]"),
                    Some((_, value)) if value.starts_with("\"\"\"") => Some("\"\"\""),
                    _ => None,
                };
            }
            out.push_str(line);
            out.push('\n');
        }
        Ok(out)
    }
}

fn comment(line: &str, out: &mut String) {
    let header = line.trim_start_matches('[');
    let text = if header.len() < line.len() {
        // A table inside one that was explained explains itself.
        let name = header.trim_end_matches(']');
        TABLES
            .iter()
            .find(|(table, _)| {
                name == *table
                    || *table == "platform.software"
                        && name
                            .strip_prefix(table)
                            .is_some_and(|rest| !rest.contains('.'))
            })
            .map(|(_, text)| *text)
    } else {
        line.split_once(" = ")
            .and_then(|(key, _)| KEYS.iter().find(|(name, _)| *name == key))
            .map(|(_, text)| *text)
    };
    for line in text.into_iter().flat_map(str::lines) {
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    }
}
