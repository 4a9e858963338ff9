//! The event log in JSON, version 1 and 2 of its digests, and its replay
//! (dstack, cc-eventlog: `TdxEvent`, `RuntimeEvent`).

use crate::ccel::{extend, is_data_measured};
use serde::Deserialize;
use sha2::{Digest as _, Sha384};
use soundproof_protocol::attestation::MAX_EVIDENCE;
use std::borrow::Cow;

/// Bytes of a log that are read at most.
pub const MAX_LOG: usize = MAX_EVIDENCE;
/// Events of a log at most.
pub const MAX_EVENTS: usize = 4096;
/// Bytes of an event's name at most.
pub const MAX_NAME: usize = 256;
/// Type of the events that the guest itself measures, into RTMR3.
pub const RUNTIME_EVENT: u32 = 0x0800_0001;
/// Register of the run-time events.
const RTMR3: u8 = 3;

/// How a run-time event's digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// SHA-384 of `type (LE32) ‖ ":" ‖ name ‖ ":" ‖ payload`.
    #[default]
    V1,
    /// SHA-384 of the JCS (RFC 8785) of `{"name", "payload" (hex), "type"}`.
    V2,
}

/// Why bytes are no log that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Longer than [`MAX_LOG`].
    #[error("{0} bytes, at most {MAX_LOG} are read")]
    TooLong(usize),
    /// More than [`MAX_EVENTS`].
    #[error("more than {MAX_EVENTS} events")]
    TooMany,
    /// Not an array of events in JSON; where, without the log's own text.
    #[error("not an event log in JSON, line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A field that does not hold what it must.
    #[error("event {index}: {what}")]
    Field {
        /// Which event, from 0.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The digest is not that of the payload.
    #[error("event {index}: its digest is not that of its payload")]
    Digest {
        /// Which event, from 0.
        index: usize,
    },
}

/// One event, its digest computed from its payload where that is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// RTMR that it extended, 0 to 3.
    pub rtmr: u8,
    /// Type.
    pub kind: u32,
    /// Name; of events that firmware measured it is nobody's word.
    pub name: String,
    /// Payload; vouched for only of run-time events, and of those whose type
    /// says that it is what was measured.
    pub payload: Vec<u8>,
    /// SHA-384 digest.
    pub digest: [u8; 48],
}

impl Event {
    /// Whether the guest measured it, so that the quote vouches for its name
    /// and payload.
    pub fn is_runtime(&self) -> bool {
        self.kind == RUNTIME_EVENT
    }
}

/// A log that was read, every digest with a payload to it computed anew; not
/// compared with a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog {
    /// The events, in order.
    pub events: Vec<Event>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    imr: u32,
    event_type: u32,
    #[serde(borrow, default)]
    digest: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    event_payload: Cow<'a, str>,
    #[serde(default)]
    version: Option<u32>,
    #[serde(borrow, default)]
    preimage: Option<Cow<'a, str>>,
}

impl EventLog {
    /// Reads one, and computes every digest that can be computed. Keys that
    /// are not known are passed over: they decide nothing.
    ///
    /// # Errors
    /// [`LogError`]; never panics, and takes memory in proportion to the input
    /// only.
    pub fn parse(json: &[u8]) -> Result<Self, LogError> {
        if json.len() > MAX_LOG {
            return Err(LogError::TooLong(json.len()));
        }
        let raw: Vec<Raw<'_>> = serde_json::from_slice(json).map_err(|error| LogError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        if raw.len() > MAX_EVENTS {
            return Err(LogError::TooMany);
        }
        let events = raw
            .iter()
            .enumerate()
            .map(|(index, raw)| event(index, raw))
            .collect::<Result<_, _>>()?;
        Ok(Self { events })
    }

    /// Values of RTMR0 to RTMR3 after all events, from zero.
    pub fn replay(&self) -> [[u8; 48]; 4] {
        let mut registers = [[0; 48]; 4];
        for event in &self.events {
            if let Some(register) = registers.get_mut(usize::from(event.rtmr)) {
                extend(register, &event.digest);
            }
        }
        registers
    }
}

