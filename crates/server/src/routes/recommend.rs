//! Recommendations.
//!
//! The engine answers in about a tenth of a millisecond without waiting for anything, so it is called on the request's own task.

use std::time::Duration;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use zhiyin_core::language::Limits;
use zhiyin_engine::{
    RecommendRequest, Recommendations,
    request::{Explain, RecommendedItem, Reranked},
};

use super::{Id, language, language::Reader};
use crate::{
    answer::{Answer, json},
    body::JsonBody,
    fault::Fault,
    params::{self, Extra},
    router::{App, Shared},
};

/// Time for ordering a list anew when the request doesn't say.
const RERANK_MS_DEFAULT: u32 = 1_000;

async fn answer(
    app: &Shared,
    request: &RecommendRequest,
    reader: &Reader,
    mut recommendations: Recommendations,
) -> Answer {
    if request.explain == Explain::Text {
        let language = reader.language(app, request.user.as_deref(), None);
        recommendations.items = language::explain(app, recommendations.items, language).await?;
    }
    let recommendations = &recommendations;
    // About what an item with reasons takes.
    let bytes = 256 + 256 * recommendations.items.len();
    Ok(json(StatusCode::OK, recommendations, bytes))
}

/// Recommend items
///
/// For a user, a session, both or nobody; with every option. The answer is a recorded decision: events about the shown items should
/// carry its `decision_id` as `decision`. With `rerank: "llm"` a language model may order the best 20 anew within `rerank_ms`; if it can't, the list
/// comes as it was, and `rerank` says why.
#[utoipa::path(post, path = "/v1/recommendations", tag = "recommendations", request_body(
    content = RecommendRequest,
    example = json!({"user": "user-42", "item": "85123A", "limit": 5, "filter": "price < 20", "diversity": 0.2})
), responses((status = 200, description = "The list, best first", body = Recommendations, example = json!(super::recommend::example()))))]
pub(crate) async fn recommend(
    State(app): State<Shared>,
    reader: Reader,
    JsonBody(request): JsonBody<RecommendRequest>,
) -> Answer {
    let wait_ms = request.rerank_ms.unwrap_or(RERANK_MS_DEFAULT);
    language::check_wait("rerank_ms", wait_ms)?;
    if wait_ms == 0 {
        return Err(Fault::bad(
            "rerank_ms",
            "is 0, must be at least 1",
            "give the model some time, or leave `rerank` out",
        ));
    }
    if request.rerank.is_none() {
        return answer(&app, &request, &reader, app.engine.recommend(&request)?).await;
    }
    let (engine, reordered) = (app.clone(), request.clone());
    let within = Limits::within(Duration::from_millis(wait_ms.into()));
    let reordering = tokio::task::spawn_blocking(move || {
        engine.engine.recommend_reordered(&reordered, &|history, items| reorder(&engine, history, items, &within))
    });
    let recommendations = reordering.await.map_err(|error| Fault::internal(&error))??;
    answer(&app, &request, &reader, recommendations).await
}

fn reorder(
    app: &App,
    history: &[String],
    items: &[RecommendedItem],
    within: &Limits,
) -> (Option<Vec<usize>>, Reranked) {
    let titles: Vec<String> = items.iter().map(|item| item.title.clone()).collect();
    match app.assistant.rerank(history, &titles, within) {
        Ok((order, model)) => (Some(order), Reranked { applied: true, model: Some(model), because: None }),
        Err(error) => (None, Reranked { applied: false, model: None, because: Some(error.to_string()) }),
    }
}

/// Recommend items to a user
///
/// The simple form of `POST /v1/recommendations`.
#[utoipa::path(get, path = "/v1/users/{id}/recommendations", operation_id = "recommend_for_user", tag = "recommendations",
    params(("id" = String, Path, description = "The user", example = "user-42"), ListParams, ActorParams),
    responses((status = 200, description = "The list, best first", body = Recommendations, example = json!(super::recommend::example()))))]
