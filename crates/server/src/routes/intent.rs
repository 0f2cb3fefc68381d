//! Recommendations for a wish in words: the wish becomes a filter, and the list is made as any other.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use zhiyin_assistant::{Intent, Origin, QUERY_BYTES_MAX, ReadIntent, word_filter};
use zhiyin_core::language::Limits;
use zhiyin_engine::{EngineError, RecommendRequest, Recommendations};

use super::language::check_wait;
use crate::{
    answer::{self, Answer},
    body::JsonBody,
    fault::Fault,
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
    /// Words that were left out, since no item has them together with the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// The filter that the list passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    /// The list: a recorded decision.
    recommendations: Recommendations,
}

/// Recommend for a wish in words
///
/// Reads bounds of the price and words from the query, recommends among the items that have them, and returns what it read. Rules read it at once; with
/// `wait_ms` a language model does, and the rules if it isn't done in time.
#[utoipa::path(post, path = "/v1/search/recommendations", operation_id = "recommend_for_wish", tag = "recommendations",
    request_body(content = WishRequest, example = json!({"query": "a red gift under 10 pounds", "user": "user-42", "limit": 5})),
    responses((status = 200, description = "The intent and the list", body = WishAnswer, example = json!({
        "intent": {"price_max": 10.0, "words": ["red", "gift"]}, "read_by": "rules",
        "filter": "price <= 10 and text has \"red\" and text has \"gift\"",
        "recommendations": super::recommend::example()
    }))))]
pub(crate) async fn search(State(app): State<Shared>, JsonBody(request): JsonBody<WishRequest>) -> Answer {
    check(&request)?;
    let (read, read_by) = read(&app, &request).await?;
    let (wish, left_out) = possible(&app, &read.intent)?;
    let filter = wish.filter();
    let asked = RecommendRequest {
        user: request.user,
        session: request.session,
        surface: request.surface,
        limit: request.limit,
        filter: filter.clone(),
        ..RecommendRequest::default()
    };
    let recommendations = app.engine.recommend(&asked)?;
    let answer = WishAnswer { intent: read.intent, read_by, because: read.because, left_out, filter, recommendations };
    Ok(answer::json(StatusCode::OK, &answer, 4_096))
}

fn check(request: &WishRequest) -> Result<(), Fault> {
    check_wait("wait_ms", request.wait_ms)?;
    let length = request.query.len();
    if length > QUERY_BYTES_MAX || (request.query.trim().is_empty() && request.intent.is_none()) {
        let rule = format!("has {length} bytes, must have 1 to {QUERY_BYTES_MAX}");
        return Err(Fault::bad("query", rule, "say in a sentence what is wished for"));
    }
    if request.intent.as_ref().is_some_and(|intent| !intent.is_sound()) {
        let rule = "has a bound that is no price, a `price_min` above `price_max`, too many words, or a word with other characters than \
                    letters and digits";
        return Err(Fault::bad("intent", rule, "correct the intent of an earlier answer"));
    }
    Ok(())
}

async fn read(app: &Shared, request: &WishRequest) -> Result<(ReadIntent, &'static str), Fault> {
    if let Some(intent) = request.intent.clone() {
        return Ok((ReadIntent { intent, origin: Origin::Template, because: None }, "request"));
    }
    let read = if request.wait_ms == 0 {
        app.assistant.intent(&request.query, None)
    } else {
        let within = Limits::within(Duration::from_millis(request.wait_ms.into()));
        let (app, query) = (Arc::clone(app), request.query.clone());
        let reading = tokio::task::spawn_blocking(move || app.assistant.intent(&query, Some(within)));
        reading.await.map_err(|error| Fault::internal(&error))?
    };
    let read_by = if read.origin == Origin::Model { "model" } else { "rules" };
    Ok((read, read_by))
}

/// The intent without the words that leave nothing: first those that no item has, then the last one until something is left. Bounds of the price
/// are kept: who has ten pounds can't buy for twenty.
fn possible(app: &App, intent: &Intent) -> Result<(Intent, Vec<String>), EngineError> {
    let mut wish = Intent { words: Vec::new(), ..intent.clone() };
    let mut left_out = Vec::new();
    for word in &intent.words {
        let is_known = app.engine.any_item_passes(&word_filter(word))?;
        if is_known { &mut wish.words } else { &mut left_out }.push(word.clone());
    }
    while let (Some(filter), false) = (wish.filter(), wish.words.is_empty()) {
        if app.engine.any_item_passes(&filter)? {
            break;
        }
        left_out.extend(wish.words.pop());
    }
    Ok((wish, left_out))
}
