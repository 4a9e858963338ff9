//! Those who may ask, by their API keys.

use crate::VerifierError;
use serde::Deserialize;
use soundproof_http::{keys::Keys, rates::Rate};
use soundproof_protocol::digest::Digest;
use std::{num::NonZeroU32, path::Path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: Digest,
    requests_per_minute: Option<NonZeroU32>,
}

/// Reads the file; see [`api_keys`](crate::VerifierConfig::api_keys).
///
/// # Errors
/// [`VerifierError::Config`]; holds no digest.
pub(crate) fn read(path: &Path) -> Result<Keys<Rate>, VerifierError> {
    std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| from_toml(&text))
        .map_err(|why| VerifierError::Config(format!("{}: {why}", path.display())))
}

fn from_toml(text: &str) -> Result<Keys<Rate>, String> {
    Keys::from_toml(text, |_, entry: Entry| {
        let rate = entry.requests_per_minute;
        let rate = rate.unwrap_or(const { NonZeroU32::new(600).unwrap() });
        Ok((entry.sha256, Rate::per_minute(rate)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use soundproof_protocol::error::Code;

    #[test]
    fn each_key_has_its_own_rate() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let text = format!(
            "[keys.a]\nsha256 = '{one}'\nrequests_per_minute = 1\n[keys.b]\nsha256 = '{two}'"
        );
        let keys = from_toml(&text).unwrap();
        let check = |key: &[u8]| keys.holder(key).unwrap().check(Code::RateLimited);
        check(b"one").unwrap();
        assert!(check(b"one").is_err());
        for _ in 0..10 {
            check(b"two").unwrap();
        }
        for wrong in [
            text.replace("= 1\n", "= 0\n"),
            text.replace("requests_per_minute", "requests"),
            text.replace("keys.a", "tenants.a"),
        ] {
            assert!(from_toml(&wrong).is_err(), "{wrong}");
        }
    }
}
