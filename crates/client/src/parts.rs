//! The calls of an upload: program parts by digest, input parts by index.
//! Each may be made again.

use crate::{
    Client, Error,
    program::{NamedPart, Part},
    transport::Transport,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::{
    Method,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use soundproof_protocol::{
    api::{InputView, JobState},
    digest::Digest,
    error::Code,
    id::JobId,
    ticket::AccessSecret,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::io::AsyncReadExt as _;

/// Once all parts are held the job is accepted, wherever it is by now.
pub(crate) fn is_acknowledged(state: JobState) -> bool {
    matches!(
        state,
        JobState::Queued | JobState::Running | JobState::Ended
    )
}

/// What sending a part needs.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) transport: Arc<Transport>,
    pub(crate) job: JobId,
    pub(crate) access: AccessSecret,
}

impl Line {
    /// Sends a part; whether the input is complete now.
    pub(crate) async fn put(&self, part: u32, body: Bytes) -> Result<bool, Error> {
        const CALL: &str = "sending the input";
        let path = format!("v1/jobs/{}/input/{part}", self.job);
        let attempt = || async {
            let request = self
                .transport
                .request(Method::PUT, &path, Some(&self.access))?
                .timeout(Duration::from_secs(600))
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(body.clone());
            let view: InputView = self.transport.json(CALL, request).await?;
            Ok(is_acknowledged(view.state))
        };
        match self.client.0.retry.run(attempt).await {
            // It arrived, all is there, and the reply was lost.
            Err(Error::Refused {
                code: Code::InputClosed,
                ..
            }) => Ok(true),
            Err(Error::Refused {
                code: Code::PartConflict,
                ..
            }) => Err(Error::SourceChanged),
            done => done,
        }
    }

    async fn view(&self) -> Result<InputView, Error> {
        let path = format!("v1/jobs/{}/input", self.job);
        let attempt = || async {
            let request = self
                .transport
                .request(Method::GET, &path, Some(&self.access))?;
            self.transport
                .json("asking which parts are held", request)
                .await
        };
        self.client.0.retry.run(attempt).await
    }

    pub(crate) async fn held(&self) -> Result<HashMap<u32, Digest>, Error> {
        let view = self.view().await?;
        Ok(view.held.iter().map(|p| (p.part, p.digest)).collect())
    }

    pub(crate) async fn is_complete(&self) -> Result<bool, Error> {
        Ok(is_acknowledged(self.view().await?.state))
    }
}

pub(crate) async fn has_blob(transport: &Transport, digest: &Digest) -> Result<bool, Error> {
    let request = transport.request(Method::HEAD, &format!("v1/blobs/{digest}"), None)?;
    // A reply to HEAD has no body, hence no problem document.
    let response = request
        .send()
        .await
        .map_err(|error| transport.network("asking for a program part", &error))?;
    Ok(response.status().is_success())
}

pub(crate) async fn put_blob(transport: &Transport, part: &NamedPart) -> Result<(), Error> {
    const CALL: &str = "sending a program part";
    let request = transport
        .request(Method::PUT, &format!("v1/blobs/{}", part.name.digest), None)?
        .timeout(Duration::from_secs(3600))
        .header(CONTENT_TYPE, "application/octet-stream");
    let request = match &part.part {
        Part::Bytes(bytes) => request.body(bytes.clone()),
        Part::File(path) => {
            let file = tokio::fs::File::open(path).await.map_err(|cause| {
                Error::file(format!("{} {}", part.name.role, path.display()), cause)
            })?;
            let pieces = stream::try_unfold(file, |mut file| async move {
                let mut piece = Vec::with_capacity(256 * 1024);
                let read = file.read_buf(&mut piece).await?;
                Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
            });
            request
                .header(CONTENT_LENGTH, part.len)
                .body(reqwest::Body::wrap_stream(pieces.boxed()))
        }
    };
    transport.send(CALL, request).await.map(drop)
}
