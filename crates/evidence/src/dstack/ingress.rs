//! What dstack-ingress (dstack-examples, custom-domain) binds a quote to: the
//! file `sha256sum.txt`, which names the ACME account and the TLS
//! certificates by SHA-256. The quote's report data is the SHA-256 of that
//! file, and 32 zeros.
//!
//! It shows that a guest had these certificates when it asked for the quote.
//! There is no nonce in it, so it does not show when; no tag, so any other
//! program in the guest that has quotes made of bytes of its choosing can say
//! the same; and nothing of where the private keys are.

use sha2::{Digest as _, Sha256};

/// Bytes of a list at most.
pub const MAX_LIST: usize = 64 * 1024;
/// Lines of a list at most.
const MAX_LINES: usize = 256;

/// What such evidence does not show.
pub const NOT_SHOWN: [&str; 3] = [
    "when it was made: it carries nobody's nonce, so an old one looks the same",
    "what the report data was meant for: it has no domain tag, so whoever can have quotes made in the guest could have made it",
    "that only the guest has the certificates' private keys",
];

/// Why bytes are no such list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Longer than [`MAX_LIST`], or of too many lines.
    #[error("too long for a list of certificates")]
    TooLong,
    /// Not as sha256sum writes it; which line, from 1.
    #[error("line {0} is not as sha256sum writes it")]
    Line(usize),
    /// One name twice.
    #[error("line {0} names a file again")]
    Twice(usize),
    /// Nothing in it.
    #[error("it names no file")]
    Empty,
}

/// A list as `sha256sum` writes it: 64 hex digits, a space, a space or `*`,
/// the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256Sums {
    digest: [u8; 32],
    files: Vec<(String, [u8; 32])>,
}

impl Sha256Sums {
    /// Reads one.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        if bytes.len() > MAX_LIST {
            return Err(ListError::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| ListError::Line(1))?;
        let mut files: Vec<(String, [u8; 32])> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if number > MAX_LINES {
                return Err(ListError::TooLong);
            }
            let (digest, name) = read_line(line).ok_or(ListError::Line(number))?;
            if files.iter().any(|(known, _)| known == name) {
                return Err(ListError::Twice(number));
            }
            files.push((name.to_owned(), digest));
        }
        if files.is_empty() {
            return Err(ListError::Empty);
        }
        Ok(Self {
            digest: Sha256::digest(bytes).into(),
            files,
        })
    }

    /// The report data that a quote for this list carries: SHA-256 of the
    /// list's bytes, and zeros.
    pub fn report_data(&self) -> [u8; 64] {
        let mut out = [0; 64];
        if let Some(start) = out.first_chunk_mut() {
            *start = self.digest;
        }
        out
    }

    /// Names and SHA-256 of what it lists.
    pub fn files(&self) -> &[(String, [u8; 32])] {
        &self.files
    }

    /// The name under which these bytes are in the list.
    pub fn name_of(&self, file: &[u8]) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(file).into();
        self.files
            .iter()
            .find_map(|(name, listed)| (*listed == digest).then_some(name.as_str()))
    }
}

fn read_line(line: &str) -> Option<([u8; 32], &str)> {
    let (digits, rest) = line.split_at_checked(64)?;
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok()?;
    let name = rest
        .strip_prefix("  ")
        .or_else(|| rest.strip_prefix(" *"))?;
    (!name.is_empty() && !name.chars().any(char::is_control)).then_some((digest, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_files_by_digest() {
        let list = format!(
            "{}  acme-account.json\n{} *cert-a.pem\n",
            hex::encode(Sha256::digest(b"account")),
            hex::encode(Sha256::digest(b"certificate"))
        );
        let sums = Sha256Sums::parse(list.as_bytes()).unwrap();
        assert_eq!(sums.name_of(b"certificate"), Some("cert-a.pem"));
        assert_eq!(sums.name_of(b"another"), None);
        assert_eq!(
            sums.report_data()[..32],
            Sha256::digest(list.as_bytes())[..]
        );
        assert_eq!(sums.report_data()[32..], [0; 32]);
        let digest = "00".repeat(32);
        for bad in [
            String::new(),
            "x".into(),
            format!("{digest} a"),
            format!("{digest}  "),
            format!("\\{digest}  a"),
            format!("{digest}  a\n{digest}  a"),
            format!("{}  a", &digest[1..]),
            format!("{digest}  a\n\n"),
            format!("{digest}  a\n").repeat(300),
            "é".repeat(40),
        ] {
            assert!(Sha256Sums::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(Sha256Sums::parse(&[0xff; 10]), Err(ListError::Line(1)));
        assert_eq!(
            Sha256Sums::parse(&vec![b'0'; 100_000_000]),
            Err(ListError::TooLong)
        );
    }
}
