//! The folder of policies: `NAME.toml` each, read once at the start, so that a
//! name means one thing for as long as the process lives.

use crate::VerifierError;
use soundproof_evidence::{Policy, policy::MAX_POLICY};
use soundproof_protocol::digest::Digest;
use std::{collections::BTreeMap, io::Read as _, path::Path};

/// Policies at most.
const MAX_POLICIES: usize = 1024;
/// Characters of a name at most.
const MAX_NAME: usize = 64;

/// One policy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Named {
    /// What it accepts.
    pub policy: Policy,
    /// [`Policy::digest`]: comments and the order of keys do not count.
    pub digest: Digest,
}

/// See the module.
#[derive(Debug)]
pub struct Policies(BTreeMap<String, Named>);

impl Policies {
    /// Reads a folder. A file that is no policy stops the start, and so does a
    /// folder without any.
    ///
    /// # Errors
    /// [`VerifierError::Policy`].
    pub fn read(folder: &Path) -> Result<Self, VerifierError> {
        let wrong = |path: &Path, why: String| VerifierError::Policy {
            path: path.display().to_string(),
            why,
        };
        let mut policies = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|error| wrong(folder, error.to_string()))? {
            let path = entry
                .map_err(|error| wrong(folder, error.to_string()))?
                .path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str());
            let name = name.filter(|name| is_name(name)).ok_or_else(|| {
                let why = "a policy's name has 1 to 64 of a-z, 0-9, '-', '_' and '.'";
                wrong(&path, why.into())
            })?;
            if policies.len() == MAX_POLICIES {
                return Err(wrong(folder, format!("more than {MAX_POLICIES} policies")));
            }
            let mut text = String::new();
            std::fs::File::open(&path)
                .and_then(|file| file.take(MAX_POLICY as u64 + 1).read_to_string(&mut text))
                .map_err(|error| wrong(&path, error.to_string()))?;
            let policy =
                Policy::from_toml(&text).map_err(|error| wrong(&path, error.to_string()))?;
            let digest = policy.digest();
            policies.insert(name.to_owned(), Named { policy, digest });
        }
        if policies.is_empty() {
            return Err(wrong(folder, "it holds no policy (NAME.toml)".into()));
        }
        Ok(Self(policies))
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Option<&Named> {
        self.0.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Named)> {
        self.0.iter()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_policies() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Policies::read(folder.path()).is_err(), "none in it");
        std::fs::write(folder.path().join("nothing.toml"), "").unwrap();
        std::fs::write(folder.path().join("README.md"), "not a policy").unwrap();
        let policies = Policies::read(folder.path()).unwrap();
        assert_eq!(policies.names().collect::<Vec<_>>(), ["nothing"]);
        assert_eq!(
            policies.get("nothing").unwrap().digest,
            Policy::default().digest()
        );
        assert!(policies.get("other").is_none());
        for (name, text) in [
            ("Wrong.toml", ""),
            ("typo.toml", "[platfrom.tdx]"),
            ("two words.toml", ""),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let error = Policies::read(folder.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
