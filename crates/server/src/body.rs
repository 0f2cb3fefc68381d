//! Reading request bodies: media type, size, time, nesting, and JSON that names the field that is wrong.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use zhiyin_core::{Problem, limits};

use crate::{
    depth::too_deep,
    fault::{Fault, FaultKind},
    router::Shared,
};

/// What a body claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON, or nothing was said.
    Json,
    /// One JSON value per line.
    NdJson,
    /// A JSON merge patch (RFC 7396).
    MergePatch,
}

/// A body as bytes, with what it claims to be.
pub(crate) struct RawBody {
    pub(crate) bytes: Bytes,
    pub(crate) media: Media,
}

/// A body that was parsed as a JSON object.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl FromRequest<Shared> for RawBody {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Fault> {
        let media = media_of(request.headers())?;
        let bytes = collect(request.into_body(), app.body_bytes_max, app.body_timeout).await?;
        Ok(Self { bytes, media })
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for JsonBody<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Fault> {
        let body = RawBody::from_request(request, app).await?;
        body.expect(Media::Json)?;
        let Object(value) = parse(&body.bytes)?;
        Ok(Self(value))
    }
}

impl RawBody {
    /// Refuses a media type that the route doesn't take. Plain JSON is always taken.
    pub(crate) fn expect(&self, media: Media) -> Result<(), Fault> {
        if self.media == Media::Json || self.media == media { Ok(()) } else { Err(unsupported("another JSON type")) }
    }
}

fn media_of(headers: &HeaderMap) -> Result<Media, Fault> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
    let value = value.to_str().unwrap_or("?");
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Media::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Media::NdJson),
        "application/merge-patch+json" => Ok(Media::MergePatch),
        _ => Err(unsupported(&essence)),
    }
}

fn unsupported(found: &str) -> Fault {
    let found: String = found.chars().take(80).collect();
    let rule = format!("is {found:?}, which is not supported here");
    let remedy = "send JSON with `content-type: application/json` (events also as `application/x-ndjson`)";
    Fault::new(FaultKind::UnsupportedMediaType, Problem::field("content-type", rule, remedy))
}

async fn collect(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, Fault> {
    // The declared length is refused before a byte is read.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Ok(Err(_)) => Err(Fault::bad("body", "ended early or is not well formed", "send the whole body")),
        Err(_) => {
            let rule = format!("did not arrive within {} s", timeout.as_secs_f32());
            Err(Fault::new(FaultKind::Timeout, Problem::field("body", rule, "send it faster or in smaller batches")))
        }
    }
}

fn too_large(bytes_max: usize) -> Fault {
    let rule = format!("has more than {bytes_max} bytes");
    Fault::new(FaultKind::TooLarge, Problem::field("body", rule, "send it in smaller batches"))
}

/// Refuses more than [`limits::BATCH_MAX`] rows.
pub(crate) fn check_batch(rows: usize) -> Result<(), Fault> {
    if rows <= limits::BATCH_MAX {
        return Ok(());
    }
    let rule = format!("has {rows} rows, at most {} are allowed", limits::BATCH_MAX);
    Err(Fault::new(FaultKind::TooLarge, Problem::field("body", rule, "send it in smaller batches")))
}

/// A value that must be a JSON object. Alone, derived readers take an array for an object, too, and its elements for the fields in
/// their order: `[]` would be a whole request.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Why a text is not the JSON that was expected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonError {
    /// Whether it is not JSON at all, as opposed to JSON of another shape.
    pub(crate) syntax: bool,
    /// The field, the rule and the remedy.
    pub(crate) problem: Problem,
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        Self::new(FaultKind::BadRequest, error.problem)
    }
}

/// Parses JSON. The common case takes the fast road; only when it fails is the text read again to find the field that is wrong.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    if too_deep(json) {
        return Err(deep());
    }
    serde_json::from_slice(json).or_else(|_| parse_slowly(json))
}

