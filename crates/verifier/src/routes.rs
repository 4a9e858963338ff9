//! The API, and what is checked of every request before it.

use crate::{
    api::{AppraiseAnswer, AppraiseRequest, KeySet, MAX_REQUEST, PolicyList, PolicyView},
    openapi,
    request::{self, Asked, Refused},
    service::App,
};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{FromRequestParts, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Uri, header, request::Parts};
use soundproof_collateral::CollateralError;
use soundproof_evidence::appraise as judge_evidence;
use soundproof_http::{
    Problem, ProblemCode, Source,
    body::{self, Pace},
    guard::{harden, names_loopback},
};
use soundproof_protocol::{attestation::Endorsements, error::Code};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Bytes of a body that nobody wanted which are read all the same, so that its
/// sender hears why.
const DRAIN_BYTES: u64 = 2 * MAX_REQUEST as u64;

/// What a browser adds to every request that a page makes.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/appraise", post(appraise))
        .route("/v1/policies", get(policies))
        .route("/v1/keys", get(keys))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(|| async { Problem::new(Code::MethodNotAllowed) })
        .fallback(|| async { Problem::new(Code::NotFound) })
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

/// Judges evidence by a named policy. A rejection is an answer, not a failure.
#[utoipa::path(post, path = "/v1/appraise", tag = "verifier", security((), ("key" = [])),
    request_body = AppraiseRequest,
    responses((status = 200, body = AppraiseAnswer)))]
pub(crate) async fn appraise(
    State(app): State<Arc<App>>,
    _: Caller,
    body: Body,
) -> Result<Json<AppraiseAnswer>, Problem> {
    let body = whole(&app, body).await?;
    let asked =
        request::parse(&body).map_err(|Refused { code, detail }| Problem::with(code, detail))?;
    drop(body);
    if app.policies.get(&asked.policy).is_none() {
        let detail = "no policy of this name; see /v1/policies";
        return Err(Problem::with(Code::NotFound, detail));
    }
    let now_ms = (app.clock)();
    let endorsements = endorse(&app, &asked, now_ms).await?;
    let permit = app.appraisals.acquire().await;
    let judging = {
        let app = app.clone();
        move || judged(&app, &asked, &endorsements, now_ms)
    };
    let answer = tokio::task::spawn_blocking(judging)
        .await
        .map_err(|_| Problem::new(Code::Internal))?;
    drop(permit);
    answer.map(Json)
}

fn judged(
    app: &App,
    asked: &Asked,
    endorsements: &Endorsements,
    now_ms: u64,
) -> Result<AppraiseAnswer, Problem> {
    let named = app.policies.get(&asked.policy);
    let named = named.ok_or_else(|| Problem::new(Code::NotFound))?;
    let started = Instant::now();
    let verdict = judge_evidence(
        &asked.evidence,
        endorsements,
        &asked.binding,
        &asked.trust,
        &named.policy,
        now_ms,
    );
    app.metrics.seconds.observe(started.elapsed().as_secs_f64());
    let accepted = verdict.clone().accept().is_ok();
    let platform = asked.evidence.platform.name();
    app.metrics.verdict(&asked.policy, platform, accepted);
    let ear = app.signer.sign(&verdict, &named.policy, asked, now_ms);
    let ear = ear.ok_or_else(|| Problem::new(Code::Internal))?;
    tracing::info!(policy = asked.policy, platform, accepted, "a verdict");
    Ok(AppraiseAnswer {
        accepted,
        policy: asked.policy.clone(),
        policy_digest: named.digest.to_string(),
        nonce: hex::encode(&asked.nonce),
        binding: hex::encode(asked.binding.as_bytes()),
        judged_at_ms: now_ms,
        verdict,
        ear,
    })
}

/// The key that answers are signed with.
#[utoipa::path(get, path = "/v1/keys", tag = "verifier",
    responses((status = 200, body = KeySet)))]
