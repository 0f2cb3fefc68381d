//! Users.

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use zhiyin_core::{User, storage::Erased};
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

/// A page of users, for the documentation.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "documentation only")]
pub(crate) struct UserPage {
    /// The users.
    rows: Vec<User>,
    /// Cursor of the next page; absent on the last one.
    next: Option<String>,
}

/// List users
#[utoipa::path(get, path = "/v1/users", operation_id = "list_users", tag = "users",
    params(("after" = Option<String>, Query, description = "Cursor from the page before: its `next`"),
        ("limit" = Option<usize>, Query, description = "Rows of a page, 1 to 1000; 100 when absent", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = UserPage, example = json!({"rows": [super::users::example()], "next": "MQ"}))))]
pub(crate) async fn list(State(app): State<Shared>, RawQuery(query): RawQuery) -> Answer {
    catalogue::list::<User>(&app, query.as_deref())
}

/// Create or replace many users
///
/// In one transaction: one bad user and none is stored.
#[utoipa::path(post, path = "/v1/users", operation_id = "put_users", tag = "users", request_body(content = Vec<User>, example = json!([super::users::example()])),
    responses((status = 200, description = "All are stored", body = Stored, example = json!({"stored": 1}))))]
pub(crate) async fn put_batch(State(app): State<Shared>, body: RawBody) -> Answer {
    catalogue::put_batch::<User>(&app, &body).await
}

/// Get a user
#[utoipa::path(get, path = "/v1/users/{id}", operation_id = "get_user", tag = "users", params(("id" = String, Path, description = "The user", example = "user-42")),
    responses((status = 200, description = "The user", body = User, example = json!(super::users::example())),
        (status = 404, description = "There is no such user")))]
pub(crate) async fn read(State(app): State<Shared>, Id(id): Id) -> Answer {
    catalogue::read::<User>(&app, &id)
}

/// Create or replace a user
///
/// `id` may be left out of the body.
#[utoipa::path(put, path = "/v1/users/{id}", operation_id = "put_user", tag = "users", params(("id" = String, Path, description = "The user", example = "user-42")),
    request_body(content = User, example = json!(super::users::example())),
    responses((status = 200, description = "Replaced", body = User, example = json!(super::users::example())),
        (status = 201, description = "Created", body = User, example = json!(super::users::example()))))]
pub(crate) async fn put(State(app): State<Shared>, Id(id): Id, body: RawBody) -> Answer {
    catalogue::put::<User>(&app, &id, &body).await
}

/// Change some fields of a user
///
/// A JSON merge patch (RFC 7396): `null` removes a field.
#[utoipa::path(patch, path = "/v1/users/{id}", operation_id = "patch_user", tag = "users", params(("id" = String, Path, description = "The user", example = "user-42")),
    request_body(content = Object, content_type = "application/merge-patch+json", example = json!({"attributes": {"country": "France"}})),
    responses((status = 200, description = "The user as it is now", body = User, example = json!(super::users::example())),
        (status = 404, description = "There is no such user")))]
pub(crate) async fn patch(State(app): State<Shared>, Id(id): Id, body: RawBody) -> Answer {
    catalogue::patch::<User>(&app, &id, &body).await
}

/// Erase a user
///
/// Removes the user, the sessions tied to it, their events and decisions, and what they contributed to every count. The answer is the
/// receipt. It cannot be undone.
#[utoipa::path(delete, path = "/v1/users/{id}", operation_id = "erase_user", tag = "users", params(("id" = String, Path, description = "The user", example = "user-42")),
    responses((status = 200, description = "What was removed", body = Erased, example = json!({"events": 17, "decisions": 4, "actors": 2})),
        (status = 404, description = "There is no such user")))]
pub(crate) async fn erase(State(app): State<Shared>, Id(id): Id) -> Answer {
    let _shared = app.catalogue.read().await;
    let erased = app.engine.delete_user(&id).await?;
    Ok(json(StatusCode::OK, &erased, 64))
}

/// What a user says in reviews
///
/// The same counts over the user's own reviews, those of the tied sessions included: which aspects matter to them, what they ask for.
#[utoipa::path(get, path = "/v1/users/{id}/feedback", operation_id = "user_feedback", tag = "users", params(("id" = String, Path, description = "The user", example = "user-42")),
    responses((status = 200, description = "What the user says", body = FeedbackReport, example = json!(super::items::feedback_example("user-42"))),
        (status = 404, description = "There is no such user")))]
pub(crate) async fn feedback(State(app): State<Shared>, Id(id): Id) -> Answer {
    match app.engine.user_feedback(&id)? {
        Some(report) => Ok(json(StatusCode::OK, &report, super::items::FEEDBACK_BYTES)),
        None => Err(Fault::not_found("user", &id)),
    }
}

/// A user as the documentation shows it.
pub(crate) fn example() -> serde_json::Value {
    serde_json::json!({"id": "user-42", "attributes": {"country": "Germany"}, "friends": ["user-7"]})
}
