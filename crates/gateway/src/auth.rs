//! Who is asking: a tenant by its API key, or the holder of one job's access
//! secret. Secrets are compared as SHA-256 digests, in constant time, and
//! never kept.

use crate::{app::App, problem::Problem, rates, server::Door};
use axum::extract::{FromRequestParts, Path};
use http::{header, request::Parts};
use serde::Deserialize;
use soundproof_jobs::{Job, Quota};
use soundproof_protocol::{
    api::ACCESS_HEADER, digest::Digest, error::Code, id::JobId, ticket::AccessSecret,
};
use std::{collections::BTreeMap, num::NonZeroU32, path::Path as FilePath, sync::Arc};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// Characters of an API key at most.
const MAX_KEY: usize = 256;
/// The name that jobs of the direct path are kept under.
pub(crate) const DIRECT: &str = "sp1_direct";

/// The tenants, by the digests of their keys. The file is TOML:
///
/// ```toml
/// [keys.alice]                # the tenant's name
/// sha256 = "9f86d0…"          # of the key; the key itself is nowhere
/// concurrent_jobs = 16        # jobs that have not ended; default 64
/// stored_bytes = 10737418240  # default 64 GiB
/// sessions_per_minute = 600   # default 600
/// ```
/// A key should be 32 random bytes in any text form: the digest is not salted.
#[derive(Debug)]
pub struct ApiKeys {
    keys: Vec<(Digest, Arc<Tenant>)>,
}

/// Who jobs belong to.
pub(crate) struct Tenant {
    /// Empty where nobody authenticates.
    pub(crate) name: String,
    pub(crate) quota: Quota,
    pub(crate) sessions: rates::Rate,
}

impl core::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tenant({})", self.name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: Digest,
    concurrent_jobs: Option<u64>,
    stored_bytes: Option<u64>,
    sessions_per_minute: Option<NonZeroU32>,
}

impl ApiKeys {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong with it; holds no digest.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if file.keys.is_empty() {
            return Err("no keys".into());
        }
        let mut keys: Vec<(Digest, Arc<Tenant>)> = Vec::with_capacity(file.keys.len());
        for (name, entry) in file.keys {
            if name.is_empty() || name.len() > 64 {
                return Err("a tenant's name must be 1 to 64 bytes".into());
            }
            if name == DIRECT {
                return Err(format!("{DIRECT} is the name of the direct path"));
            }
            if keys.iter().any(|(digest, _)| *digest == entry.sha256) {
                return Err(format!("the key of {name} is another tenant's too"));
            }
            let tenant = Tenant {
                name,
                quota: Quota {
                    jobs: entry.concurrent_jobs.unwrap_or(64),
                    bytes: entry.stored_bytes.unwrap_or(64 << 30),
                },
                sessions: rates::Rate::per_minute(
                    entry
                        .sessions_per_minute
                        .unwrap_or(const { NonZeroU32::new(600).unwrap() }),
                ),
            };
            keys.push((entry.sha256, Arc::new(tenant)));
        }
        Ok(Self { keys })
    }

    /// The one key of this process's own direct path.
    pub(crate) fn direct(key: &str) -> Self {
        let tenant = Tenant {
            name: DIRECT.into(),
            quota: Quota::UNLIMITED,
            sessions: rates::Rate::unlimited(),
        };
        Self {
            keys: vec![(Digest::of(key.as_bytes()), Arc::new(tenant))],
        }
    }

    pub(crate) fn from_file(path: &FilePath) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::from_toml(&text)
    }

    /// The tenant of a key. Takes the same time whichever it is.
    fn tenant(&self, key: &[u8]) -> Option<Arc<Tenant>> {
        let digest = Digest::of(key);
        let mut found = u32::MAX;
        for (at, (known, _)) in (0u32..).zip(&self.keys) {
            let equal: Choice = known.0.ct_eq(&digest.0);
            found.conditional_assign(&at, equal);
        }
        self.keys
            .get(found as usize)
            .map(|(_, tenant)| tenant.clone())
    }
}

/// Who is asking.
pub(crate) struct Caller {
    tenant: Option<Arc<Tenant>>,
    /// Digest of the access secret that was sent.
    access: Option<Access>,
}

enum Access {
    Digest(Digest),
    Malformed,
}