pub(crate) async fn keys(State(app): State<Arc<App>>) -> Json<KeySet> {
    Json(KeySet {
        keys: vec![app.signer.key()],
    })
}

/// Those of the request; what is missing is fetched, where that is on.
async fn endorse(app: &App, asked: &Asked, now_ms: u64) -> Result<Endorsements, Problem> {
    let given = asked.endorsements.as_ref();
    let fetched = match &app.collateral {
        None => Ok(None),
        Some(collateral) => collateral.endorse(&asked.evidence, given, now_ms).await,
    };
    match fetched {
        Ok(Some(endorsements)) => return Ok(endorsements),
        // The verdict says what is wrong with it.
        Ok(None) | Err(CollateralError::Target(_)) => {}
        Err(error) => {
            tracing::error!(%error, remedy = error.remedy(), "endorsements cannot be fetched");
            return Err(Problem::new(Code::EndorsementsUnavailable).after(30));
        }
    }
    given.cloned().ok_or_else(|| {
        let detail = "endorsements: none came along, and none are fetched for this";
        Problem::with(Code::RequestMalformed, detail)
    })
}

/// The policies that can be named.
#[utoipa::path(get, path = "/v1/policies", tag = "verifier", security((), ("key" = [])),
    responses((status = 200, body = PolicyList)))]
pub(crate) async fn policies(State(app): State<Arc<App>>, _: Caller) -> Json<PolicyList> {
    let view = |(name, named): (&String, &crate::policies::Named)| PolicyView {
        name: name.clone(),
        digest: named.digest.to_string(),
    };
    Json(PolicyList {
        policies: app.policies.iter().map(view).collect(),
    })
}

/// Whether the process serves.
#[utoipa::path(get, path = "/healthz", tag = "verifier",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "verifier", security((), ("key" = [])),
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(crate) async fn metrics(State(app): State<Arc<App>>, _: Caller) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

/// A whole body, bounded in bytes and time.
async fn whole(app: &App, body: Body) -> Result<Bytes, Problem> {
    let pace = Pace {
        grace: Duration::from_secs(app.config.seconds),
        rate: 0,
    };
    let announced = body::announced(&body);
    body::whole(announced, body::paced(body, pace), MAX_REQUEST).await
}

/// Whoever holds an API key, where keys are asked for, within its rate.
pub(crate) struct Caller;

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(keys) = &app.keys {
            let rate = keys.caller(&parts.headers)?.ok_or(Code::Unauthenticated)?;
            rate.check(Code::RateLimited).map_err(|problem| Problem {
                detail: Some("this API key's rate is used up".into()),
                ..problem
            })?;
        }
        Ok(Self)
    }
}

/// Forgets sources that were quiet, and keeps endorsements fresh.
pub(crate) async fn tidy(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        app.rates.tidy();
        if let Some(collateral) = &app.collateral {
            collateral.refresh((app.clock)()).await;
        }
    }
}

async fn guard(
    State(app): State<Arc<App>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
    next: Next,
) -> Response {
    let admitted =
        admissible(&app, request.uri(), request.headers()).and_then(|()| app.rates.check(source));
    let (head, body) = request.into_parts();
    let (body, remainder) = body::lend(body);
    let request = Request::from_parts(head, body);
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            drop(request);
            problem.into_response()
        }
    };
    remainder.drain(DRAIN_BYTES);
    if let Some(ProblemCode(code)) = response.extensions().get() {
        app.metrics.problem(*code);
    }
    harden(&mut response);
    response
}

/// No web page; and on plain loopback nobody who was told another name for it.
fn admissible(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::ORIGIN) || headers.contains_key(FETCH_SITE) {
        return Err(Problem::new(Code::OriginRefused));
    }
    if !app.tls && !names_loopback(uri, headers) {
        let detail = "the Host header must be a loopback address or localhost";
        return Err(Problem::with(Code::OriginRefused, detail));
    }
    Ok(())
}
