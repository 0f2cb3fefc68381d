//! Items.

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::IntoResponse,
};
use zhiyin_core::Item;
use zhiyin_engine::feedback::FeedbackReport;

use super::{
    Id,
    catalogue::{self, Stored},
};
use crate::{
    answer::{Answer, json},
    body::RawBody,
    fault::Fault,
    router::Shared,
};

/// Bytes of a usual report on feedback.
pub(crate) const FEEDBACK_BYTES: usize = 2_048;

/// A page of items, for the documentation.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "documentation only")]
pub(crate) struct ItemPage {
    /// The items.
    rows: Vec<Item>,
    /// Cursor of the next page; absent on the last one.
    next: Option<String>,
}

/// List items
#[utoipa::path(get, path = "/v1/items", operation_id = "list_items", tag = "catalogue",
    params(("after" = Option<String>, Query, description = "Cursor from the page before: its `next`"),
        ("limit" = Option<usize>, Query, description = "Rows of a page, 1 to 1000; 100 when absent", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = ItemPage, example = json!({"rows": [super::items::example()], "next": "MQ"}))))]
pub(crate) async fn list(State(app): State<Shared>, RawQuery(query): RawQuery) -> Answer {
    catalogue::list::<Item>(&app, query.as_deref())
}

/// Create or replace many items
///
/// In one transaction: one bad item and none is stored.
#[utoipa::path(post, path = "/v1/items", operation_id = "put_items", tag = "catalogue", request_body(content = Vec<Item>, example = json!([super::items::example()])),
    responses((status = 200, description = "All are stored", body = Stored, example = json!({"stored": 1}))))]
pub(crate) async fn put_batch(State(app): State<Shared>, body: RawBody) -> Answer {
    catalogue::put_batch::<Item>(&app, &body).await
}

/// Get an item
#[utoipa::path(get, path = "/v1/items/{id}", operation_id = "get_item", tag = "catalogue", params(("id" = String, Path, description = "The item", example = "85123A")),
    responses((status = 200, description = "The item", body = Item, example = json!(super::items::example())),
        (status = 404, description = "There is no such item")))]
pub(crate) async fn read(State(app): State<Shared>, Id(id): Id) -> Answer {
    catalogue::read::<Item>(&app, &id)
}

/// Create or replace an item
///
/// `id` may be left out of the body.
#[utoipa::path(put, path = "/v1/items/{id}", operation_id = "put_item", tag = "catalogue", params(("id" = String, Path, description = "The item", example = "85123A")),
    request_body(content = Item, example = json!(super::items::example())),
    responses((status = 200, description = "Replaced", body = Item, example = json!(super::items::example())),
        (status = 201, description = "Created", body = Item, example = json!(super::items::example()))))]
pub(crate) async fn put(State(app): State<Shared>, Id(id): Id, body: RawBody) -> Answer {
    catalogue::put::<Item>(&app, &id, &body).await
}

/// Change some fields of an item
///
/// A JSON merge patch (RFC 7396): `{"available": false}` hides the item from the next request on, `null` removes a field.
#[utoipa::path(patch, path = "/v1/items/{id}", operation_id = "patch_item", tag = "catalogue", params(("id" = String, Path, description = "The item", example = "85123A")),
    request_body(content = Object, content_type = "application/merge-patch+json", example = json!({"available": false})),
    responses((status = 200, description = "The item as it is now", body = Item, example = json!(super::items::example())),
        (status = 404, description = "There is no such item")))]
pub(crate) async fn patch(State(app): State<Shared>, Id(id): Id, body: RawBody) -> Answer {
    catalogue::patch::<Item>(&app, &id, &body).await
}

/// Delete an item
///
/// Events about it stay in the log; it is never recommended again.
#[utoipa::path(delete, path = "/v1/items/{id}", operation_id = "delete_item", tag = "catalogue", params(("id" = String, Path, description = "The item", example = "85123A")),
    responses((status = 204, description = "Deleted"), (status = 404, description = "There is no such item")))]
pub(crate) async fn delete(State(app): State<Shared>, Id(id): Id) -> Answer {
    let _shared = app.catalogue.read().await;
    if app.engine.delete_item(&id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Fault::not_found("item", &id))
    }
}

/// What reviews say of an item
///
/// Counts of reviews, aspects, needs and complaints with smoothed shares. A review counts from the next request after it was taken in.
/// Reviews are named by their events; they are quoted only where the configuration says that they are public.
#[utoipa::path(get, path = "/v1/items/{id}/feedback", operation_id = "item_feedback", tag = "catalogue", params(("id" = String, Path, description = "The item", example = "85123A")),
    responses((status = 200, description = "What reviews say", body = FeedbackReport, example = json!(super::items::feedback_example("85123A"))),
        (status = 404, description = "There is no such item")))]
pub(crate) async fn feedback(State(app): State<Shared>, Id(id): Id) -> Answer {
    match app.engine.item_feedback(&id)? {
        Some(report) => Ok(json(StatusCode::OK, &report, FEEDBACK_BYTES)),
        None => Err(Fault::not_found("item", &id)),
    }
}

/// What reviews say, as the documentation shows it.
pub(crate) fn feedback_example(id: &str) -> serde_json::Value {
    let review = serde_json::json!({"event": "review-901", "sentiment": "negative"});
    serde_json::json!({
        "id": id, "reviews": 12, "positive": 9, "mixed": 1, "negative": 2, "share": 0.82, "usual_share": 0.86,
        "languages": {"en": 11, "zh": 1}, "basis": {"stars": 10, "learned": 2},
        "aspects": [{"aspect": "glass", "positive": 4, "mixed": 1, "negative": 1, "share": 0.78, "usual_share": 0.8}],
        "needs": [{"name": "wish", "count": 1, "reviews": [{"event": "review-877", "sentiment": "positive"}]}],
        "complaints": [{"name": "broke", "count": 2, "reviews": [review.clone()]}],
        "newest": [review], "reader": "5f3a9c01"
    })
}

/// An item as the documentation shows it.
pub(crate) fn example() -> serde_json::Value {
    serde_json::json!({
        "id": "85123A", "title": "WHITE HANGING HEART T-LIGHT HOLDER", "categories": ["home", "candles"], "price": 2.55,
        "available": true, "attributes": {"colour": "white"}
    })
}
