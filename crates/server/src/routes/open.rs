//! What anybody may ask: health, readiness and the documentation.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use zhiyin_core::Problem;

use crate::{
    answer::{self, Answer},
    fault::{Fault, FaultKind},
    router::Shared,
};

/// The page at `/docs`: one file without dependencies that renders `/openapi.json`.
const PAGE: &str = include_str!("../docs.html");
/// The page may load nothing but its own inline code and the document.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
);

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It is", body = Object, example = json!({"status": "ok"}))))]
pub(crate) async fn healthz() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}), 32)
}

/// Whether requests can be served
///
/// 503 while the log is replayed and while the server stops.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "They can", body = Object, example = json!({"status": "ready"})),
        (status = 503, description = "Not now")))]
pub(crate) async fn readyz(State(app): State<Shared>) -> Answer {
    if app.engine.ready() {
        return Ok(answer::json(StatusCode::OK, &json!({"status": "ready"}), 32));
    }
    let problem = Problem::field("server", "is not ready", "ask again in a moment");
    Err(Fault::new(FaultKind::Stopping, problem))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "The OpenAPI document", body = Object, example = json!({"openapi": "3.1.0"}))))]
pub(crate) async fn openapi_json(State(app): State<Shared>) -> Response {
    let json = HeaderValue::from_static("application/json");
    answer::with_type(json, StatusCode::OK, Body::from(app.document.clone()))
}

/// This document as a page for people
#[utoipa::path(get, path = "/docs", tag = "operation",
    responses((status = 200, description = "A page", body = String, content_type = "text/html", example = json!("<!doctype html>"))))]
pub(crate) async fn docs() -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, html),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, PAGE).into_response()
}
