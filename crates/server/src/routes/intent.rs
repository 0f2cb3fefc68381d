//! Recommendations for a wish in words: the wish becomes a filter and an order of its own.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use zhiyin_assistant::{Intent, Origin, OwnPart, QUERY_BYTES_MAX, ReadIntent, Seen, word_filter};
use zhiyin_core::{Kind, language::Limits, limits};
use zhiyin_engine::{EngineError, OwnHistory, RecommendRequest, Recommendations, Wish};

use super::language::check_wait;
use crate::{
    answer::{self, Answer},
    body::JsonBody,
    fault::Fault,
    params,
    router::{App, Shared},
};

/// A wish in words.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WishRequest {
    /// What somebody typed, up to 512 bytes. Not needed with `intent`.
    #[serde(default)]
    query: String,
    /// The intent of an earlier answer, corrected by a person: nothing is read from `query` then.
    #[serde(default)]
    intent: Option<Intent>,
    /// Known user.
    #[serde(default)]
    user: Option<String>,
    /// Anonymous session.
    #[serde(default)]
    session: Option<String>,
    /// Where in the product the list is shown.
    #[serde(default)]
    surface: Option<String>,
    /// Number of items, 1 to 200; 10 when absent.
    #[serde(default)]
    limit: Option<usize>,
    /// Milliseconds, up to 60,000, in which a language model may read the query; 0 when absent: rules read it.
    #[serde(default)]
    wait_ms: u32,
    /// Milliseconds that encoding the words may take, 0 to 5000; 500 when absent. Past it their meaning doesn't count.
    #[serde(default)]
    deadline_ms: Option<u64>,
}

/// What a wish was taken for, and what there is for it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct WishAnswer {
    /// The wish as it was read; to be corrected and sent again.
    intent: Intent,
    /// Who read it: `rules`, `model` or `request`.
    read_by: &'static str,
    /// Why it was no model, if one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// The item that it should be like.
    #[serde(skip_serializing_if = "Option::is_none")]
    like: Option<LikeItem>,
    /// Interactions of the asker's own history that the list is like, where the wish names some; with 0 it is made for the whole history.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_interactions: Option<usize>,
    /// What was left out: words that no item has together with the others, and an item that there isn't.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// The filter that the list passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    /// Why the meaning of the words doesn't count: `no-encoder`, `encoder-failed`, `busy` or `deadline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_meaning: Option<&'static str>,
    /// The list: a recorded decision.
    recommendations: Recommendations,
}

/// An item that a wish names.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LikeItem {
    /// The item.
    item: String,
    /// Its title.
    title: String,
}

/// Recommend for a wish in words
///
/// Reads from the query bounds of the price, words, and what the item should be like: an item that it names, or what the asker chose before ("like what I bought in
/// spring"). Recommends among the items that pass the first two, ordered by the last and by the meaning of the words, and returns what it read. Rules read at once;
/// with `wait_ms` a language model does, and the rules if it isn't done in time.
#[utoipa::path(post, path = "/v1/search/recommendations", operation_id = "recommend_for_wish", tag = "recommendations",
    request_body(content = WishRequest, example = json!({"query": "a red gift under 10 pounds, like what I bought in spring", "user": "user-42", "limit": 5})),
    responses((status = 200, description = "The intent and the list", body = WishAnswer, example = json!({
        "intent": {"price_max": 10.0, "words": ["red", "gift"], "like_own": {"event": "purchase", "from": "2026-03-01", "to": "2026-06-01"}}, "read_by": "rules",
        "filter": "price <= 10 and text has \"red\" and text has \"gift\"", "own_interactions": 12,
        "recommendations": super::recommend::example()
    }))))]
pub(crate) async fn search(State(app): State<Shared>, JsonBody(request): JsonBody<WishRequest>) -> Answer {
    check(&request)?;
    let (read, read_by) = read(&app, &request).await?;
    let deadline = Duration::from_millis(request.deadline_ms.unwrap_or(params::SEARCH_DEADLINE_MS));
    let words = read.intent.words.join(" ");
    let vector = if words.is_empty() { Err("no-words") } else { super::search::encode(&app, words, deadline).await };
    let shared = Arc::clone(&app);
    let listing =
        tokio::task::spawn_blocking(move || list(&shared, request, &read.intent, vector).map(|listed| (listed, read)));
    let (listed, read) = listing.await.map_err(|error| Fault::internal(&error))??;
    let Listed { like, left_out, filter, own, without_meaning, recommendations } = listed;
    let answer = WishAnswer {
        own_interactions: read.intent.like_own.as_ref().map(|_| own),
        intent: read.intent,
        read_by,
        because: read.because,
        like,
        left_out,
        filter,
        without_meaning,
        recommendations,
    };
    Ok(answer::json(StatusCode::OK, &answer, 4_096))
}

