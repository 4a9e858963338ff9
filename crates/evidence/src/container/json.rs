//! Evidence as text: hex, base64, tokens, and the JSON that people wrap it in.

use super::{Found, Inside, azure, binary::quote_platform, gpus};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::PAD},
};
use minicbor::Encode;
use serde_json::Value;
use soundproof_protocol::{
    attestation::{Evidence, Platform},
    cbor::{self, Bytes},
};

/// Padded or not: people do both, in both alphabets.
const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// dstack's event log, as evidence carries it.
#[derive(Encode)]
#[cbor(map)]
struct DstackLog {
    #[n(0)]
    events: Bytes,
}

/// What it is called, and what is in it.
pub(super) fn text(bytes: &[u8]) -> Option<(&'static str, Inside)> {
    let text = core::str::from_utf8(bytes).ok()?.trim();
    if text.starts_with(['{', '[']) {
        let value: Value = serde_json::from_str(text).ok()?;
        let found = json(&value)?;
        return Some(("JSON", found));
    }
    if let Some(claims) = token(text) {
        return Some(("a JWT", Inside::Found(Found::Token(claims))));
    }
    let joined: String = text.split_ascii_whitespace().collect();
    if let Some(bytes) = from_hex(&joined) {
        return Some(("hex", Inside::Bytes(bytes)));
    }
    let bytes = from_base64(&joined)?;
    Some(("base64", Inside::Bytes(bytes)))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    (!text.is_empty()).then(|| hex::decode(text).ok()).flatten()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    (!text.is_empty())
        .then(|| BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)))?
        .ok()
}

/// Bytes in JSON: a string of hex or base64, or a list of numbers.
pub(super) fn bytes_in(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => from_hex(text).or_else(|| from_base64(text)),
        Value::Array(list) => {
            let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
            list.iter().map(byte).collect()
        }
        _ => None,
    }
}

fn token(text: &str) -> Option<Value> {
    let mut parts = text.split('.');
    let (header, claims) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let read = |part: &str| {
        let bytes = BASE64_URL.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    Some(serde_json::json!({ "header": read(header)?, "claims": read(claims)? }))
}

fn json(value: &Value) -> Option<Inside> {
    if let Some(found) = azure::trustee(value) {
        return Some(Inside::Found(found));
    }
    // NVIDIA's detached token: one about all GPUs, and one about each.
    if let Some(claims) = detached(value) {
        return Some(Inside::Found(Found::Token(claims)));
    }
    // NVIDIA's list, by itself or with a nonce beside it.
    let list = value.get("evidence_list").unwrap_or(value);
    if let Some(list) = list.as_array() {
        let gpu = |entry: &Value| {
            let report = bytes_in(entry.get("evidence")?)?;
            let chain = entry.get("certificate").and_then(bytes_in);
            Some((report, chain.unwrap_or_default()))
        };
        let list: Option<Vec<_>> = list.iter().map(gpu).collect();
        return list
            .filter(|list| !list.is_empty())
            .map(|list| Inside::Found(gpus(list)));
    }
    if let Some(quote) = value.get("quote").and_then(bytes_in) {
        return Some(quote_in_json(value, quote));
    }
    // What else holds evidence under a name of its own.
    [
        "evidence",
        "attestation",
        "attestation_document",
        "document",
        "report",
    ]
    .into_iter()
    .find_map(|name| value.get(name).and_then(bytes_in))
    .map(Inside::Bytes)
}

/// `[["JWT", token], {"GPU-0": token, …}]`.
fn detached(value: &Value) -> Option<Value> {
    let [overall, each] = value.as_array()?.as_slice() else {
        return None;
    };
    let overall = token(overall.as_array()?.get(1)?.as_str()?)?;
    let each = each.as_object()?.iter();
    let each: serde_json::Map<_, _> = each
        .filter_map(|(name, text)| Some((name.clone(), token(text.as_str()?)?)))
        .collect();
    Some(serde_json::json!({ "overall": overall, "each": each }))
}

/// A quote with what stands beside it: dstack's event log (JSON, mostly in a
/// string) or a CC event log in base64.
fn quote_in_json(value: &Value, quote: Vec<u8>) -> Inside {
    let log = match value.get("event_log") {
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            Some(text.clone().into_bytes())
        }
        Some(list @ Value::Array(_)) => Some(list.to_string().into_bytes()),
        _ => None,
    };
    let ccel = value.get("cc_eventlog").and_then(bytes_in);
    match (quote_platform(&quote), log, ccel) {
        (Some(Platform::Tdx), Some(events), _) => {
            let log = DstackLog {
                events: Bytes(events),
            };
            with_log(Platform::Dstack, quote, cbor::to_vec(&log))
        }
        (Some(Platform::Tdx), None, Some(ccel)) => with_log(Platform::Tdx, quote, ccel),
        _ => Inside::Bytes(quote),
    }
}

fn with_log(platform: Platform, quote: Vec<u8>, log: Vec<u8>) -> Inside {
    Inside::Found(Found::Evidence(
        Box::new(Evidence {
            platform,
            statement: Bytes(quote),
            event_log: Some(Bytes(log)),
            gpu: None,
            runtime: None,
        }),
        None,
    ))
}
