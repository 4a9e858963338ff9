//! POST /v1/sessions.

use crate::{
    app::App,
    auth::Caller,
    body,
    problem::{Problem, of_keeper},
    server::{Door, Source},
};
use axum::{
    Extension,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use soundproof_protocol::{
    PROTOCOL_VERSION,
    api::{CBOR, MAX_HELD, MAX_OPEN_SESSION, OpenSession},
    cbor,
    error::Code,
    link::{GatewayAsks, KeeperAnswers},
    suite::Suite,
    transcript::MAX_OFFER,
};
use std::{sync::Arc, time::Instant};

/// Opens a session: a fresh key, and evidence that vouches for it.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions",
    request_body(content = [u8], content_type = "application/cbor",
        description = "OpenSession, deterministic CBOR"),
    responses((status = 200, description = "SessionOpened, deterministic CBOR",
        content_type = "application/cbor", body = [u8])))]
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Extension(Source(source)): Extension<Source>,
    Extension(door): Extension<Door>,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    if door == Door::Public {
        app.rates.session(source)?;
    }
    caller.tenant()?.sessions.check(Code::QuotaExceeded)?;
    app.stapler.check_ready()?;
    let bytes = body::whole(&app, body, MAX_OPEN_SESSION).await?;
    let read = Instant::now();
    let open = parse(&bytes)?;
    let held = open.held.clone();
    let ask = GatewayAsks::OpenSession {
        open,
        // Nobody but this process itself seals for such a session.
        unappraised: door == Door::Inner,
    };
    match app.link.ask(ask).await? {
        KeeperAnswers::Session(mut session) => {
            app.stapler.staple(&held, &mut session).await?;
            let reply = cbor::to_vec(&*session);
            app.metrics.sessions.inc();
            let taken = read.elapsed().as_secs_f64();
            app.metrics.session_duration.observe(taken);
            Ok(([(header::CONTENT_TYPE, CBOR)], reply).into_response())
        }
        KeeperAnswers::Refused(refusal) => Err(of_keeper(refusal)),
        _ => Err(Code::KeeperUnavailable.into()),
    }
}

/// Reads the request of a stranger.
pub(crate) fn parse(bytes: &[u8]) -> Result<OpenSession, Problem> {
    let malformed =
        |detail: &dyn core::fmt::Display| Problem::with(Code::RequestMalformed, detail.to_string());
    let ask: OpenSession =
        cbor::from_slice(bytes, MAX_OPEN_SESSION).map_err(|error| malformed(&error))?;
    if ask.version != PROTOCOL_VERSION {
        return Err(Code::VersionUnsupported.into());
    }
    if ask.suites.len() > MAX_OFFER || ask.held.len() > MAX_HELD {
        return Err(malformed(&"at most 16 suites and 16 endorsements"));
    }
    if Suite::choose(&ask.suites).is_none() {
        return Err(Code::SuiteUnsupported.into());
    }
    Ok(ask)
}
