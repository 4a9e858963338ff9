//! Judges dstack's evidence: a trust domain's quote, the event log, and the
//! compose file.

use super::{
    Compose, EventLog, Identity, LogError, compose,
    mr_config::{self, MrConfig},
    release::Release,
};
use crate::{
    bytes::Hex,
    dcap,
    module::{Case, Judge},
    policy::DstackRules,
    reason::Reason,
    refusal::Root,
    tdx::{self, Quote, TdxFacts},
    verdict::{Facts, Verdict},
};
use minicbor::{Decode, Encode, bytes::ByteVec};
use serde::Serialize;
use soundproof_protocol::{attestation::MAX_EVIDENCE, cbor};

/// What the evidence's event log holds: see wire-formats.md.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Carried {
    /// The event log, in JSON, as the guest agent gives it.
    #[n(0)]
    pub events: ByteVec,
    /// app-compose.json, its raw bytes.
    #[n(1)]
    pub compose: Option<ByteVec>,
    /// The document that MRCONFIGID names in its version 3.
    #[n(2)]
    pub mr_config: Option<ByteVec>,
}

impl Carried {
    /// As evidence carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }
}

/// What the evidence says. Verified if the verdict's `verified` is true; else
/// what unverified evidence claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DstackFacts {
    /// What ran, if the log replays and says so without doubt.
    pub identity: Option<Identity>,
    /// What the compose file says, if it came along and is the one measured.
    pub compose: Option<Compose>,
    /// What MRCONFIGID says of the identity.
    pub mr_config: Option<MrConfig>,
    /// The quote.
    #[serde(flatten)]
    pub quote: TdxFacts,
}

/// Evidence that was read.
pub(crate) struct Dstack {
    quote: Quote,
    verified: Option<dcap::Verified>,
    identity: Option<Identity>,
    compose: Option<Compose>,
    mr_config: Option<MrConfig>,
}

impl Judge for Dstack {
    type Rules = DstackRules;
    type Release = Release;
    const NAME: &'static str = "dstack on Intel TDX";
    const EVENT_LOG: bool = true;

    fn examine(verdict: &mut Verdict, case: &Case<'_>, root: Root<'_>) -> Option<Self> {
        let bytes = &case.evidence.statement.0;
        let quote = tdx::read(verdict, bytes)?;
        let verified = dcap::examine(verdict, case, bytes, root);
        let log = case.evidence.event_log.as_ref();
        let carried = read_carried(verdict, log.map(|log| log.0.as_slice()));
        let identity = carried
            .as_ref()
            .and_then(|carried| identity(verdict, &carried.events, &quote));
        let compose = match (&carried, &identity) {
            (Some(carried), Some(identity)) => carried
                .compose
                .as_ref()
                .and_then(|raw| read_compose(verdict, raw, identity)),
            _ => None,
        };
        let mr_config = identity.as_ref().map(|identity| {
            let document = carried
                .as_ref()
                .and_then(|carried| carried.mr_config.as_ref())
                .map(|document| document.as_slice());
            mr_config::compare(&quote.measurements().mrconfigid.0, identity, document)
        });
        if let Some(mr_config) = mr_config {
            check_mr_config(verdict, mr_config);
        }
        verdict.facts(Facts::Dstack(Box::new(DstackFacts {
            identity: identity.clone(),
            compose: compose.clone(),
            mr_config,
            quote: TdxFacts::of(&quote, verified.as_ref()),
        })));
        Some(Self {
            quote,
            verified,
            identity,
            compose,
            mr_config,
        })
    }

    fn apply(&self, verdict: &mut Verdict, case: &Case<'_>, rules: &DstackRules) {
        if let Some(verified) = &self.verified {
            dcap::apply(verdict, verified, &rules.dcap, case.clock);
        }
        if let Some(identity) = &self.identity {
            key_provider(verdict, identity, rules);
            if let Some(instances) = &rules.instances {
                let found = identity.instance_id;
                verdict.check(
                    "instance",
                    found.is_some_and(|id| instances.contains(&id)),
                    Reason::InstanceRefused,
                    format!("one of {} instances", instances.len()),
                    found.map_or_else(|| "none".to_owned(), |id| id.to_string()),
                );
            }
        }
        self.compose(verdict, rules);
        if rules.require_mr_config {
            verdict.check(
                "mr_config_set",
                matches!(self.mr_config, Some(MrConfig::Matches(_))),
                Reason::MrConfigRefused,
                "set by the host, and that of what ran",
                self.mr_config.map_or_else(|| "unknown".to_owned(), words),
            );
        }
    }

    fn differences(&self, release: &Release) -> Vec<&'static str> {
        release.differences(&self.quote.measurements(), self.identity.as_ref())
    }

    fn carried(&self) -> &[u8] {
        self.quote.report_data()
    }

    fn raise(rules: &mut DstackRules, tcb_evaluation: u32) {
        rules.dcap.raise(tcb_evaluation);
    }

    fn observed(&self) -> (DstackRules, Release) {
        let rules = DstackRules {
            dcap: self
                .verified
                .as_ref()
                .map(dcap::observed)
                .unwrap_or_default(),
            key_providers: self
                .identity
                .iter()
                .map(|identity| identity.key_provider.clone())
                .collect(),
            require_compose: self.compose.is_some(),
            danger_public_logs: self.compose.as_ref().is_some_and(|c| c.public_logs),
            danger_public_sysinfo: self.compose.as_ref().is_some_and(|c| c.public_sysinfo),
            ..DstackRules::default()
        };
        let release = Release::observed(&self.quote.measurements(), self.identity.as_ref());
        (rules, release)
    }
}

