//! What ran: from the events that the guest measured into RTMR3 before
//! `system-ready` (dstack-util, system_setup.rs).
//!
//! Whoever runs in the guest can extend RTMR3 afterwards, with events of any
//! name. So nothing after `system-ready` is identity. Before it nothing may
//! hide an event: each must be a run-time event, whose name and payload are
//! what its digest was computed from; no name may hold a colon, since version
//! 1 separates name from payload by one, and a log could move the border; and
//! no part of the identity may be there twice.

use super::log::{Event, EventLog};
use crate::bytes::Hex;
use serde::{Deserialize, Serialize};

/// Register of the run-time events.
const RTMR3: u8 = 3;
/// Init scripts of an application at most (dstack, `MAX_INIT_SCRIPTS`).
pub const MAX_INIT_SCRIPTS: usize = 5;
/// Names of events after `system-ready` that are kept.
const MAX_LATER: usize = 32;
/// Bytes of a text in a payload that are read at most.
const MAX_TEXT: usize = 4096;

/// Why a log names no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no `system-ready` event, so that there is no telling the
    /// system's events from the application's.
    #[error("no system-ready event: the system's events do not end")]
    NotReady,
    /// The first event is another one than `system-preparing`.
    #[error("the first event of RTMR3 is not system-preparing")]
    NotPreparing,
    /// An event before `system-ready` whose content is not shown.
    #[error("event {0} of RTMR3 is no run-time event, though system-ready has not come")]
    Opaque(usize),
    /// A name that could be divided from its payload elsewhere.
    #[error("event {0} of RTMR3 has a name that holds a colon or a control character")]
    Name(usize),
    /// Part of the identity, twice before `system-ready`.
    #[error("{0} is there twice before system-ready")]
    Duplicate(&'static str),
    /// Not there.
    #[error("{0} is not there before system-ready")]
    Missing(&'static str),
    /// A payload that does not hold what it must.
    #[error("{0} does not hold what it must")]
    Payload(&'static str),
}

/// Who gives the guest its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProvider {
    /// `none`, `kms`, `local-sgx` or `tpm`.
    pub name: String,
    /// Hex: of a KMS its root's public key, of a local provider its
    /// MRENCLAVE; else empty.
    pub id: String,
}

/// What ran, by the guest's own events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Identity {
    /// Application.
    pub app_id: Hex<20>,
    /// SHA-256 of app-compose.json's raw bytes.
    pub compose_hash: Hex<32>,
    /// Instance; none if the application asks for none.
    pub instance_id: Option<Hex<20>>,
    /// Who gave it its keys.
    pub key_provider: KeyProvider,
    /// SHA-256 of each init script, in order (0.6 and later).
    pub init_scripts: Vec<Hex<32>>,
    /// Hash of the GPU policy (0.6 and later).
    pub gpu_policy_hash: Option<Hex<32>>,
    /// The verdict of the guest's own check of its GPUs, where it has some:
    /// how many bytes of it there are.
    pub gpu_attestation_bytes: Option<usize>,
    /// Hash of the root file system (before 0.5).
    pub rootfs_hash: Option<Hex<32>>,
    /// Hash of the OS image, as the KMS answered.
    pub os_image_hash: Option<Hex<32>>,
    /// File system of the data disk (0.5 and later).
    pub storage_fs: Option<String>,
    /// Other events before `system-ready`.
    pub other: Vec<String>,
    /// Events after it, at most 32: the application's own, no identity.
    pub later: Vec<String>,
}

#[derive(Default)]
struct Seen<'a> {
    app_id: Option<&'a [u8]>,
    compose_hash: Option<&'a [u8]>,
    instance_id: Option<&'a [u8]>,
    key_provider: Option<&'a [u8]>,
    gpu_policy_hash: Option<&'a [u8]>,
    gpu_attestation: Option<&'a [u8]>,
    rootfs_hash: Option<&'a [u8]>,
    os_image_hash: Option<&'a [u8]>,
    storage_fs: Option<&'a [u8]>,
    boot_mr_done: Option<&'a [u8]>,
    init_scripts: Vec<&'a [u8]>,
    other: Vec<String>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, event: &'a Event) -> Result<(), IdentityError> {
        let payload = event.payload.as_slice();
        let (slot, name) = match event.name.as_str() {
            "system-preparing" => return Err(IdentityError::Duplicate("system-preparing")),
            "app-id" => (&mut self.app_id, "app-id"),
            "compose-hash" => (&mut self.compose_hash, "compose-hash"),
            "instance-id" => (&mut self.instance_id, "instance-id"),
            "key-provider" => (&mut self.key_provider, "key-provider"),
            "gpu-policy-hash" => (&mut self.gpu_policy_hash, "gpu-policy-hash"),
            "gpu-attestation" => (&mut self.gpu_attestation, "gpu-attestation"),
            "rootfs-hash" => (&mut self.rootfs_hash, "rootfs-hash"),
            "os-image-hash" => (&mut self.os_image_hash, "os-image-hash"),
            "storage-fs" => (&mut self.storage_fs, "storage-fs"),
            "boot-mr-done" => (&mut self.boot_mr_done, "boot-mr-done"),
            "init-script-hash" => {
                if self.init_scripts.len() == MAX_INIT_SCRIPTS {
                    return Err(IdentityError::Payload("init-script-hash"));
                }
                self.init_scripts.push(payload);
                return Ok(());
            }
            other => {
                self.other.push(other.to_owned());
                return Ok(());
            }
        };
        if slot.replace(payload).is_some() {
            return Err(IdentityError::Duplicate(name));
        }
        Ok(())
    }
}

