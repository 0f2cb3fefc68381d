//! Explanations of recommendations, and how the language models are.
//!
//! A request never waits for a model unless it says for how long. What is said comes from exact attributions and the catalogue; what a
//! model writes has passed the checker of `zhiyin-writing`.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zhiyin_assistant::{Order, Text};
use zhiyin_core::{language::Limits, limits};
use zhiyin_engine::{
    RecommendRequest,
    request::{Explanation, Reason, RecommendedItem},
};
use zhiyin_writing::{Claim, Evidence, Fact, Language};

use crate::{
    answer::{self, Answer},
    body::JsonBody,
    fault::Fault,
    router::{App, Shared},
};

/// Items of one request for texts.
pub(super) const ITEMS_MAX: usize = 50;
/// How long a request may wait for a model.
const WAIT_MS_MAX: u32 = 60_000;
/// Attribute of a user that names the language in which they read.
const LANGUAGE_ATTRIBUTE: &str = "language";

/// What the request tells of its reader: `Accept-Language`, and whether events are streamed.
pub(crate) struct Reader {
    languages: Option<HeaderValue>,
    streams: bool,
}

impl FromRequestParts<Shared> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Infallible> {
        let languages = parts.headers.get(header::ACCEPT_LANGUAGE).cloned();
        let accepts = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        Ok(Self { languages, streams: accepts.is_some_and(|value| value.contains("text/event-stream")) })
    }
}

impl Reader {
    /// The language of a text: that of the request, else that of the user's attribute, else the first of `Accept-Language`, else English.
    pub(crate) fn language(&self, app: &App, user: Option<&str>, asked: Option<&str>) -> Language {
        if let Some(tag) = asked {
            return Language::from_tag(tag);
        }
        let profile = user.and_then(|id| app.engine.user(id));
        let attribute = profile.as_ref().and_then(|user| user.attributes.get(LANGUAGE_ATTRIBUTE)?.as_str());
        let accepted = || Some(self.languages.as_ref()?.to_str().ok()?.split([',', ';']).next()?.trim());
        attribute.or_else(accepted).map_or_else(Language::default, Language::from_tag)
    }
}

/// Gives each item the sentence that is there now. What was written is read from the database, apart from the threads that serve.
pub(crate) async fn explain(
    app: &Shared,
    mut items: Vec<RecommendedItem>,
    language: Language,
) -> Result<Vec<RecommendedItem>, Fault> {
    let app = Arc::clone(app);
    let explaining = tokio::task::spawn_blocking(move || {
        explain_now(&app, &mut items, language);
        items
    });
    explaining.await.map_err(|error| Fault::internal(&error))
}

fn explain_now(app: &App, items: &mut [RecommendedItem], language: Language) {
    let texts = app.assistant.texts(&orders(items, language));
    show(items, texts, language);
}

fn orders(items: &[RecommendedItem], language: Language) -> Vec<Order> {
    items.iter().map(|item| Order::explanation(evidence(item), language)).collect()
}

fn show(items: &mut [RecommendedItem], texts: Vec<Text>, language: Language) {
    for (item, text) in items.iter_mut().zip(texts) {
        item.explanation = Some(explanation(text, language));
    }
}

fn explanation(text: Text, language: Language) -> Explanation {
    Explanation {
        text: text.text,
        language: language.tag().to_owned(),
        origin: text.origin.name().to_owned(),
        model: text.model,
        pending: text.pending,
        because: text.because,
    }
}

/// What may be said of a recommendation: its exact reasons as far as they make a claim that a text can tell.
pub(super) fn evidence(item: &RecommendedItem) -> Evidence {
    let facts = item.reasons.iter().filter_map(|reason| {
        let claim = claim(reason)?;
        let thing = match reason.kind.as_str() {
            "history" => Some(reason.title.clone().unwrap_or_else(|| named(&item.title, &item.item))),
            _ => reason.subject.clone().filter(|_| claim.has_thing()),
        };
        Some(Fact { claim, thing, weight: f64::from(reason.amount) })
    });
    Evidence { item: named(&item.title, &item.item), facts: facts.collect(), ..Evidence::default() }
}