impl Dstack {
    fn compose(&self, verdict: &mut Verdict, rules: &DstackRules) {
        let Some(compose) = &self.compose else {
            if rules.require_compose {
                verdict.fail(
                    "compose_file",
                    Reason::ComposeMissing,
                    "app-compose.json beside the evidence, or require_compose = false",
                    "none that is the one measured",
                );
            }
            return;
        };
        for (name, public, accepted, what) in [
            (
                "public_logs",
                compose.public_logs,
                rules.danger_public_logs,
                "everybody can read the containers' logs",
            ),
            (
                "public_sysinfo",
                compose.public_sysinfo,
                rules.danger_public_sysinfo,
                "everybody can see processes and load",
            ),
        ] {
            match (public, accepted) {
                (false, _) => verdict.pass(name, "not public", "not public"),
                (true, true) => verdict.warn(name, Reason::ComposeShows, "public, accepted", what),
                (true, false) => verdict.fail(name, Reason::ComposeShows, "not public", what),
            }
        }
        if !compose.images_without_digest.is_empty() {
            verdict.warn(
                "container_images",
                Reason::ComposeUnpinned,
                "container images named by digest",
                compose.images_without_digest.join(", "),
            );
        }
    }
}

fn read_carried(verdict: &mut Verdict, log: Option<&[u8]>) -> Option<Carried> {
    const EXPECTED: &str = "dstack's event log";
    let Some(log) = log else {
        verdict.fail("event_log", Reason::EventLogMissing, EXPECTED, "none");
        return None;
    };
    match cbor::from_slice(log, MAX_EVIDENCE) {
        Ok(carried) => Some(carried),
        Err(error) => {
            let found = error.to_string();
            verdict.fail("event_log", Reason::EventLogMalformed, EXPECTED, found);
            None
        }
    }
}

/// What ran; none if the log is not that of the quote, or leaves a doubt.
fn identity(verdict: &mut Verdict, json: &[u8], quote: &Quote) -> Option<Identity> {
    let log = match EventLog::parse(json) {
        Ok(log) => log,
        Err(error) => {
            let code = match error {
                LogError::Digest { .. } => Reason::EventLogDigest,
                _ => Reason::EventLogMalformed,
            };
            let found = error.to_string();
            verdict.fail("event_log", code, "dstack's event log", found);
            return None;
        }
    };
    let events = format!("{} events, digests as computed here", log.events.len());
    verdict.pass("event_log", "dstack's event log", events);
    let differ: Vec<&str> = ["RTMR0", "RTMR1", "RTMR2", "RTMR3"]
        .into_iter()
        .zip(tdx::registers(quote).iter().zip(&log.replay()))
        .filter_map(|(name, (quoted, replayed))| (quoted != replayed).then_some(name))
        .collect();
    verdict.check(
        "event_log_replay",
        differ.is_empty(),
        Reason::EventLogReplay,
        "the quote's registers",
        if differ.is_empty() {
            "all four registers replay".to_owned()
        } else {
            format!("{} differs", differ.join(", "))
        },
    );
    if !differ.is_empty() {
        return None;
    }
    match Identity::read(&log) {
        Ok(identity) => {
            let found = format!(
                "application {}, {} events after system-ready left out",
                identity.app_id,
                identity.later.len()
            );
            verdict.pass("identity", "events before system-ready", found);
            Some(identity)
        }
        Err(error) => {
            verdict.fail(
                "identity",
                Reason::IdentityRefused,
                "events before system-ready, each once",
                error.to_string(),
            );
            None
        }
    }
}

fn read_compose(verdict: &mut Verdict, raw: &[u8], identity: &Identity) -> Option<Compose> {
    let hash = Hex(compose::hash(raw));
    if hash != identity.compose_hash {
        verdict.fail(
            "compose_hash",
            Reason::ComposeMismatch,
            identity.compose_hash.to_string(),
            format!("the file that came along has {hash}"),
        );
        return None;
    }
    verdict.pass(
        "compose_hash",
        identity.compose_hash.to_string(),
        "the file that came along has it",
    );
    match Compose::parse(raw) {
        Ok(compose) => Some(compose),
        Err(error) => {
            verdict.fail(
                "compose_file",
                Reason::ComposeMismatch,
                "app-compose.json",
                error.to_string(),
            );
            None
        }
    }
}

fn words(mr_config: MrConfig) -> String {
    match mr_config {
        MrConfig::Unset => "not set: the host fixed nothing before the start".to_owned(),
        MrConfig::Matches(version) => format!("version {version}, that of what ran"),
        MrConfig::Differs(version) => format!("version {version}, not that of what ran"),
        MrConfig::Unknown(version) => format!("version {version}, which is not known"),
    }
}

fn check_mr_config(verdict: &mut Verdict, mr_config: MrConfig) {
    verdict.check(
        "mr_config",
        matches!(mr_config, MrConfig::Unset | MrConfig::Matches(_)),
        Reason::MrConfigRefused,
        "not set, or that of what ran",
        words(mr_config),
    );
}

fn key_provider(verdict: &mut Verdict, identity: &Identity, rules: &DstackRules) {
    const NAME: &str = "key_provider";
    let provider = &identity.key_provider;
    let found = format!("{} {}", provider.name, provider.id);
    let expected: Vec<_> = rules
        .key_providers
        .iter()
        .map(|provider| format!("{} {}", provider.name, provider.id))
        .collect();
    if rules.any_key_provider {
        verdict.pass(NAME, "any", found);
    } else if expected.is_empty() {
        verdict.fail(
            NAME,
            Reason::KeyProviderUnspecified,
            "key_providers in the policy, or any_key_provider = true",
            found,
        );
    } else {
        verdict.check(
            NAME,
            rules.key_providers.contains(provider),
            Reason::KeyProviderRefused,
            expected.join(" or "),
            found,
        );
    }
}
