//! Jobs as the host sees them: list, look, cancel, delete.

use crate::{Client, Error, error::clean};
use reqwest::Method;
use serde::Deserialize;
use soundproof_protocol::{
    api::{JobList, JobState, JobView},
    id::{InstanceId, JobId},
    mode::ModeOffer,
    ticket::{AccessSecret, Ticket},
};
use std::fmt::Write as _;

/// A job, and what grants access to it: its access secret, or with none the
/// client's API key.
#[derive(Debug, Clone, Copy)]
pub struct JobAccess<'a> {
    /// The job.
    pub job: JobId,
    /// Its access secret.
    pub secret: Option<&'a AccessSecret>,
}

impl From<JobId> for JobAccess<'_> {
    fn from(job: JobId) -> Self {
        Self { job, secret: None }
    }
}

impl<'a> TryFrom<&'a Ticket> for JobAccess<'a> {
    type Error = Error;

    fn try_from(ticket: &'a Ticket) -> Result<Self, Error> {
        let description =
            soundproof_protocol::description::JobDescription::from_slice(&ticket.description.0)
                .map_err(|_| Error::Ticket("the ticket's job description is none"))?;
        Ok(Self {
            job: description.job,
            secret: Some(&ticket.access_secret),
        })
    }
}

/// What a server says of itself, its texts stripped of control characters.
/// Nobody but its host vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its version.
    pub version: String,
    /// The keeper's life; sessions of another are over.
    pub instance: InstanceId,
    /// Proof systems and their modes, those too that are not offered.
    pub modes: Vec<ModeOffer>,
    /// Whether jobs are refused whose proofs may reveal their witness.
    pub refuse_not_hiding: bool,
}

impl Client {
    /// What the server says of itself.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn info(&self) -> Result<ServerInfo, Error> {
        let transport = self.transport();
        let attempt = || async {
            let request = transport.request(Method::GET, "v1/info", None)?;
            transport.json("asking what is offered", request).await
        };
        let mut info: ServerInfo = self.0.retry.run(attempt).await?;
        info.version = clean(&info.version);
        for ModeOffer { system, mode } in &mut info.modes {
            *system = clean(system);
            mode.name = clean(&mode.name);
            mode.unavailable = mode.unavailable.as_deref().map(clean);
        }
        Ok(info)
    }

    /// A page of the tenant's jobs, newest first. `cursor` is the page
    /// before's `next`.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn jobs(
        &self,
        limit: u32,
        cursor: Option<&str>,
        state: Option<JobState>,
    ) -> Result<JobList, Error> {
        let mut path = format!("v1/jobs?limit={limit}");
        if let Some(cursor) = cursor {
            path.push_str("&cursor=");
            for byte in cursor.bytes() {
                // Writing to a String cannot fail.
                let _ = match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                        write!(path, "{}", char::from(byte))
                    }
                    _ => write!(path, "%{byte:02X}"),
                };
            }
        }
        if let Some(state) = state {
            let _ = write!(path, "&state={}", state.name());
        }
        self.ask("listing jobs", Method::GET, &path, None).await
    }

    /// One job.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn job(&self, access: impl Into<JobAccess<'_>>) -> Result<JobView, Error> {
        let JobAccess { job, secret } = access.into();
        let path = format!("v1/jobs/{job}");
        self.ask("asking for a job", Method::GET, &path, secret)
            .await
    }

    /// Asks the server to stop a job.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn cancel(&self, access: impl Into<JobAccess<'_>>) -> Result<JobView, Error> {
        let JobAccess { job, secret } = access.into();
        let path = format!("v1/jobs/{job}/cancel");
        self.ask("cancelling a job", Method::POST, &path, secret)
            .await
    }

    /// Deletes a job that has ended, with its outcome.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn delete(&self, access: impl Into<JobAccess<'_>>) -> Result<(), Error> {
        let JobAccess { job, secret } = access.into();
        let path = format!("v1/jobs/{job}");
        let transport = self.vouched_transport().await?;
        let attempt = || async {
            let request = transport.request(Method::DELETE, &path, secret)?;
            transport.send("deleting a job", request).await.map(drop)
        };
        self.0.retry.run(attempt).await
    }

    /// Whether the server answers, and is ready for jobs. Sends nothing but
    /// the question.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn is_ready(&self) -> Result<bool, Error> {
        let transport = self.transport();
        let request = transport.request(Method::GET, "readyz", None)?;
        match transport.send("asking for readiness", request).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { .. } | Error::Reply { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How far the server's wall clock is ahead of this machine's, in
    /// seconds, by the `Date` of a reply; `None` if it sends none. Anybody on
    /// the way may have written it.
    ///
    /// # Errors
    /// Those of the network.
    pub async fn clock_offset_s(&self) -> Result<Option<i64>, Error> {
        let transport = self.transport();
        let request = transport.request(Method::GET, "healthz", None)?;
        let response = transport.send("asking for its health", request).await?;
        let date = response
            .headers()
            .get(reqwest::header::DATE)
            .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok())
            .and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        let now = crate::now_ms() / 1000;
        Ok(date.map(|date| {
            let ahead = i128::from(date.as_secs()) - i128::from(now);
            i64::try_from(ahead).unwrap_or(i64::MAX)
        }))
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        call: &'static str,
        method: Method,
        path: &str,
        secret: Option<&AccessSecret>,
    ) -> Result<T, Error> {
        let transport = self.vouched_transport().await?;
        let attempt = || async {
            let request = transport.request(method.clone(), path, secret)?;
            transport.json(call, request).await
        };
        self.0.retry.run(attempt).await
    }
}
