//! /openapi.json.

use super::{admin, blobs, events, input, jobs, outcome, sessions};
use axum::response::Response;
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Soundproof",
        description = "Delegated proving that the operator cannot look into. Bodies that clients \
            check by digest are deterministic CBOR; the rest is JSON. Every failure is a problem \
            document (RFC 9457) with a stable code.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        sessions::open, blobs::put, blobs::get, jobs::create, jobs::list, jobs::get, jobs::delete,
        jobs::cancel, input::put, input::get, events::stream, outcome::get, admin::info,
        admin::healthz, admin::readyz, admin::metrics,
    ),
    components(schemas(soundproof_protocol::api::Problem)),
    modifiers(&Security),
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        soundproof_http::openapi::bearer(openapi, "tenant");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "access",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(
                soundproof_protocol::api::ACCESS_HEADER,
            ))),
        );
    }
}

static TEXT: LazyLock<String> = LazyLock::new(text);

/// The document.
pub(crate) fn text() -> String {
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
