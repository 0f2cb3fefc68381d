//! Search in natural language.
//!
//! The query is encoded on a blocking thread, apart from everything that ranks, and only so long as the deadline allows: past it, or with
//! too many searches at once, the words alone decide and the answer says so.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use zhiyin_engine::{EngineError, Recommendations};

use crate::{
    answer::{Answer, json},
    params,
    router::{App, Shared},
    routes::observe::blocking,
};

/// Queries that are encoded side by side; further ones are searched for by their words.
pub(crate) const ENCODED_AT_ONCE: usize = 4;

/// Search for items in natural language
///
/// By the meaning of item texts, if there is an encoder, and by their words. `source` tells which of the two speaks more for an item. Without
/// the meaning `fallback` says why: `no-encoder`, `no-vectors`, `encoder-failed`, `busy` or `deadline`. The answer is a recorded decision.
#[utoipa::path(get, path = "/v1/search", tag = "recommendations",
    params(("q" = String, Query, description = "What is looked for, at most 1024 bytes", example = "a red lamp for the garden"),
        ("limit" = Option<usize>, Query, description = "Number of items, 1 to 200; 10 when absent", minimum = 1, maximum = 200),
        ("filter" = Option<String>, Query, description = "Expression over item fields", example = "price < 20"),
        ("surface" = Option<String>, Query, description = "Where in the product the list is shown", example = "search"),
        ("deadline_ms" = Option<u64>, Query, description = "Milliseconds that encoding the query may take, 0 to 5000; 500 when absent", minimum = 0, maximum = 5000)),
    responses((status = 200, description = "The list, best first", body = Recommendations, example = json!({
        "decision_id": "019ab3c5-7a10-7cc3-98c4-dc0c0c07398f", "model": "20261124T080000Z-1",
        "items": [{"item": "84596F", "title": "SMALL RED GARDEN LANTERN", "score": 0.71, "source": "meaning"}]
    }))))]
pub(crate) async fn search(State(app): State<Shared>, RawQuery(query): RawQuery) -> Answer {
    let (request, deadline) = params::search(query.as_deref())?;
    request.check().map_err(EngineError::from)?;
    let vector = encode(&app, request.query.clone(), deadline).await;
    let found =
        blocking(&app, move |engine| engine.search(&request, vector.as_deref().map_err(|reason| *reason))).await?;
    Ok(json(StatusCode::OK, &found, 256 + 128 * found.items.len()))
}

/// The vector of a query, or why there is none.
pub(super) async fn encode(app: &App, query: String, deadline: Duration) -> Result<Vec<f32>, &'static str> {
    let Ok(permit) = Arc::clone(&app.searches).try_acquire_owned() else { return Err("busy") };
    let engine = Arc::clone(&app.engine);
    let encoding = tokio::task::spawn_blocking(move || {
        // Held by the work itself, which goes on when nobody waits for it any more.
        let _permit = permit;
        engine.encode(&query)
    });
    match tokio::time::timeout(deadline, encoding).await {
        Ok(Ok(Ok(Some(vector)))) => Ok(vector),
        Ok(Ok(Ok(None))) => Err("no-encoder"),
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "a search could not be encoded");
            Err("encoder-failed")
        }
        Ok(Err(_)) => Err("encoder-failed"),
        Err(_) => Err("deadline"),
    }
}
