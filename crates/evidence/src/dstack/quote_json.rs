//! The guest agent's GetQuote answer (dstack, agent_rpc.proto:
//! `GetQuoteResponse`, `TdxQuoteResponse`), as the files `quote.json` hold it:
//! bytes in hex, the event log as JSON in a string or as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use soundproof_protocol::attestation::MAX_EVIDENCE;

/// Bytes of a file that are read at most.
pub const MAX_QUOTE_JSON: usize = 4 * MAX_EVIDENCE;

/// Why bytes are no GetQuote answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteJsonError {
    /// Longer than [`MAX_QUOTE_JSON`].
    #[error("{0} bytes, at most {MAX_QUOTE_JSON} are read")]
    TooLong(usize),
    /// Not an object in JSON with a quote in it.
    #[error("not a GetQuote answer in JSON: line {line}, column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A field that does not hold what it must.
    #[error("{0}")]
    Field(&'static str),
}

/// What was read. Nothing of it was verified, and what stands beside the
/// quote is the word of whoever wrote the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuoteJson {
    /// The quote.
    pub quote: Vec<u8>,
    /// The event log, in JSON; none if the file has none.
    pub event_log: Option<Vec<u8>>,
    /// The report data that was asked for, if the file says.
    pub report_data: Option<[u8; 64]>,
    /// What the host says of the virtual machine, if the file has it.
    pub vm_config: Option<VmConfig>,
    /// Who hashed what into the report data (old guests).
    pub hash_algorithm: Option<String>,
    /// What was put before it (old guests).
    pub prefix: Option<String>,
}

/// What the host says of the virtual machine (dstack-types, `VmConfig`).
/// Claims: only measurements count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct VmConfig {
    /// Hash of the OS image, hex.
    pub os_image_hash: String,
    /// Virtual processors.
    pub cpu_count: u32,
    /// Bytes of memory.
    pub memory_size: u64,
    /// GPUs.
    pub num_gpus: u32,
    /// Name of the OS image.
    pub image: Option<String>,
}

impl VmConfig {
    /// Whether the image's name is that of a development image, on which the
    /// operator can log in.
    pub fn claims_development(&self) -> bool {
        self.image
            .as_deref()
            .is_some_and(|image| image.split(['-', '_', '.']).any(|part| part == "dev"))
    }
}

#[derive(Deserialize)]
struct Raw {
    quote: String,
    #[serde(default)]
    event_log: Value,
    #[serde(default)]
    report_data: Option<String>,
    #[serde(default)]
    vm_config: Value,
    #[serde(default)]
    hash_algorithm: Option<String>,
    #[serde(default)]
    prefix: Option<String>,
}

impl QuoteJson {
    /// Reads one.
    ///
    /// # Errors
    /// [`QuoteJsonError`]; never panics, and takes memory in proportion to the
    /// input only.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteJsonError> {
        if bytes.len() > MAX_QUOTE_JSON {
            return Err(QuoteJsonError::TooLong(bytes.len()));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| QuoteJsonError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        let quote = from_hex(&raw.quote).ok_or(QuoteJsonError::Field("the quote is not in hex"))?;
        let report_data = raw
            .report_data
            .filter(|text| !text.is_empty())
            .map(|text| {
                from_hex(&text)
                    .and_then(padded)
                    .ok_or(QuoteJsonError::Field(
                        "report_data is not 64 bytes or fewer in hex",
                    ))
            })
            .transpose()?;
        let event_log = inner(raw.event_log);
        let vm_config = inner(raw.vm_config)
            .map(|text| {
                serde_json::from_slice(&text)
                    .map_err(|_| QuoteJsonError::Field("vm_config is not what a host writes"))
            })
            .transpose()?;
        Ok(Self {
            quote,
            event_log,
            report_data,
            vm_config,
            hash_algorithm: raw.hash_algorithm,
            prefix: raw.prefix,
        })
    }
}

/// JSON in a string, or as it is; none for nothing.
fn inner(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into_bytes()).filter(|text| !text.is_empty()),
        other => serde_json::to_vec(&other).ok(),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

/// As the guest agent does: zeros after it.
fn padded(bytes: Vec<u8>) -> Option<[u8; 64]> {
    let mut out = [0; 64];
    out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_each_of_its_forms() {
        let parse = |text: &str| QuoteJson::parse(text.as_bytes());
        let one = parse(r#"{"quote":"0400","event_log":"[]","report_data":"1234","vm_config":"{\"image\":\"dstack-dev-0.5.0\",\"cpu_count\":2}","new":1}"#).unwrap();
        assert_eq!(one.quote, [4, 0]);
        assert_eq!(one.event_log.as_deref(), Some(&b"[]"[..]));
        assert_eq!(one.report_data.unwrap()[..3], [0x12, 0x34, 0]);
        assert!(one.vm_config.unwrap().claims_development());
        let two = parse(r#"{"quote":"0x0400","event_log":[ ],"vm_config":""}"#).unwrap();
        assert_eq!(two.event_log.as_deref(), Some(&b"[]"[..]));
        assert_eq!((two.vm_config, two.report_data), (None, None));
        let three = parse(r#"{"quote":"","event_log":"","vm_config":null}"#).unwrap();
        assert_eq!(three.event_log, None);
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"quote":"4"}"#,
            r#"{"quote":"00","quote":"00"}"#,
            r#"{"quote":"00","report_data":"zz"}"#,
            r#"{"quote":"00","vm_config":"x"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(
            parse(&format!(
                r#"{{"quote":"00","report_data":"{}"}}"#,
                "00".repeat(65)
            ))
            .is_err()
        );
        assert!(QuoteJson::parse(&vec![b' '; 100_000_000]).is_err());
    }
}