fn event(index: usize, raw: &Raw<'_>) -> Result<Event, LogError> {
    let field = |what| LogError::Field { index, what };
    let rtmr = u8::try_from(raw.imr)
        .ok()
        .filter(|rtmr| *rtmr <= RTMR3)
        .ok_or(field("imr is not 0 to 3"))?;
    if raw.event.len() > MAX_NAME {
        return Err(field("a name that is too long"));
    }
    let payload =
        hex::decode(raw.event_payload.as_ref()).map_err(|_| field("event_payload is not hex"))?;
    let claimed = if raw.digest.is_empty() {
        None
    } else {
        let mut digest = [0; 48];
        hex::decode_to_slice(raw.digest.as_ref(), &mut digest)
            .map_err(|_| field("digest is not 96 hex digits"))?;
        Some(digest)
    };
    let digest = if raw.event_type == RUNTIME_EVENT {
        if rtmr != RTMR3 {
            return Err(field("a run-time event outside RTMR3"));
        }
        let version = match raw.version {
            None | Some(1) => Version::V1,
            Some(2) => Version::V2,
            Some(_) => return Err(field("a version that is not known")),
        };
        let preimage = preimage(&raw.event, &payload, version);
        let given = raw
            .preimage
            .as_ref()
            .map(|text| hex::decode(text.as_ref()).map_err(|_| field("preimage is not hex")))
            .transpose()?;
        match (version, given) {
            (Version::V2, None) => return Err(field("version 2 without its preimage")),
            (_, Some(given)) if given != preimage => {
                return Err(field("a preimage that is not the event's"));
            }
            _ => {}
        }
        let digest: [u8; 48] = Sha384::digest(&preimage).into();
        if claimed.is_some_and(|claimed| claimed != digest) {
            return Err(LogError::Digest { index });
        }
        digest
    } else {
        let digest = claimed.ok_or(field("no digest"))?;
        // The guest agent strips payloads of firmware's events.
        if !payload.is_empty()
            && is_data_measured(raw.event_type)
            && Sha384::digest(&payload).as_slice() != digest
        {
            return Err(LogError::Digest { index });
        }
        digest
    };
    Ok(Event {
        rtmr,
        kind: raw.event_type,
        name: raw.event.clone().into_owned(),
        payload,
        digest,
    })
}

/// The digest of a run-time event.
pub fn runtime_digest(name: &str, payload: &[u8], version: Version) -> [u8; 48] {
    Sha384::digest(preimage(name, payload, version)).into()
}

