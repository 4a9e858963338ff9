//! /v1/jobs and /v1/jobs/{id}.

use super::Params;
use crate::{
    app::{App, now_ms},
    auth::{Caller, JobPath},
    body,
    problem::{Problem, of_keeper, of_store},
};
use axum::{Json, body::Body, extract::State};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use soundproof_jobs::{Created, ListQuery, NewJob, StoreError};
use soundproof_protocol::{
    api::{CreateJob, HostEnd, JobList, JobState, JobView, MAX_CREATE_JOB},
    cbor,
    description::{DescriptionError, JobDescription},
    digest::Digest,
    error::Code,
    link::{GatewayAsks, KeeperAnswers},
    mode::ModeOffer,
    sealed::{HeaderError, MAX_INLINE, PartLayout, SealedHeader},
};
use std::sync::Arc;

/// Jobs on a page at most.
const MAX_PAGE: u32 = 200;

/// A create call, read and checked as far as that needs no outside knowledge.
pub(crate) struct Parsed {
    create: CreateJob,
    description: JobDescription,
    layout: PartLayout,
    input_bytes: u64,
}

/// Reads the request of a stranger.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Problem> {
    let create: CreateJob = cbor::from_slice(bytes, MAX_CREATE_JOB)
        .map_err(|error| Problem::with(Code::RequestMalformed, error.to_string()))?;
    let description = JobDescription::from_slice(&create.description.0).map_err(|error| {
        let code = match error {
            DescriptionError::Version(_) => Code::VersionUnsupported,
            _ => Code::DescriptionInvalid,
        };
        Problem::with(code, error.to_string())
    })?;
    let header = SealedHeader::from_slice(&create.header.0).map_err(|error| {
        let code = match error {
            HeaderError::Version(_) => Code::VersionUnsupported,
            HeaderError::Suite(_) => Code::SuiteUnsupported,
            _ => Code::HeaderInvalid,
        };
        Problem::with(code, error.to_string())
    })?;
    if !header
        .recipients
        .iter()
        .map(|key| &key.transcript)
        .eq(&description.recipients)
    {
        let detail = "the wrapped keys are not for the description's recipients, in order";
        return Err(Problem::with(Code::HeaderInvalid, detail));
    }
    let layout = PartLayout::new(&header, create.part_chunks)
        .ok_or_else(|| Problem::with(Code::RequestMalformed, "1 to 64 chunks in a part"))?;
    let input_bytes = header.sealed_len().ok_or(Code::HeaderInvalid)?;
    if let Some(input) = &create.input {
        if input.0.len() > MAX_INLINE {
            return Err(Code::BodyTooLarge.into());
        }
        if layout.parts() != 1 || input_bytes != input.0.len() as u64 {
            let detail = format!("an inline input must be all of it, {input_bytes} bytes");
            return Err(Problem::with(Code::PartLength, detail));
        }
    }
    Ok(Parsed {
        create,
        description,
        layout,
        input_bytes,
    })
}

/// Creates a job. Idempotent: the same call is the same job.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs",
    request_body(content = [u8], content_type = "application/cbor",
        description = "CreateJob, deterministic CBOR"),
    responses((status = 201, description = "Created", body = JobView),
        (status = 200, description = "It exists already", body = JobView)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let tenant = caller.tenant()?.clone();
    let bytes = body::whole(&app, body, MAX_CREATE_JOB).await?;
    let Parsed {
        create,
        description,
        layout,
        input_bytes,
    } = parse(&bytes)?;
    drop(bytes);
    if input_bytes > app.config.limits.input_bytes {
        let detail = format!("inputs of at most {} bytes", app.config.limits.input_bytes);
        return Err(Problem::with(Code::InputTooLarge, detail));
    }
    ModeOffer::admit(&app.modes, &description, app.config.refuse_not_hiding).map_err(of_keeper)?;
    let mut new = NewJob {
        id: description.job,
        tenant: tenant.name.clone(),
        description: create.description.0,
        description_digest: description.digest(),
        header_digest: Digest::of(&create.header.0),
        header: create.header.0,
        layout,
        part_chunks: create.part_chunks,
        input_bytes,
        access: Digest([0; 32]),
        instance: app.instance,
        blobs: description.parts.iter().map(|part| part.digest).collect(),
        input: create.input.map(|input| Bytes::from(input.0)),
        now_ms: now_ms(),
        quota: tenant.quota,
    };

    let lock = usize::from(new.id.0[15]) % app.creating.len().max(1);
    let _one_at_a_time = match app.creating.get(lock) {
        Some(lock) => Some(lock.lock().await),
        None => None,
    };
    let known = app.store.job(&new.id).await.map_err(of_store)?.is_some();
    if !known {
        new.access = admit(&app, &new).await?;
    }
    let (id, complete) = (new.id, new.input.is_some());
    match app.store.create(new).await {
        Ok(Created::New(job)) => {
            if complete {
                app.accepted(&job);
            }
            Ok((StatusCode::CREATED, Json(job.view())))
        }
        Ok(Created::Existing { job, accepted }) => {
            if accepted {
                app.accepted(&job);
            }
            Ok((StatusCode::OK, Json(job.view())))
        }
        Err(error) => {
            if !known && !matches!(error, StoreError::Conflict) {
                app.forget(id); // the keeper took its key for nothing
            }
            Err(of_store(error))
        }
    }
}