fn parse_slowly<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    if let Err(error) = std::str::from_utf8(json) {
        let rule = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        return Err(JsonError { syntax: true, problem: Problem::field("body", rule, "send UTF-8") });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(&error))?;
    deserializer.end().map_err(|error| JsonError {
        syntax: true,
        problem: Problem::field("body", format!("is not valid JSON: {error}"), "send one JSON value"),
    })?;
    Ok(value)
}

/// Reads a JSON value into a type, naming the field that doesn't fit.
pub(crate) fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, JsonError> {
    serde_path_to_error::deserialize(value).map_err(|error| explain(&error))
}

fn deep() -> JsonError {
    let rule = format!("nests deeper than {} levels", limits::JSON_DEPTH_MAX);
    JsonError { syntax: false, problem: Problem::field("body", rule, "flatten it") }
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> JsonError {
    let inner = error.inner();
    let message = inner.to_string();
    let field = field_of(&error.path().to_string(), &message);
    let syntax = inner.is_syntax() || inner.is_eof();
    let problem = if syntax {
        Problem::field(
            field,
            format!("is not valid JSON: {message}"),
            "send valid JSON (it has no NaN and no infinity)",
        )
    } else {
        Problem::field(field, in_terms_of_json(without_place(&message)), "see /docs for the fields and their types")
    };
    JsonError { syntax, problem }
}

/// The path of the wrong field. An unknown, missing or repeated field is named by the message only.
fn field_of(path: &str, message: &str) -> String {
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start));
    let named = named.and_then(|rest| rest.split('`').next()).filter(|name| !path.ends_with(name));
    // A path ends in `?` where the text breaks off before the name of a field is known.
    let path = path.trim_end_matches('?').trim_end_matches('.');
    match (path, named) {
        ("", None) => "body".into(),
        ("", Some(name)) => name.into(),
        (path, None) => path.into(),
        (path, Some(name)) => format!("{path}.{name}"),
    }
}

/// A message that says what JSON should have been there, not into which type of this program it goes.
fn in_terms_of_json(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or greater",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(rule, _)| rule)
}

#[cfg(test)]
mod tests {
    use zhiyin_core::{EventInput, Item};
    use zhiyin_engine::RecommendRequest;

    use super::*;

    fn field<T: DeserializeOwned>(json: &str) -> (bool, String) {
        let Err(error) = parse::<T>(json.as_bytes()) else { panic!("{json} was taken") };
        (error.syntax, error.problem.field)
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(field::<Object<RecommendRequest>>(r#"{"users":"user-42"}"#), (false, "users".into()));
        assert_eq!(field::<Object<RecommendRequest>>(r#"{"limit":-1}"#), (false, "limit".into()));
        assert_eq!(field::<Object<RecommendRequest>>(r#"{"exclude":["a",5]}"#), (false, "exclude[1]".into()));
        assert_eq!(field::<Object<RecommendRequest>>(r#"{"diversity":NaN}"#), (true, "diversity".into()));
        assert_eq!(field::<Object<EventInput>>(r#"{"user":"user-42"}"#), (false, "type".into()));
        assert_eq!(field::<Vec<Object<Item>>>(r#"[{"id":"a"},{"id":"b","price":"1"}]"#), (false, "[1].price".into()));
        assert_eq!(field::<Vec<Object<Item>>>(r#"[{"id":"a","colour":1}]"#), (false, "[0].colour".into()));
        assert_eq!(field::<Object<RecommendRequest>>("{}{}"), (true, "body".into()));
        assert_eq!(field::<Object<RecommendRequest>>(r#"{"limit":1"#), (true, "body".into()));
        assert_eq!(field::<Object<RecommendRequest>>("[]"), (false, "body".into()));
        assert_eq!(field::<Vec<Object<Item>>>(r#"[{"id":"a"},["b"]]"#), (false, "[1]".into()));
        assert_eq!(field::<Object<RecommendRequest>>("hello"), (true, "body".into()));
        assert_eq!(field::<Object<RecommendRequest>>(""), (true, "body".into()));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_with_their_place() {
        let error = parse::<serde_json::Value>(b"{\"user\":\"\xff\"}").unwrap_err();
        assert_eq!((error.syntax, error.problem.rule.as_str()), (true, "is not UTF-8 from byte 9 on"));
    }
}
