//! GET /v1/jobs/{id}/outcome. A download that breaks off deletes nothing:
//! outcomes leave with their job only.

use super::{Params, download};
use crate::{
    app::App,
    auth::{Caller, JobPath},
    hub::{Event, Heard},
    problem::{Problem, of_store},
};
use axum::{extract::State, response::Response};
use http::HeaderMap;
use serde::Deserialize;
use soundproof_jobs::Job;
use soundproof_protocol::{
    api::{HostEnd, JobState},
    error::Code,
};
use std::{sync::Arc, time::Duration};

/// Seconds that a caller may wait at most.
const MAX_WAIT: u32 = 60;

/// Whether to wait.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wait {
    /// Seconds to wait for the job's end, 0 to 60.
    wait: Option<u32>,
}

/// The sealed outcome.
#[utoipa::path(get, path = "/v1/jobs/{id}/outcome", tag = "jobs",
    params(("id" = String, Path, description = "UUIDv7"), Wait),
    responses((status = 200, content_type = "application/octet-stream", body = [u8])))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
    Params(Wait { wait }): Params<Wait>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = ended(&app, &caller, id, wait.unwrap_or(0).min(MAX_WAIT)).await?;
    match job.end {
        Some(HostEnd::Sealed) => {}
        Some(HostEnd::KeyLost) => return Err(Code::KeyLost.into()),
        Some(HostEnd::Cancelled) => return Err(Code::Cancelled.into()),
        Some(HostEnd::Expired) => return Err(Code::Expired.into()),
        _ => return Err(Code::OutcomeGone.into()),
    }
    let (digest, len) = app
        .store
        .outcome(&id)
        .await
        .map_err(of_store)?
        .ok_or(Code::OutcomeGone)?;
    let read: download::Read = Box::new(move |app, offset, max| {
        Box::pin(async move { app.store.read_outcome(&id, offset, max).await })
    });
    download::respond(&app, &headers, &digest, len, read)
}

/// The job once it has ended, if that is soon enough.
async fn ended(
    app: &Arc<App>,
    caller: &Caller,
    id: soundproof_protocol::id::JobId,
    wait: u32,
) -> Result<Job, Problem> {
    let job = caller.job(app, &id).await?;
    if job.state == JobState::Ended {
        return Ok(job);
    }
    if wait == 0 {
        return Err(Code::OutcomeNotReady.into());
    }
    let _place = app.subscriber()?;
    let until = tokio::time::Instant::now() + Duration::from_secs(wait.into());
    loop {
        let (mut events, _) = app.hub.subscribe(id);
        // It may have ended before the subscription.
        let job = caller.job(app, &id).await?;
        if job.state == JobState::Ended {
            return Ok(job);
        }
        loop {
            let heard = tokio::select! {
                heard = events.next() => heard,
                () = tokio::time::sleep_until(until) => return Err(Code::OutcomeNotReady.into()),
                () = app.stopping.cancelled() => {
                    return Err(Problem::new(Code::ShuttingDown).after(1));
                }
            };
            match heard {
                Heard::Event(Event::State(view)) if view.state != JobState::Ended => {}
                Heard::Event(Event::Progress(_)) => {}
                _ => break,
            }
        }
    }
}