/// What is hashed.
pub(crate) fn preimage(name: &str, payload: &[u8], version: Version) -> Vec<u8> {
    match version {
        Version::V1 => {
            let mut out = Vec::with_capacity(6 + name.len() + payload.len());
            out.extend(RUNTIME_EVENT.to_le_bytes());
            out.push(b':');
            out.extend(name.as_bytes());
            out.push(b':');
            out.extend(payload);
            out
        }
        // RFC 8785: keys in order, strings as ECMAScript writes them, which is
        // how serde_json does.
        Version::V2 => format!(
            "{{\"name\":{},\"payload\":\"{}\",\"type\":{RUNTIME_EVENT}}}",
            serde_json::Value::from(name),
            hex::encode(payload)
        )
        .into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(changes: &str) -> String {
        format!(
            r#"[{{"imr":3,"event_type":134217729,"event":"app-id","event_payload":"00ff"{changes}}}]"#
        )
    }

    fn digest(version: Version) -> String {
        hex::encode(runtime_digest("app-id", &[0, 0xff], version))
    }

    fn v2_preimage() -> String {
        hex::encode(r#"{"name":"app-id","payload":"00ff","type":134217729}"#)
    }

    #[test]
    fn both_versions_are_computed_and_never_taken() {
        let parse = |text: String| EventLog::parse(text.as_bytes());
        let v1 = parse(one("")).unwrap();
        assert_eq!(hex::encode(v1.events[0].digest), digest(Version::V1));
        assert_eq!(
            v1.events[0].digest.as_slice(),
            Sha384::digest(b"\x01\0\0\x08:app-id:\x00\xff").as_slice()
        );
        // As it is stripped, and as it is whole.
        assert!(parse(one(r#","digest":"""#)).is_ok());
        assert!(parse(one(&format!(r#","digest":"{}""#, digest(Version::V1)))).is_ok());
        assert_eq!(
            parse(one(&format!(r#","digest":"{}""#, "00".repeat(48)))),
            Err(LogError::Digest { index: 0 })
        );
        let v2 = format!(r#","version":2,"preimage":"{}""#, v2_preimage());
        let v2 = parse(one(&v2)).unwrap();
        assert_eq!(hex::encode(v2.events[0].digest), digest(Version::V2));
        assert_ne!(v1.events, v2.events);
        // The digest of the other version.
        let other = format!(
            r#","version":2,"preimage":"{}","digest":"{}""#,
            v2_preimage(),
            digest(Version::V1)
        );
        assert_eq!(parse(one(&other)), Err(LogError::Digest { index: 0 }));
    }

    #[test]
    fn a_preimage_must_be_the_events() {
        for (changes, what) in [
            (r#","version":2"#.to_owned(), "without its preimage"),
            (
                format!(
                    r#","version":2,"preimage":"{}""#,
                    hex::encode(r#"{"name":"app-id", "payload":"00ff","type":134217729}"#)
                ),
                "not the event's",
            ),
            (
                format!(r#","version":1,"preimage":"{}""#, v2_preimage()),
                "not the event's",
            ),
            (r#","version":3"#.to_owned(), "not known"),
            (r#","version":2,"preimage":"zz""#.to_owned(), "not hex"),
        ] {
            let error = EventLog::parse(one(&changes).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(what), "{changes}: {error}");
        }
    }

    /// RFC 8785, 3.2.2.2.
    #[test]
    fn names_are_escaped_as_jcs_says() {
        let text = String::from_utf8(preimage("a\"\\\u{8}\n\u{1}ü/", &[], Version::V2)).unwrap();
        assert_eq!(
            text,
            "{\"name\":\"a\\\"\\\\\\b\\n\\u0001ü/\",\"payload\":\"\",\"type\":134217729}"
        );
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let firmware = |imr: u32, kind: u32, digest: &str, payload: &str| {
            format!(
                r#"[{{"imr":{imr},"event_type":{kind},"digest":"{digest}","event":"","event_payload":"{payload}"}}]"#
            )
        };
        let separator = hex::encode(Sha384::digest([0; 4]));
        let parse = |text: &str| EventLog::parse(text.as_bytes());
        assert!(parse("[]").is_ok());
        assert!(parse(&firmware(0, 4, &separator, "00000000")).is_ok());
        assert!(parse(&firmware(0, 4, &separator, "")).is_ok());
        assert!(parse(&firmware(0, 10, &separator, "41")).is_ok());
        for bad in [
            firmware(0, 4, &separator, "00000001"),
            firmware(0, 4, "", "00000000"),
            firmware(0, 4, &separator[2..], ""),
            firmware(4, 4, &separator, ""),
            firmware(0, RUNTIME_EVENT, "", ""),
            firmware(0, 4, &separator, "0"),
            "{}".into(),
            "[{}]".into(),
            "[".repeat(100_000),
            one(r#","event":"twice""#),
            one("").replace("app-id", &"n".repeat(MAX_NAME + 1)),
        ] {
            assert!(parse(&bad).is_err(), "{}", &bad[..bad.len().min(200)]);
        }
        let event = r#"{"imr":3,"event_type":134217729,"event":"","event_payload":""},"#;
        let many = format!("[{}]", event.repeat(MAX_EVENTS + 1).trim_end_matches(','));
        assert_eq!(parse(&many), Err(LogError::TooMany));
        assert_eq!(
            EventLog::parse(&vec![b' '; 100_000_000]),
            Err(LogError::TooLong(100_000_000))
        );
    }
}