fn check(request: &WishRequest) -> Result<(), Fault> {
    check_wait("wait_ms", request.wait_ms)?;
    if let Some(deadline) = request.deadline_ms.filter(|deadline| *deadline > limits::SEARCH_MILLISECONDS_MAX) {
        let rule = format!("is {deadline}, must be at most {}", limits::SEARCH_MILLISECONDS_MAX);
        return Err(Fault::bad("deadline_ms", rule, "give a shorter time"));
    }
    let length = request.query.len();
    if length > QUERY_BYTES_MAX || (request.query.trim().is_empty() && request.intent.is_none()) {
        let rule = format!("has {length} bytes, must have 1 to {QUERY_BYTES_MAX}");
        return Err(Fault::bad("query", rule, "say in a sentence what is wished for"));
    }
    if request.intent.as_ref().is_some_and(|intent| !intent.is_sound()) {
        let rule = "has a bound that is no price, a `price_min` above `price_max`, too many words, a word with other characters than letters and digits, \
                    an unknown `event`, or days that are none or not in order";
        return Err(Fault::bad("intent", rule, "correct the intent of an earlier answer"));
    }
    Ok(())
}

async fn read(app: &Shared, request: &WishRequest) -> Result<(ReadIntent, &'static str), Fault> {
    if let Some(intent) = request.intent.clone() {
        return Ok((ReadIntent { intent, origin: Origin::Template, because: None }, "request"));
    }
    let seen = seen(app, request);
    let read = if request.wait_ms == 0 {
        app.assistant.intent(&request.query, seen, None)
    } else {
        let within = Limits::within(Duration::from_millis(request.wait_ms.into()));
        let (app, query) = (Arc::clone(app), request.query.clone());
        let reading = tokio::task::spawn_blocking(move || app.assistant.intent(&query, seen, Some(within)));
        reading.await.map_err(|error| Fault::internal(&error))?
    };
    let read_by = if read.origin == Origin::Model { "model" } else { "rules" };
    Ok((read, read_by))
}

/// The day of the wish, and that of the asker's newest event.
fn seen(app: &App, request: &WishRequest) -> Seen {
    let day = |ms: i64| {
        let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        TimeZone::UTC.to_datetime(time).date()
    };
    let now_ms = app.engine.clock().now_ms();
    let newest_ms = app.engine.newest_event_ms(&asker(request)).map_or(now_ms, |newest_ms| newest_ms.min(now_ms));
    Seen { today: day(now_ms), newest: day(newest_ms) }
}

fn asker(request: &WishRequest) -> RecommendRequest {
    RecommendRequest { user: request.user.clone(), session: request.session.clone(), ..RecommendRequest::default() }
}

/// A list, and what became of the wish.
struct Listed {
    like: Option<LikeItem>,
    left_out: Vec<String>,
    filter: Option<String>,
    own: usize,
    without_meaning: Option<&'static str>,
    recommendations: Recommendations,
}

fn list(
    app: &App,
    request: WishRequest,
    intent: &Intent,
    vector: Result<Vec<f32>, &'static str>,
) -> Result<Listed, EngineError> {
    let like = intent.like.as_deref().and_then(|name| app.engine.item_called(name));
    let cheaper = like.as_ref().and_then(|item| item.price).filter(|_| intent.cheaper);
    let (filter, mut left_out) = possible(app, intent, cheaper)?;
    left_out.extend(intent.like.clone().filter(|_| like.is_none()));
    let without_meaning = vector.as_ref().err().copied().filter(|reason| *reason != "no-words");
    let wish = Wish {
        own: intent.like_own.as_ref().and_then(own),
        items: like.iter().map(|item| item.id.to_string()).collect(),
        words: intent.words.join(" "),
        vector: vector.ok(),
    };
    let asked = RecommendRequest {
        surface: request.surface.clone(),
        limit: request.limit,
        filter: filter.clone(),
        exclude: wish.items.clone(),
        ..asker(&request)
    };
    let (recommendations, own) = app.engine.recommend_for_wish(&asked, &wish)?;
    let like = like.map(|item| LikeItem { item: item.id.to_string(), title: item.title.clone() });
    Ok(Listed { like, left_out, filter, own, without_meaning, recommendations })
}

/// The part of a history that an intent means; it is sound.
fn own(part: &OwnPart) -> Option<OwnHistory> {
    let kinds = match part.event.as_deref() {
        Some("purchase") => vec![Kind::Purchase],
        Some("view") => vec![Kind::View, Kind::Click],
        Some("like") => vec![Kind::Like, Kind::Rating],
        _ => Vec::new(),
    };
    let (from, to) = part.days()?;
    let ms = |day: Date| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok().map(Timestamp::as_millisecond);
    Some(OwnHistory { kinds, window_ms: ms(from)?..ms(to)? })
}

/// The filter without the words that leave nothing, and those words: first those that no item has, then the last one until something is left. Bounds of the price
/// are kept: who has ten pounds can't buy for twenty.
fn possible(app: &App, intent: &Intent, below: Option<f64>) -> Result<(Option<String>, Vec<String>), EngineError> {
    let mut wish = Intent { words: Vec::new(), ..intent.clone() };
    let mut left_out = Vec::new();
    for word in &intent.words {
        let is_known = app.engine.any_item_passes(&word_filter(word))?;
        if is_known { &mut wish.words } else { &mut left_out }.push(word.clone());
    }
    let filter = |wish: &Intent| {
        let parts = wish.filter().into_iter().chain(below.map(|price| format!("price < {price}")));
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    };
    while let (Some(filter), false) = (filter(&wish), wish.words.is_empty()) {
        if app.engine.any_item_passes(&filter)? {
            break;
        }
        left_out.extend(wish.words.pop());
    }
    Ok((filter(&wish), left_out))
}
