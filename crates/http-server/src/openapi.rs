//! The API's description, as it is sent.

use axum::response::{IntoResponse as _, Response};
use http::header;
use utoipa::openapi::{
    OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// Says that requests may carry an API key, under a name in the document.
pub fn bearer(openapi: &mut OpenApi, name: &str) {
    openapi
        .components
        .get_or_insert_default()
        .add_security_scheme(
            name,
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
}

/// The document's text, the same for everybody.
pub fn answer(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
