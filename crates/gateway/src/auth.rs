//! Who is asking: a tenant by its API key, or the holder of one job's access
//! secret. Secrets are compared as SHA-256 digests, in constant time, and
//! never kept.

use crate::{
    app::App,
    problem::{Problem, of_store},
    server::Door,
};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::Deserialize;
use soundproof_http::{keys::Keys, rates::Rate};
use soundproof_jobs::{Job, Quota};
use soundproof_protocol::{
    api::ACCESS_HEADER, digest::Digest, error::Code, id::JobId, ticket::AccessSecret,
};
use std::{collections::BTreeMap, num::NonZeroU32, path::Path as FilePath, sync::Arc};
use subtle::ConstantTimeEq as _;

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
pub struct ApiKeys(Keys<Tenant>);

/// Who jobs belong to.
pub(crate) struct Tenant {
    /// Empty where nobody authenticates.
    pub(crate) name: String,
    pub(crate) quota: Quota,
    pub(crate) sessions: Rate,
}

impl core::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tenant({})", self.name)
    }
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
        let tenant = |name: &str, entry: Entry| {
            if name == DIRECT {
                return Err(format!("{DIRECT} is the name of the direct path"));
            }
            let sessions = entry.sessions_per_minute;
            let tenant = Tenant {
                name: name.to_owned(),
                quota: Quota {
                    jobs: entry.concurrent_jobs.unwrap_or(64),
                    bytes: entry.stored_bytes.unwrap_or(64 << 30),
                },
                sessions: Rate::per_minute(
                    sessions.unwrap_or(const { NonZeroU32::new(600).unwrap() }),
                ),
            };
            Ok((entry.sha256, tenant))
        };
        Keys::from_toml(text, tenant).map(Self)
    }

    /// The one key of this process's own direct path.
    pub(crate) fn direct(key: &str) -> Self {
        let tenant = Tenant {
            name: DIRECT.into(),
            quota: Quota::UNLIMITED,
            sessions: Rate::unlimited(),
        };
        Self(Keys::one(key, tenant))
    }

    pub(crate) fn from_file(path: &FilePath) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::from_toml(&text)
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
        match app.store.job(id).await.map_err(of_store)? {
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
            Some(keys) => keys.0.caller(&parts.headers)?.cloned(),
        };
        Ok(Self { tenant, access })
    }
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
        let tenant = keys.0.holder(b"open sesame").unwrap();
        assert_eq!((tenant.name.as_str(), tenant.quota.jobs), ("alice", 2));
        for wrong in [&b""[..], b"open sesam", b"open sesame ", &digest.0] {
            assert!(keys.0.holder(wrong).is_none());
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
    fn access_secrets_are_read_strictly() {
        assert!(matches!(access(&[b'a'; 64]), Access::Digest(_)));
        for wrong in [&b""[..], &[b'a'; 63], &[b'g'; 64], &[b'a'; 66], &[0xff; 64]] {
            assert!(matches!(access(wrong), Access::Malformed));
        }
    }
}
