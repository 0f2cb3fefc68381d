//! Taking in events: one object, an array, or one object per line.
//!
//! What isn't JSON at all is refused as a whole. An element that is JSON of a wrong shape becomes a rejected outcome of its own, and the
//! others of the batch still count.

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use zhiyin_core::{EventInput, Problem};
use zhiyin_engine::{
    Incoming,
    request::{EventOutcome, EventStatus},
};

use crate::{
    answer::{Answer, json},
    body::{JsonError, Media, Object, RawBody, check_batch, parse},
    fault::{Fault, FaultKind},
    router::Shared,
};

/// What became of a batch.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct IngestAnswer {
    /// Events that count as they were sent.
    accepted: usize,
    /// Events that were known already.
    duplicate: usize,
    /// Events that a rule changed and that count.
    repaired: usize,
    /// Events that don't count; they are kept apart with the reason.
    rejected: usize,
    /// What became of each event, in the order of the request.
    outcomes: Vec<EventOutcome>,
}

impl IngestAnswer {
    fn of(outcomes: Vec<EventOutcome>) -> Self {
        let count = |status| outcomes.iter().filter(|outcome| outcome.status == status).count();
        Self {
            accepted: count(EventStatus::Accepted),
            duplicate: count(EventStatus::Duplicate),
            repaired: count(EventStatus::Repaired),
            rejected: count(EventStatus::Rejected),
            outcomes,
        }
    }
}

/// One event or a list of them, for the documentation.
#[derive(utoipa::ToSchema)]
#[schema(as = EventsBody)]
#[serde(untagged)]
#[allow(dead_code, reason = "documentation only")]
pub(crate) enum EventsBody {
    /// One event.
    One(Box<EventInput>),
    /// A batch.
    Many(Vec<EventInput>),
}

/// Send events
///
/// One event, a JSON array of events, or one event per line. The answer comes when the batch is durable, and the next recommendation
/// knows it. Events with an `id` can be sent again safely.
///
/// A single event of a wrong shape gives 400. In a batch such an event is a rejected outcome, and the others count.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    request_body(content(
        (EventsBody = "application/json", example = json!({"type": "view", "user": "user-42", "item": "85123A"})),
        (String = "application/x-ndjson", example = json!("{\"type\":\"view\",\"user\":\"user-42\",\"item\":\"85123A\"}\n"))
    )),
    responses(
        (status = 202, description = "The batch is durable; what became of each event", body = IngestAnswer, example = json!({
            "accepted": 1, "duplicate": 0, "repaired": 0, "rejected": 1,
            "outcomes": [
                {"id": "019ab3c5-7a10-7cc3-98c4-dc0c0c07398f", "status": "accepted"},
                {"status": "rejected", "rule": "schema", "reason": "quantity: invalid type: string \"two\", expected f64; see /docs for the fields and their types"}
            ]
        })),
        (status = 429, description = "The queue is full; `Retry-After` says when to try again"),
        (status = 507, description = "The disk is full; nothing was written")))]
pub(crate) async fn ingest(State(app): State<Shared>, body: RawBody) -> Answer {
    body.expect(Media::NdJson)?;
    let Parsed { events, alone_and_wrong } = split(&body)?;
    check_batch(events.len())?;
    let outcomes = app.engine.ingest_incoming(events).await?;
    app.ingest.record(&outcomes);
    if let Some(problem) = alone_and_wrong {
        return Err(Fault::new(FaultKind::BadRequest, problem).with_outcomes(outcomes));
    }
    let bytes = 64 + 96 * outcomes.len();
    Ok(json(StatusCode::ACCEPTED, &IngestAnswer::of(outcomes), bytes))
}

/// A body taken apart.
struct Parsed {
    events: Vec<Incoming>,
    /// What is wrong with the only event of a body that is one object.
    alone_and_wrong: Option<Problem>,
}

impl Parsed {
    fn batch(events: Vec<Incoming>) -> Self {
        Self { events, alone_and_wrong: None }
    }
}

/// Takes a body apart. The media type is only needed to let a body without events (no lines) pass: everything else shows by its first
/// byte and, for several objects, by the line end after the first.
fn split(body: &RawBody) -> Result<Parsed, Fault> {
    let text = body.bytes.trim_ascii();
    match text.first() {
        Some(b'[') => array(text),
        Some(b'{') if body.media != Media::NdJson => object(text),
        None if body.media != Media::NdJson => Err(Fault::bad("body", "is empty", "send an event or a list of events")),
        _ if body.media == Media::NdJson => Ok(Parsed::batch(lines(text))),
        _ => Err(not_events(text)),
    }
}

fn not_events(text: &[u8]) -> Fault {
    match parse::<serde::de::IgnoredAny>(text) {
        Ok(_) => Fault::bad("body", "is neither an object nor an array", "send an event or a list of events"),
        Err(error) => error.into(),
    }
}

/// An array. If all of it fits, one pass is enough; if not, each element is looked at alone.
fn array(text: &[u8]) -> Result<Parsed, Fault> {
    if let Ok(events) = parse::<Vec<Object<EventInput>>>(text) {
        return Ok(Parsed::batch(events.into_iter().map(event).collect()));
    }
    if let Err(error) = std::str::from_utf8(text) {
        let rule = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        return Err(Fault::bad("body", rule, "send UTF-8"));
    }
    let elements: Vec<&RawValue> = serde_json::from_slice(text).map_err(|error| {
        Fault::bad("body", format!("is not valid JSON: {error}"), "send valid JSON (it has no NaN)")
    })?;
    check_batch(elements.len())?;
    Ok(Parsed::batch(elements.into_iter().map(|element| one(element.get().as_bytes())).collect()))
}

/// An object, or several with line ends between them.
fn object(text: &[u8]) -> Result<Parsed, Fault> {
    let error = match parse::<Object<EventInput>>(text) {
        Ok(input) => return Ok(Parsed::batch(vec![event(input)])),
        Err(error) => error,
    };
    if several_lines(text) {
        return Ok(Parsed::batch(lines(text)));
    }
    if error.syntax {
        return Err(error.into());
    }
    let problem = error.problem.clone();
    Ok(Parsed { events: vec![malformed(&error, text)], alone_and_wrong: Some(problem) })
}

/// Whether the first line is a whole JSON value and more follow: then it is one event per line and not one object over many lines.
fn several_lines(text: &[u8]) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.len() < text.len() && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok()
}

fn lines(text: &[u8]) -> Vec<Incoming> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(one).collect()
}

fn one(text: &[u8]) -> Incoming {
    parse(text).map_or_else(|error| malformed(&error, text), event)
}

fn event(Object(input): Object<EventInput>) -> Incoming {
    Incoming::Event(Box::new(input))
}

fn malformed(error: &JsonError, text: &[u8]) -> Incoming {
    Incoming::Malformed { body: String::from_utf8_lossy(text).into_owned(), reason: error.problem.to_string() }
}