/// What a reason claims; none if a text would have to say more than is known.
fn claim(reason: &Reason) -> Option<Claim> {
    use zhiyin_core::Kind as Event;
    Some(match (reason.kind.as_str(), reason.subject.as_deref()) {
        ("history", _) => match reason.event {
            Some(Event::Purchase) => Claim::Bought,
            Some(Event::Cart) => Claim::Carted,
            Some(Event::Like | Event::Rating) => Claim::Liked,
            Some(Event::Review) => Claim::Reviewed,
            Some(Event::Play) => Claim::Played,
            Some(Event::Share) => Claim::Shared,
            _ => Claim::Viewed,
        },
        ("aspect", Some(_)) => Claim::Praised,
        ("neighbours", _) => Claim::Alike,
        ("friends", _) => Claim::Friends,
        ("feature", Some("popularity")) => Claim::Popular,
        ("feature", Some("segment_popularity" | "segment")) => Claim::PopularNearby,
        ("feature", Some("reviews")) => Claim::WellReviewed,
        ("feature", Some("price_fit" | "price_band")) => Claim::Price,
        ("feature", Some("category_affinity")) => Claim::Usual,
        ("feature", Some("hour" | "weekday" | "hour_match" | "weekday_match")) => Claim::Timely,
        _ => return None,
    })
}

pub(super) fn named(title: &str, id: &str) -> String {
    if title.trim().is_empty() { id.to_owned() } else { title.to_owned() }
}

/// Which recommendations to explain, to whom.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplanationsRequest {
    /// Known user.
    #[serde(default)]
    user: Option<String>,
    /// Anonymous session.
    #[serde(default)]
    session: Option<String>,
    /// The items, 1 to 50.
    items: Vec<String>,
    /// BCP 47 tag of the language; when absent, the user's attribute `language`, then `Accept-Language`, then English.
    #[serde(default)]
    language: Option<String>,
    /// Milliseconds, up to 60,000, to wait for a language model; 0 when absent.
    #[serde(default)]
    wait_ms: u32,
}

/// Explanations.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ExplanationsAnswer {
    /// One per item, in the order of the request.
    items: Vec<RecommendedItem>,
}

/// Explain items
///
/// Says why the items are, or would be, recommended to somebody, from the exact parts of their scores. Without `wait_ms` the answer comes at
/// once: what a language model wrote before, else a template, while a model works on it in the background (`pending`). With it, the model has that
/// long. With `Accept: text/event-stream` each item is an event `explanation` as soon as it is known: the first sentence at once, a model's if it
/// comes in time, and `done` at the end.
#[utoipa::path(post, path = "/v1/explanations", tag = "texts", request_body(content = ExplanationsRequest,
    example = json!({"user": "user-42", "items": ["22423"], "language": "en", "wait_ms": 0})),
    responses((status = 200, description = "Explanations", body = ExplanationsAnswer, example = json!({"items": [{
        "item": "22423", "title": "REGENCY CAKESTAND 3 TIER", "score": 1.27, "source": "slist",
        "reasons": [{"kind": "history", "subject": "85123A", "amount": 0.81, "text": "because you bought WHITE HANGING HEART T-LIGHT HOLDER"}],
        "explanation": {"text": "We recommend “REGENCY CAKESTAND 3 TIER” because you bought “WHITE HANGING HEART T-LIGHT HOLDER”.", "language": "en", "origin": "template", "pending": true}
    }]})), (status = 404, description = "An item is not known")))]
pub(crate) async fn explanations(
    State(app): State<Shared>,
    reader: Reader,
    JsonBody(request): JsonBody<ExplanationsRequest>,
) -> Answer {
    check_count("items", request.items.len(), ITEMS_MAX)?;
    check_wait("wait_ms", request.wait_ms)?;
    let language = reader.language(&app, request.user.as_deref(), request.language.as_deref());
    let asker = RecommendRequest { user: request.user, session: request.session, ..RecommendRequest::default() };
    let mut items = app.engine.explain(&asker, &request.items)?;
    if request.wait_ms == 0 {
        items = explain(&app, items, language).await?;
    } else {
        // Somebody waits for the model: it isn't asked in the background as well.
        let (shared, orders) = (Arc::clone(&app), orders(&items, language));
        let at_hand = tokio::task::spawn_blocking(move || shared.assistant.at_hand(&orders)).await;
        show(&mut items, at_hand.map_err(|error| Fault::internal(&error))?, language);
    }
    if reader.streams {
        return Ok(stream(app, items, language, request.wait_ms));
    }
    let items = if request.wait_ms > 0 {
        let waiting = wait(app, items, language, request.wait_ms, |_| {});
        tokio::task::spawn_blocking(waiting).await.map_err(|error| Fault::internal(&error))?
    } else {
        items
    };
    Ok(answer::json(StatusCode::OK, &ExplanationsAnswer { items }, 4_096))
}