/// Checks what the store knows, and then has the keeper take charge of the
/// job's key; the digest of its access secret.
async fn admit(app: &App, new: &NewJob) -> Result<Digest, Problem> {
    for digest in &new.blobs {
        if app
            .store
            .blob_len(digest)
            .await
            .map_err(of_store)?
            .is_none()
        {
            return Err(of_store(StoreError::BlobMissing(*digest)));
        }
    }
    if app.store.unfinished_count().await.map_err(of_store)? >= app.config.limits.unfinished_jobs {
        return Err(Problem::new(Code::JobsFull).after(5));
    }
    let ask = GatewayAsks::Admit {
        description: new.description.clone().into(),
        header: new.header.clone().into(),
    };
    match app.link.ask(ask).await? {
        KeeperAnswers::Admitted(access) => Ok(access),
        KeeperAnswers::Refused(refusal) => Err(of_keeper(refusal)),
        _ => Err(Code::KeeperUnavailable.into()),
    }
}

/// Which page.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Jobs on it, 1 to 200; 50 if absent.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only jobs in this state.
    state: Option<JobState>,
}

/// Lists the tenant's jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(Page),
    responses((status = 200, body = JobList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Result<Json<JobList>, Problem> {
    let tenant = caller.tenant()?;
    let wrong = |what: &str| Problem::with(Code::RequestMalformed, what);
    let limit = page.limit.unwrap_or(50);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(wrong("limit must be 1 to 200"));
    }
    let before = match page.cursor.as_deref() {
        None => None,
        Some(cursor) => {
            let plain = cursor.len() <= 16 && cursor.bytes().all(|b| b.is_ascii_hexdigit());
            let seq = plain
                .then(|| i64::from_str_radix(cursor, 16).ok())
                .flatten();
            Some(seq.ok_or_else(|| wrong("no such cursor"))?)
        }
    };
    let query = ListQuery {
        tenant: tenant.name.clone(),
        state: page.state,
        before,
        limit,
    };
    let page = app.store.list(query).await.map_err(of_store)?;
    Ok(Json(JobList {
        jobs: page.jobs.iter().map(soundproof_jobs::Job::view).collect(),
        next: page.next.map(|seq| format!("{seq:x}")),
    }))
}

/// A job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "UUIDv7")),
    responses((status = 200, body = JobView)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
) -> Result<Json<JobView>, Problem> {
    Ok(Json(caller.job(&app, &id).await?.view()))
}

/// Removes an ended job, its input and its outcome.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "UUIDv7")),
    responses((status = 204, description = "Gone")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    caller.job(&app, &id).await?;
    match app.store.delete(&id, now_ms()).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::State) => Err(Code::JobNotEnded.into()),
        Err(error) => Err(of_store(error)),
    }
}

/// Stops a job. One that runs ends a little later, with a sealed `cancelled`.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "UUIDv7")),
    responses((status = 200, body = JobView)))]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
) -> Result<Json<JobView>, Problem> {
    // Between two looks it may begin to run, or come back from running.
    for _ in 0..8 {
        let running = caller.job(&app, &id).await?.state == JobState::Running;
        if !running && let Some(job) = app.try_end_unrun(&id, HostEnd::Cancelled).await? {
            return Ok(Json(job.view()));
        }
        // The mark is for the case that the run is put back; on a full disk the
        // keeper is asked to stop it all the same.
        let marked = match app.store.request_cancel(&id).await {
            Err(StoreError::Full) if running => true,
            other => other.map_err(of_store)?,
        };
        if marked {
            match app.link.ask(GatewayAsks::Cancel(id)).await? {
                KeeperAnswers::Done => {}
                // It has just ended, or has not begun: then its mark counts.
                KeeperAnswers::Refused(refusal) => {
                    tracing::debug!(job = %id, code = %refusal.code, "cancel refused");
                }
                _ => return Err(Code::KeeperUnavailable.into()),
            }
            return Ok(Json(caller.job(&app, &id).await?.view()));
        }
        let job = caller.job(&app, &id).await?;
        if job.state == JobState::Ended {
            return Ok(Json(job.view()));
        }
    }
    Err(Code::Internal.into())
}