impl Identity {
    /// Reads the identity from a log. Compare
    /// [`EventLog::replay`] with the quote first.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn read(log: &EventLog) -> Result<Self, IdentityError> {
        let mut events = log
            .events
            .iter()
            .filter(|event| event.rtmr == RTMR3)
            .enumerate();
        let mut seen = Seen::default();
        let mut ready = false;
        for (index, event) in events.by_ref() {
            if !event.is_runtime() {
                return Err(IdentityError::Opaque(index));
            }
            if event
                .name
                .chars()
                .any(|c| c == ':' || c.is_control() || !c.is_ascii())
            {
                return Err(IdentityError::Name(index));
            }
            match (index, event.name.as_str()) {
                (0, "system-preparing") => {}
                (0, _) => return Err(IdentityError::NotPreparing),
                (_, "system-ready") => {
                    ready = true;
                    break;
                }
                _ => seen.add(event)?,
            }
        }
        if !ready {
            return Err(IdentityError::NotReady);
        }
        let later = events
            .take(MAX_LATER)
            .map(|(_, event)| event.name.clone())
            .collect();
        Self::of(seen, later)
    }

    fn of(seen: Seen<'_>, later: Vec<String>) -> Result<Self, IdentityError> {
        let key_provider = seen
            .key_provider
            .ok_or(IdentityError::Missing("key-provider"))?;
        let instance_id = match seen.instance_id {
            None => return Err(IdentityError::Missing("instance-id")),
            Some([]) => None,
            Some(payload) => Some(exactly(payload, "instance-id")?),
        };
        Ok(Self {
            app_id: needed(seen.app_id, "app-id")?,
            compose_hash: needed(seen.compose_hash, "compose-hash")?,
            instance_id,
            key_provider: read_key_provider(key_provider)?,
            init_scripts: seen
                .init_scripts
                .into_iter()
                .map(|payload| exactly(payload, "init-script-hash"))
                .collect::<Result<_, _>>()?,
            gpu_policy_hash: optional(seen.gpu_policy_hash, "gpu-policy-hash")?,
            gpu_attestation_bytes: seen.gpu_attestation.map(<[u8]>::len),
            rootfs_hash: optional(seen.rootfs_hash, "rootfs-hash")?,
            // A KMS that does not know the image answers with nothing.
            os_image_hash: optional(
                seen.os_image_hash.filter(|payload| !payload.is_empty()),
                "os-image-hash",
            )?,
            storage_fs: seen
                .storage_fs
                .map(|payload| text(payload, "storage-fs"))
                .transpose()?,
            other: seen.other,
            later,
        })
    }
}

fn exactly<const N: usize>(payload: &[u8], name: &'static str) -> Result<Hex<N>, IdentityError> {
    payload
        .try_into()
        .map(Hex)
        .map_err(|_| IdentityError::Payload(name))
}

fn needed<const N: usize>(
    payload: Option<&[u8]>,
    name: &'static str,
) -> Result<Hex<N>, IdentityError> {
    exactly(payload.ok_or(IdentityError::Missing(name))?, name)
}

fn optional<const N: usize>(
    payload: Option<&[u8]>,
    name: &'static str,
) -> Result<Option<Hex<N>>, IdentityError> {
    payload.map(|payload| exactly(payload, name)).transpose()
}

fn text(payload: &[u8], name: &'static str) -> Result<String, IdentityError> {
    Some(payload)
        .filter(|payload| payload.len() <= MAX_TEXT)
        .and_then(|payload| core::str::from_utf8(payload).ok())
        .map(str::to_owned)
        .ok_or(IdentityError::Payload(name))
}