pub(crate) async fn for_user(
    State(app): State<Shared>,
    Id(id): Id,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Answer {
    let (mut request, _) = params::recommend(query.as_deref(), Extra::Actor)?;
    request.user = Some(id);
    answer(&app, &request, &reader, app.engine.recommend(&request)?).await
}

/// Recommend items to an anonymous session
///
/// The simple form of `POST /v1/recommendations`.
#[utoipa::path(get, path = "/v1/sessions/{id}/recommendations", operation_id = "recommend_for_session", tag = "recommendations",
    params(("id" = String, Path, description = "The session", example = "session-7"), ListParams, ActorParams),
    responses((status = 200, description = "The list, best first", body = Recommendations, example = json!(super::recommend::example()))))]
pub(crate) async fn for_session(
    State(app): State<Shared>,
    Id(id): Id,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Answer {
    let (mut request, _) = params::recommend(query.as_deref(), Extra::Actor)?;
    request.session = Some(id);
    answer(&app, &request, &reader, app.engine.recommend(&request)?).await
}

/// Items that go with an item
#[utoipa::path(get, path = "/v1/items/{id}/similar", tag = "recommendations",
    params(("id" = String, Path, description = "The item", example = "85123A"), ListParams),
    responses((status = 200, description = "The list, best first", body = Recommendations, example = json!(super::recommend::example())),
        (status = 404, description = "The item is not known")))]
pub(crate) async fn similar(
    State(app): State<Shared>,
    Id(id): Id,
    reader: Reader,
    RawQuery(query): RawQuery,
) -> Answer {
    let (request, _) = params::recommend(query.as_deref(), Extra::Nothing)?;
    answer(&app, &request, &reader, app.engine.similar(&id, &request)?).await
}

/// What is popular now
///
/// Overall, or among the users of a segment.
#[utoipa::path(get, path = "/v1/popular", tag = "recommendations",
    params(("segment" = Option<String>, Query, description = "Only what users of this segment like", example = "Germany"), ListParams),
    responses((status = 200, description = "The list, best first", body = Recommendations, example = json!(super::recommend::example()))))]
pub(crate) async fn popular(State(app): State<Shared>, reader: Reader, RawQuery(query): RawQuery) -> Answer {
    let (request, segment) = params::recommend(query.as_deref(), Extra::Segment)?;
    answer(&app, &request, &reader, app.engine.popular(segment.as_deref(), &request)?).await
}

/// Query parameters of every list; they are read by [`params::recommend`], this type documents them.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation only")]
struct ListParams {
    /// Number of items, 1 to 200; 10 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Expression over item fields.
    #[param(example = "price < 20 and category in [\"mug\", \"bowl\"]")]
    filter: Option<String>,
    /// Items that must not be in the list, separated by commas. May be repeated.
    exclude: Option<String>,
    /// Where in the product the list is shown.
    #[param(example = "home")]
    surface: Option<String>,
    /// How much is explained: `none`, `reasons` (the default), `text` or `trace`.
    #[param(example = "reasons")]
    explain: Option<String>,
    /// Weight of diversity, 0 to 1.
    #[param(minimum = 0.0, maximum = 1.0)]
    diversity: Option<f32>,
    /// Whether cold items get exploration slots.
    explore: Option<bool>,
    /// Token of the next page from an earlier answer.
    page: Option<String>,
    /// Names of the only sources to use, separated by commas; all when absent.
    #[param(example = "cooccurrence,session-knn")]
    sources: Option<String>,
}

/// Query parameters of a list for a user or a session.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation only")]
struct ActorParams {
    /// The item that is on the screen now.
    #[param(example = "85123A")]
    item: Option<String>,
    /// Whether items of the history may be in the list; the configuration decides when absent.
    include_seen: Option<bool>,
}

/// An answer as the documentation shows it.
pub(crate) fn example() -> serde_json::Value {
    serde_json::json!({
        "decision_id": "019ab3c5-7a10-7cc3-98c4-dc0c0c07398f",
        "items": [{
            "item": "22423", "title": "REGENCY CAKESTAND 3 TIER", "score": 1.27, "source": "slist",
            "reasons": [{
                "kind": "history", "subject": "85123A", "amount": 0.81,
                "text": "because you bought WHITE HANGING HEART T-LIGHT HOLDER"
            }]
        }],
        "model": "20261124T080000Z-1",
        "next_page": "AQAB"
    })
}
