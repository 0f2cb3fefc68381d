//! Answers as JSON.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::fault::Fault;

/// Media type of ordinary answers.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Media type of problems (RFC 9457).
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What handlers give back.
pub(crate) type Answer = Result<Response, Fault>;

/// A JSON answer; `bytes` is the expected size, so that the buffer grows once at most.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T, bytes: usize) -> Response {
    json_as(JSON, status, value, bytes)
}

/// A JSON answer of another media type.
pub(crate) fn json_as<T: Serialize + ?Sized>(
    media: HeaderValue,
    status: StatusCode,
    value: &T,
    bytes: usize,
) -> Response {
    let mut buffer = Vec::with_capacity(bytes);
    match serde_json::to_writer(&mut buffer, value) {
        Ok(()) => with_type(media, status, buffer.into()),
        // Our own types always serialise; should one not, the client gets an honest status without a body.
        Err(cause) => {
            tracing::error!(%cause, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer with a body of the given media type.
pub(crate) fn with_type(media: HeaderValue, status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
