//! /v1/jobs/{id}/input.

use crate::{
    app::{App, now_ms},
    auth::{Caller, JobPath},
    body,
    problem::{Problem, of_store},
};
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, Path, State},
};
use http::request::Parts;
use soundproof_jobs::Job;
use soundproof_protocol::{
    api::{InputView, JobState},
    error::Code,
    id::JobId,
};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

/// The part's index in the request's path; none if it is no index. The job is
/// looked at first.
pub(crate) struct PartIndex(Option<u32>);

impl<S: Send + Sync> FromRequestParts<S> for PartIndex {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let names = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let part = names.ok().and_then(|Path(names)| index(names.get("part")?));
        Ok(Self(part))
    }
}

/// Takes a part of the input. Idempotent for the same bytes. The reply to the
/// last part is the acknowledgement that the job is kept.
#[utoipa::path(put, path = "/v1/jobs/{id}/input/{part}", tag = "input",
    params(("id" = String, Path, description = "UUIDv7"), ("part" = u32, Path)),
    request_body(content = [u8], content_type = "application/octet-stream"),
    responses((status = 200, body = InputView)))]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    PartIndex(part): PartIndex,
    caller: Caller,
    body: Body,
) -> Result<Json<InputView>, Problem> {
    let job = caller.job(&app, &id).await?;
    let part = part.ok_or(Code::PartOutOfRange)?;
    let expected = job
        .layout()
        .ok_or(Code::StorageFailed)?
        .part_len(part)
        .ok_or(Code::PartOutOfRange)?;
    let announced = hyper::body::Body::size_hint(&body);
    if announced.lower() > expected || announced.upper().is_some_and(|upper| upper < expected) {
        let detail = format!("part {part} has {expected} bytes");
        return Err(Problem::with(Code::PartLength, detail));
    }
    let _turn = app
        .uploads
        .acquire()
        .await
        .map_err(|_| Code::ShuttingDown)?;
    let put = app
        .store
        .put_part(&id, part, body::source(&app, body), now_ms())
        .await
        .map_err(of_store)?;
    if put.accepted {
        app.accepted(&put.job);
    } else if put.job.state != job.state {
        app.hub.state(put.job.view());
    }
    Ok(Json(view(&app, &id, &put.job).await?))
}

/// Which parts are held.
#[utoipa::path(get, path = "/v1/jobs/{id}/input", tag = "input",
    params(("id" = String, Path, description = "UUIDv7")),
    responses((status = 200, body = InputView)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    JobPath(id): JobPath,
    caller: Caller,
) -> Result<Json<InputView>, Problem> {
    let job = caller.job(&app, &id).await?;
    Ok(Json(view(&app, &id, &job).await?))
}

async fn view(app: &App, id: &JobId, job: &Job) -> Result<InputView, Problem> {
    let layout = job.layout().ok_or(Code::StorageFailed)?;
    let held = match job.state {
        JobState::Ended => Vec::new(),
        _ => app.store.parts(id).await.map_err(of_store)?,
    };
    Ok(InputView {
        state: job.state,
        parts: layout.parts(),
        part_chunks: job.part_chunks,
        held,
    })
}

/// A part's index: plain decimal digits only, so that each part has one name.
fn index(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::index;

    #[test]
    fn a_part_has_one_name() {
        assert_eq!((index("0"), index("65535")), (Some(0), Some(65535)));
        for wrong in ["", "00", "01", "+1", "-1", "1 ", "0x1", "4294967296"] {
            assert_eq!(index(wrong), None, "{wrong}");
        }
    }
}