/// Has a model write what is pending, until the time is over; what is left then is written in the background. Blocks when called.
fn wait(
    app: Shared,
    mut items: Vec<RecommendedItem>,
    language: Language,
    wait_ms: u32,
    mut on_item: impl FnMut(&RecommendedItem),
) -> impl FnOnce() -> Vec<RecommendedItem> {
    let within = Limits::within(Duration::from_millis(wait_ms.into()));
    let is_pending = |item: &RecommendedItem| item.explanation.as_ref().is_some_and(|text| text.pending);
    move || {
        for at in 0..items.len() {
            if !is_pending(&items[at]) {
                continue;
            }
            if within.check().is_err() {
                explain_now(&app, &mut items[at..], language);
                break;
            }
            let order = Order::explanation(evidence(&items[at]), language);
            items[at].explanation = Some(explanation(app.assistant.text_within(&order, within.clone()), language));
            on_item(&items[at]);
        }
        items
    }
}

/// Server-sent events: what is there, then what a model writes in time.
fn stream(app: Shared, items: Vec<RecommendedItem>, language: Language, wait_ms: u32) -> axum::response::Response {
    let (sender, receiver) = unbounded_channel();
    let done = sender.clone();
    // Sending fails only if the client is gone.
    let tell = move |item: &RecommendedItem| drop(sender.send(event("explanation", item)));
    items.iter().for_each(&tell);
    tokio::task::spawn_blocking(move || {
        wait(app, items, language, wait_ms, &tell)();
        drop(done.send(event("done", &json!({}))));
    });
    let body = Body::new(Events(receiver));
    answer::with_type(HeaderValue::from_static("text/event-stream"), StatusCode::OK, body)
}

fn event(name: &str, data: &impl Serialize) -> String {
    // Our own types always serialise, and to one line.
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}

/// A body of events as they come.
struct Events(UnboundedReceiver<String>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(Bytes::from(event)))))
    }
}

pub(super) fn check_count(field: &str, count: usize, most: usize) -> Result<(), Fault> {
    if (1..=most.min(limits::BATCH_MAX)).contains(&count) {
        return Ok(());
    }
    Err(Fault::bad(
        field,
        format!("has {count} entries, must have 1 to {most}"),
        if count == 0 { "name what it is about" } else { "ask for fewer at once" },
    ))
}

pub(super) fn check_wait(field: &str, wait_ms: u32) -> Result<(), Fault> {
    if wait_ms <= WAIT_MS_MAX {
        return Ok(());
    }
    Err(Fault::bad(field, format!("is {wait_ms}, at most {WAIT_MS_MAX} are allowed"), "ask again later instead"))
}

/// How the language models are
///
/// Who answers, whether that is the preferred one, why another doesn't, today's tokens and money, kept results, background work.
#[utoipa::path(get, path = "/v1/language", operation_id = "language_status", tag = "operation",
    responses((status = 200, description = "Runtimes, texts, cache, jobs", body = Object, example = json!({
        "runtimes": {"serving": "smollm2", "degraded": false, "reasons": [], "last_answer_by": "smollm2", "runtimes": [{
            "name": "smollm2", "kind": "local", "model": "smollm2@b179c9523d0e", "availability": {"state": "ready"}, "circuit": null,
            "queued": 0, "queue_capacity": 64, "running": 1, "counts": {"answered": 12, "failed": 0, "from_cache": 3, "last_error": null}, "budget": null
        }]},
        "texts": {"templates": 20, "model_texts": 9, "accepted": 9, "rejected": 3},
        "cache": {"entries": 24, "bytes": 9_812, "bytes_max": 67_108_864, "evicted": 0}, "jobs": []
    }))))]
pub(crate) async fn status(State(app): State<Shared>) -> Answer {
    let app = Arc::clone(&app);
    let status = tokio::task::spawn_blocking(move || app.assistant.status()).await;
    Ok(answer::json(StatusCode::OK, &status.map_err(|error| Fault::internal(&error))?, 2_048))
}
