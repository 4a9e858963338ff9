//! Who is asking, by API key. Keys are compared as SHA-256 digests, in constant
//! time, and never kept.

use crate::Problem;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use soundproof_protocol::{digest::Digest, error::Code};
use std::{collections::BTreeMap, sync::Arc};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Characters of an API key at most.
const MAX_KEY: usize = 256;
/// Bytes of a holder's name at most.
const MAX_NAME: usize = 64;

/// Those who hold a key, by its digest. A key should be 32 random bytes in any
/// text form: the digest is not salted.
#[derive(Debug)]
pub struct Keys<T>(Vec<(Digest, Arc<T>)>);

impl<T> Keys<T> {
    /// One key and its holder.
    pub fn one(key: &str, holder: T) -> Self {
        Self(vec![(Digest::of(key.as_bytes()), Arc::new(holder))])
    }

    /// Reads a file's text: TOML, a table `[keys.NAME]` for each holder, of
    /// which `read` makes the key's digest and the holder.
    ///
    /// # Errors
    /// What is wrong with it; holds no digest.
    pub fn from_toml<E: DeserializeOwned>(
        text: &str,
        read: impl Fn(&str, E) -> Result<(Digest, T), String>,
    ) -> Result<Self, String> {
        let unreadable = |error: toml::de::Error| error.message().to_owned();
        let mut file: BTreeMap<String, BTreeMap<String, E>> =
            toml::from_str(text).map_err(unreadable)?;
        let entries = file.remove("keys").ok_or("no table `keys`")?;
        if let Some(other) = file.keys().next() {
            return Err(format!("unknown table `{other}`"));
        }
        if entries.is_empty() {
            return Err("no keys".into());
        }
        let mut keys: Vec<(Digest, Arc<T>)> = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            if !(1..=MAX_NAME).contains(&name.len()) {
                return Err("the name of a key's holder must be 1 to 64 bytes".into());
            }
            let (digest, holder) = read(&name, entry)?;
            if keys.iter().any(|(known, _)| *known == digest) {
                return Err(format!("the key of {name} is another's too"));
            }
            keys.push((digest, Arc::new(holder)));
        }
        Ok(Self(keys))
    }

    /// The holder of a key. Takes the same time whichever it is.
    pub fn holder(&self, key: &[u8]) -> Option<&Arc<T>> {
        let digest = Digest::of(key);
        let mut found = u32::MAX;
        for (at, (known, _)) in (0u32..).zip(&self.0) {
            let equal: Choice = known.0.ct_eq(&digest.0);
            found.conditional_assign(&at, equal);
        }
        self.0.get(found as usize).map(|(_, holder)| holder)
    }

    /// The holder of the key that a request carries (`Authorization: Bearer`,
    /// RFC 6750); none if it carries none.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] if it is no key of anybody's.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Option<&Arc<T>>, Problem> {
        match headers.get(header::AUTHORIZATION) {
            None => Ok(None),
            Some(value) => {
                let key = bearer(value.as_bytes()).ok_or(Code::Unauthenticated)?;
                Ok(Some(self.holder(key).ok_or(Code::Unauthenticated)?))
            }
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && (1..=MAX_KEY).contains(&key.len())).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        sha256: Digest,
        number: Option<u32>,
    }

    fn read(text: &str) -> Result<Keys<(String, u32)>, String> {
        Keys::from_toml(text, |name, entry: Entry| {
            Ok((entry.sha256, (name.to_owned(), entry.number.unwrap_or(7))))
        })
    }

    #[test]
    fn only_a_known_key_has_a_holder() {
        let (one, two) = (Digest::of(b"open sesame"), Digest::of(b"please"));
        let text = format!("[keys.alice]\nsha256 = '{one}'\n[keys.bob]\nsha256 = '{two}'");
        let keys = read(&text).unwrap();
        assert_eq!(**keys.holder(b"open sesame").unwrap(), ("alice".into(), 7));
        assert_eq!(keys.holder(b"please").unwrap().0, "bob");
        for wrong in [&b""[..], b"open sesam", b"open sesame ", &one.0] {
            assert!(keys.holder(wrong).is_none());
        }
        assert_eq!(**Keys::one("k", 3).holder(b"k").unwrap(), 3);
    }

    #[test]
    fn a_file_is_read_strictly() {
        let digest = Digest::of(b"x");
        let sound = format!("[keys.a]\nsha256 = '{digest}'");
        read(&sound).unwrap();
        for wrong in [
            "",
            "[keys]",
            "[keys.a]\nsha256 = 'x'",
            "[keys.a]\nsha255 = ''",
            "keys = 1",
            "{",
            &format!("{sound}\nnumbr = 1"),
            &format!("{sound}\n[others.a]\nsha256 = '{digest}'"),
            &format!("{sound}\n[keys.b]\nsha256 = '{digest}'"),
            &format!("[keys.{}]\nsha256 = '{digest}'", "a".repeat(65)),
            &format!("[keys.'']\nsha256 = '{digest}'"),
        ] {
            let why = read(wrong).unwrap_err();
            assert!(!why.contains(&digest.to_string()), "{why}");
        }
    }

    #[test]
    fn headers_are_read_strictly() {
        assert_eq!(bearer(b"Bearer k"), Some(&b"k"[..]));
        assert_eq!(bearer(b"bearer k"), Some(&b"k"[..]));
        for wrong in [&b""[..], b"Bearer", b"Bearer ", b"Basic k", &[b'x'; 600]] {
            assert_eq!(bearer(wrong), None);
        }
        let keys = Keys::one("k", ());
        let mut headers = HeaderMap::new();
        assert!(keys.caller(&headers).unwrap().is_none());
        for (value, known) in [("Bearer k", true), ("Bearer l", false), ("Basic k", false)] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(keys.caller(&headers).is_ok(), known, "{value}");
        }
    }
}