impl Caller {
    /// The tenant that it is.
    pub(crate) fn tenant(&self) -> Result<&Arc<Tenant>, Problem> {
        self.tenant
            .as_ref()
            .ok_or_else(|| Code::Unauthenticated.into())
    }

    /// Whether it may see and steer a job. An access secret that was sent
    /// decides alone.
    fn may(&self, job: &Job) -> bool {
        match (&self.access, &self.tenant) {
            (Some(Access::Digest(digest)), _) => digest.0.ct_eq(&job.access.0).into(),
            (Some(Access::Malformed), _) | (None, None) => false,
            (None, Some(tenant)) => tenant.name == job.tenant,
        }
    }

    /// The job, if it is there and this caller may see it. The two refusals
    /// are the same to the byte.
    pub(crate) async fn job(&self, app: &App, id: &JobId) -> Result<Job, Problem> {
        if self.tenant.is_none() && self.access.is_none() {
            return Err(Code::Unauthenticated.into());
        }
        match app.store.job(id).await? {
            Some(job) if self.may(&job) => Ok(job),
            _ => Err(Code::JobNotFound.into()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let access = parts
            .headers
            .get(ACCESS_HEADER)
            .map(|value| access(value.as_bytes()));
        let inner = parts.extensions.get() == Some(&Door::Inner);
        let keys = match &app.inner {
            Some(keys) if inner => Some(keys),
            None if inner => return Err(Code::Unauthenticated.into()),
            _ => app.keys.as_ref(),
        };
        let tenant = match keys {
            None => Some(app.anonymous.clone()),
            Some(keys) => match parts.headers.get(header::AUTHORIZATION) {
                None => None,
                Some(value) => {
                    let key = bearer(value.as_bytes()).ok_or(Code::Unauthenticated)?;
                    Some(keys.tenant(key).ok_or(Code::Unauthenticated)?)
                }
            },
        };
        Ok(Self { tenant, access })
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ") && (1..=MAX_KEY).contains(&key.len())).then_some(key)
}

fn access(value: &[u8]) -> Access {
    let mut secret = AccessSecret([0; 32]);
    match hex::decode_to_slice(value, &mut secret.0) {
        Ok(()) => Access::Digest(secret.digest()),
        Err(_) => Access::Malformed,
    }
}

/// The job id in a request's path. One that is none is a job that is not there.
pub(crate) struct JobPath(pub(crate) JobId);

impl FromRequestParts<Arc<App>> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Ok(Path(names)) =
            Path::<BTreeMap<String, String>>::from_request_parts(parts, app).await
        else {
            return Err(Code::JobNotFound.into());
        };
        let id = names.get("id").and_then(|id| id.parse().ok());
        id.map(Self).ok_or_else(|| Code::JobNotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_key_is_a_tenant() {
        let digest = Digest::of(b"open sesame");
        let text = format!("[keys.alice]\nsha256 = '{digest}'\nconcurrent_jobs = 2");
        let keys = ApiKeys::from_toml(&text).unwrap();
        let tenant = keys.tenant(b"open sesame").unwrap();
        assert_eq!((tenant.name.as_str(), tenant.quota.jobs), ("alice", 2));
        for wrong in [&b""[..], b"open sesam", b"open sesame ", &digest.0] {
            assert!(keys.tenant(wrong).is_none());
        }
        for wrong in [
            "",
            "[keys]",
            "[keys.a]\nsha256 = 'x'",
            "[keys.a]\nsha255 = ''",
            &text.replace("alice", DIRECT),
        ] {
            assert!(ApiKeys::from_toml(wrong).is_err(), "{wrong}");
        }
        let twice = format!("{text}\n[keys.bob]\nsha256 = '{digest}'");
        assert!(ApiKeys::from_toml(&twice).is_err());
    }

    #[test]
    fn headers_are_read_strictly() {
        assert_eq!(bearer(b"Bearer k"), Some(&b"k"[..]));
        assert_eq!(bearer(b"bearer k"), Some(&b"k"[..]));
        for wrong in [&b""[..], b"Bearer", b"Bearer ", b"Basic k", &[b'x'; 600]] {
            assert_eq!(bearer(wrong), None);
        }
        assert!(matches!(access(&[b'a'; 64]), Access::Digest(_)));
        for wrong in [&b""[..], &[b'a'; 63], &[b'g'; 64], &[b'a'; 66], &[0xff; 64]] {
            assert!(matches!(access(wrong), Access::Malformed));
        }
    }
}
