//! /openapi.json.

use crate::{api, routes};
use axum::response::Response;
use std::sync::LazyLock;
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Soundproof verifier",
        description = "Appraises evidence by named policies, for clients that cannot do it \
            themselves. Whoever believes the answers trusts whoever runs this service. Every \
            failure is a problem document (RFC 9457) with a stable code.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        routes::appraise,
        routes::policies,
        routes::keys,
        routes::healthz,
        routes::metrics
    ),
    components(schemas(
        api::AppraiseRequest,
        api::AppraiseAnswer,
        soundproof_protocol::api::Problem
    )),
    modifiers(&Security),
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        soundproof_http::openapi::bearer(openapi, "key");
    }
}

static TEXT: LazyLock<String> = LazyLock::new(text);

fn text() -> String {
    // Made of constants: it serializes, as the golden file's test shows.
    Api::openapi().to_pretty_json().unwrap_or_default()
}

pub(crate) async fn get() -> Response {
    soundproof_http::openapi::answer(&TEXT)
}

#[cfg(test)]
mod tests {
    /// The API's description changes only on purpose. To change it, run with
    /// `SOUNDPROOF_UPDATE_GOLDEN=1` and commit the file.
    #[test]
    fn golden() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
        let text = super::text() + "\n";
        assert!(text.len() > 1000);
        if std::env::var_os("SOUNDPROOF_UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
}