fn read_key_provider(payload: &[u8]) -> Result<KeyProvider, IdentityError> {
    if payload.len() > MAX_TEXT {
        return Err(IdentityError::Payload("key-provider"));
    }
    serde_json::from_slice(payload).map_err(|_| IdentityError::Payload("key-provider"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dstack::log::{RUNTIME_EVENT, Version, runtime_digest};

    fn event(name: &str, payload: &[u8]) -> Event {
        Event {
            rtmr: 3,
            kind: RUNTIME_EVENT,
            name: name.into(),
            payload: payload.into(),
            digest: runtime_digest(name, payload, Version::V1),
        }
    }

    fn sound() -> Vec<Event> {
        vec![
            event("system-preparing", b""),
            event("app-id", &[1; 20]),
            event("compose-hash", &[2; 32]),
            event("init-script-hash", &[3; 32]),
            event("init-script-hash", &[4; 32]),
            event("gpu-policy-hash", &[5; 32]),
            event("instance-id", &[6; 20]),
            event("boot-mr-done", b""),
            event("os-image-hash", &[7; 32]),
            event("key-provider", br#"{"name":"kms","id":"30"}"#),
            event("storage-fs", b"zfs"),
            event("system-ready", b""),
            event("app-id", &[9; 20]),
        ]
    }

    fn read(events: Vec<Event>) -> Result<Identity, IdentityError> {
        Identity::read(&EventLog { events })
    }

    fn changed(change: impl FnOnce(&mut Vec<Event>)) -> IdentityError {
        let mut events = sound();
        change(&mut events);
        read(events).unwrap_err()
    }

    #[test]
    fn an_identity_is_what_comes_before_system_ready() {
        let identity = read(sound()).unwrap();
        assert_eq!(identity.app_id.0, [1; 20]);
        assert_eq!(identity.compose_hash.0, [2; 32]);
        assert_eq!(identity.instance_id.unwrap().0, [6; 20]);
        assert_eq!(identity.init_scripts.len(), 2);
        assert_eq!(identity.key_provider.name, "kms");
        assert_eq!(identity.os_image_hash.unwrap().0, [7; 32]);
        assert_eq!(identity.storage_fs.as_deref(), Some("zfs"));
        assert_eq!(identity.later, ["app-id"]);
        let mut none = sound();
        none[6] = event("instance-id", b"");
        assert_eq!(read(none).unwrap().instance_id, None);
    }

    #[test]
    fn what_is_there_twice_is_refused_before_system_ready() {
        for at in [1, 2, 5, 6, 7, 8, 9, 10] {
            let name = sound()[at].name.clone();
            let twice = sound()[at].clone();
            let error = changed(|events| events.insert(3, twice));
            assert!(error.to_string().contains("twice"), "{name}: {error}");
        }
        assert_eq!(
            changed(|events| events.insert(1, event("system-preparing", b""))),
            IdentityError::Duplicate("system-preparing")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (at, expected) in [
            (0, IdentityError::NotPreparing),
            (1, IdentityError::Missing("app-id")),
            (2, IdentityError::Missing("compose-hash")),
            (6, IdentityError::Missing("instance-id")),
            (9, IdentityError::Missing("key-provider")),
            (11, IdentityError::Duplicate("app-id")),
        ] {
            assert_eq!(
                changed(|events| {
                    events.remove(at);
                }),
                expected
            );
        }
        assert_eq!(
            changed(|events| events.truncate(11)),
            IdentityError::NotReady
        );
        assert_eq!(changed(Vec::clear), IdentityError::NotReady);
    }

    /// The true system-ready hidden as an event of another type, so that what
    /// the application measured later would be the identity.
    #[test]
    fn nothing_can_be_hidden_before_system_ready() {
        for at in 0..12 {
            assert_eq!(
                changed(|events| events[at].kind = 10),
                IdentityError::Opaque(at)
            );
        }
        // The same digest with the border elsewhere.
        let moved = event("key-provider:{\"name\"", br#""kms","id":"30"}"#);
        assert_eq!(moved.digest, sound()[9].digest);
        assert_eq!(changed(|events| events[9] = moved), IdentityError::Name(9));
        assert_eq!(
            changed(|events| events[3] = event("a\nb", b"")),
            IdentityError::Name(3)
        );
        // After it, anything.
        let mut later = sound();
        later.push(event("a:b", b""));
        later[12].kind = 10;
        assert_eq!(read(later).unwrap().later, ["app-id", "a:b"]);
    }

    #[test]
    fn payloads_must_hold_what_they_must() {
        for (at, name, payload) in [
            (1, "app-id", &[1; 19][..]),
            (2, "compose-hash", &[1; 33]),
            (3, "init-script-hash", &[]),
            (5, "gpu-policy-hash", &[1]),
            (6, "instance-id", &[1; 32]),
            (8, "os-image-hash", &[1; 31]),
            (9, "key-provider", b"{}"),
            (9, "key-provider", br#"{"name":"kms"}"#),
            (9, "key-provider", &[b' '; MAX_TEXT + 1]),
            (10, "storage-fs", &[0xff]),
        ] {
            let error = changed(|events| events[at] = event(name, payload));
            assert_eq!(error, IdentityError::Payload(name));
        }
        let error = changed(|events| {
            for _ in 0..4 {
                events.insert(3, event("init-script-hash", &[1; 32]));
            }
        });
        assert_eq!(error, IdentityError::Payload("init-script-hash"));
    }
}
