//! The API, and what is checked of every request before it.

use crate::{
    App,
    api::{AppraiseAnswer, AppraiseRequest, KeySet, MAX_REQUEST, PolicyList, PolicyView},
    judge, openapi,
    problem::{Problem, ProblemCode},
    server::Source,
};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use soundproof_collateral::CollateralError;
use soundproof_evidence::appraise as judge_evidence;
use soundproof_protocol::{attestation::Endorsements, error::Code};
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

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
#[utoipa::path(post, path = "/v1/appraise", tag = "verifier",
    request_body = AppraiseRequest,
    responses((status = 200, body = AppraiseAnswer)))]
pub(crate) async fn appraise(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<Json<AppraiseAnswer>, Problem> {
    let body = whole(&app, body).await?;
    let asked = judge::parse(&body)?;
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
    asked: &judge::Asked,
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
async fn endorse(app: &App, asked: &judge::Asked, now_ms: u64) -> Result<Endorsements, Problem> {
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
#[utoipa::path(get, path = "/v1/policies", tag = "verifier",
    responses((status = 200, body = PolicyList)))]
pub(crate) async fn policies(State(app): State<Arc<App>>) -> Json<PolicyList> {
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
#[utoipa::path(get, path = "/metrics", tag = "verifier",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

/// A whole body, bounded in bytes and time.
async fn whole(app: &App, body: Body) -> Result<Vec<u8>, Problem> {
    let reading = Limited::new(body, MAX_REQUEST).collect();
    match timeout(Duration::from_secs(app.config.seconds), reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge))
        }
        Ok(Err(_)) => Err(Problem::with(Code::RequestMalformed, "the body broke off")),
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

/// Rates for each source.
pub(crate) struct Rates(DefaultKeyedRateLimiter<IpAddr>);

impl Rates {
    pub(crate) fn new((per_second, burst): (u32, u32)) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self(RateLimiter::keyed(quota))
    }

    fn check(&self, source: IpAddr) -> Result<(), Problem> {
        self.0.check_key(&network(source)).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            Problem::new(Code::RateLimited).after(seconds.max(1))
        })
    }
}

/// One host may have a whole IPv6 network of 64 bits.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
    }
}

/// Forgets sources that were quiet, and keeps endorsements fresh.
pub(crate) async fn tidy(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        app.rates.0.retain_recent();
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
    let admitted = admissible(&app, request.uri(), request.headers());
    let response = match admitted.and_then(|()| app.rates.check(source)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let mut response = response;
    if let Some(ProblemCode(code)) = response.extensions().get() {
        app.metrics.problem(*code);
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No web page; and on plain loopback nobody who was told another name for it.
fn admissible(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::ORIGIN) || headers.contains_key(FETCH_SITE) {
        return Err(Problem::new(Code::OriginRefused));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let named = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let fits = hosts.next().is_none()
        && (named.is_some() || host.is_some())
        && [named, host].into_iter().flatten().all(is_loopback);
    if !app.tls && !fits {
        let detail = "the Host header must be a loopback address or localhost";
        return Err(Problem::with(Code::OriginRefused, detail));
    }
    Ok(())
}

/// `127.x.y.z`, `[::1]` or `localhost`, with or without a port.
fn is_loopback(authority: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(authority) else {
        return false;
    };
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => (name, None),
            Some((name, rest)) => match rest.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port_fits = port.is_none_or(|port| {
        (1..=5).contains(&port.len()) && port.bytes().all(|digit| digit.is_ascii_digit())
    });
    let named = name.eq_ignore_ascii_case("localhost");
    port_fits && (named || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:1",
            "[::1]:7602",
            "[::1]",
        ] {
            assert!(is_loopback(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "evil@127.0.0.1",
            "127.0.0.1:80:80",
            "127.0.0.1:x",
            "[::1",
            "[::1]x",
            "[::2]",
            "10.0.0.1",
        ] {
            assert!(!is_loopback(bad.as_bytes()), "{bad}");
        }
    }
}
