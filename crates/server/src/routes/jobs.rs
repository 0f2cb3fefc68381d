//! Background work of language models, steered by an operator.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zhiyin_assistant::{Assistant, JobError, Order, Progress};
use zhiyin_core::{Problem, limits::ID_BYTES_MAX};
use zhiyin_writing::{Kind, Language};

use super::{Id, generate::catalogued};
use crate::{
    answer::{Answer, json},
    body::JsonBody,
    fault::{Fault, FaultKind},
    router::Shared,
};

/// Items of one job.
const ITEMS_MAX: usize = 100_000;

/// Texts to be written ahead.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// The job's name, unique among those that aren't over.
    id: String,
    /// `headline` or `blurb`.
    kind: Kind,
    /// How many items, 1 to 100,000: those that most events are about, in that order.
    items: usize,
    /// BCP 47 tag of the language; English when absent.
    #[serde(default)]
    language: Option<String>,
}

#[derive(Serialize)]
struct JobsAnswer {
    jobs: Vec<Progress>,
}

/// List background jobs
///
/// With their progress, their cost so far and an estimate to the end.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "operation",
    responses((status = 200, description = "All jobs by name", body = Object, example = json!({"jobs": [example("running")]}))))]
pub(crate) async fn list(State(app): State<Shared>) -> Answer {
    Ok(json(StatusCode::OK, &JobsAnswer { jobs: app.assistant.jobs().progress() }, 1_024))
}

/// Have texts written ahead
///
/// Submits a job that has a language model write a headline or a blurb for each of the busiest items, the busiest first, from what the catalogue says; texts that are kept already
/// are left out. `POST /v1/generate` without `user` then gives them at once. Texts that somebody asked for come before those of a job.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "submit_job", tag = "operation",
    request_body(content = JobRequest, example = json!({"id": "blurbs", "kind": "blurb", "items": 500})),
    responses((status = 202, description = "The job", body = Object, example = json!(example("running"))),
        (status = 409, description = "The name is taken by a job that isn't over, or there are too many jobs")))]
pub(crate) async fn submit(State(app): State<Shared>, JsonBody(request): JsonBody<JobRequest>) -> Answer {
    let language = check(&app.assistant, &request)?;
    let shared = Arc::clone(&app);
    let submitting = tokio::task::spawn_blocking(move || {
        let order = |(item, events): (_, u64)| {
            let evidence = catalogued(std::slice::from_ref(&item));
            (Order { kind: request.kind, evidence, language, variant: 0 }, events as f64)
        };
        let orders: Vec<(Order, f64)> = shared.engine.busiest_items(request.items).into_iter().map(order).collect();
        shared.assistant.prepare(&request.id, &orders).map(|_| request.id)
    });
    let id = submitting.await.map_err(|error| Fault::internal(&error))??;
    Ok(json(StatusCode::ACCEPTED, &progress(&app.assistant, &id)?, 512))
}

fn check(assistant: &Assistant, request: &JobRequest) -> Result<Language, Fault> {
    let length = request.id.len();
    if length == 0 || length > ID_BYTES_MAX {
        let rule = format!("has {length} bytes, must have 1 to {ID_BYTES_MAX}");
        return Err(Fault::bad("id", rule, "give the job a short name"));
    }
    if request.kind == Kind::Explanation {
        let rule = "is `explanation`, must be `headline` or `blurb`";
        return Err(Fault::bad("kind", rule, "explanations are written when they are asked for"));
    }
    if !(1..=ITEMS_MAX).contains(&request.items) {
        let rule = format!("is {}, must be 1 to {ITEMS_MAX}", request.items);
        return Err(Fault::bad("items", rule, "choose a number in that range"));
    }
    let language = Language::from_tag(request.language.as_deref().unwrap_or_default());
    if !assistant.writes(language) {
        let rule = format!("is `{}`, in which no model writes", language.tag());
        return Err(Fault::bad("language", rule, "add it to `language.languages` where a model can write it"));
    }
    Ok(language)
}

/// Get a background job
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "operation", params(("id" = String, Path, description = "The job", example = "blurbs")),
    responses((status = 200, description = "The job", body = Object, example = json!(example("running"))),
        (status = 404, description = "There is no such job")))]
pub(crate) async fn read(State(app): State<Shared>, Id(id): Id) -> Answer {
    Ok(json(StatusCode::OK, &progress(&app.assistant, &id)?, 512))
}

/// Pause a background job
///
/// What is being written is finished; nothing more is begun until it is resumed, also after a restart.
#[utoipa::path(post, path = "/v1/jobs/{id}/pause", operation_id = "pause_job", tag = "operation", params(("id" = String, Path, description = "The job", example = "blurbs")),
    responses((status = 200, description = "The job", body = Object, example = json!(example("paused"))),
        (status = 404, description = "There is no such job"), (status = 409, description = "It is over")))]
pub(crate) async fn pause(State(app): State<Shared>, Id(id): Id) -> Answer {
    steer(app, id, |assistant, id| assistant.jobs().pause(id)).await
}

/// Resume a background job
///
/// One that is paused, or that waits for a budget or a model.
#[utoipa::path(post, path = "/v1/jobs/{id}/resume", operation_id = "resume_job", tag = "operation", params(("id" = String, Path, description = "The job", example = "blurbs")),
    responses((status = 200, description = "The job", body = Object, example = json!(example("running"))),
        (status = 404, description = "There is no such job"), (status = 409, description = "It is over")))]
pub(crate) async fn resume(State(app): State<Shared>, Id(id): Id) -> Answer {
    steer(app, id, |assistant, id| assistant.jobs().resume(id)).await
}

/// Give a background job up
///
/// What was written stays; what is left won't be.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "operation", params(("id" = String, Path, description = "The job", example = "blurbs")),
    responses((status = 200, description = "The job", body = Object, example = json!(example("cancelled"))),
        (status = 404, description = "There is no such job"), (status = 409, description = "It is over")))]
pub(crate) async fn cancel(State(app): State<Shared>, Id(id): Id) -> Answer {
    steer(app, id, Assistant::cancel).await
}

/// Changes a job, which is kept in the database, and answers with it.
async fn steer(app: Shared, id: String, act: fn(&Assistant, &str) -> Result<(), JobError>) -> Answer {
    let steering = tokio::task::spawn_blocking(move || {
        act(&app.assistant, &id)?;
        progress(&app.assistant, &id)
    });
    let progress = steering.await.map_err(|error| Fault::internal(&error))??;
    Ok(json(StatusCode::OK, &progress, 512))
}

fn progress(assistant: &Assistant, id: &str) -> Result<Progress, Fault> {
    let jobs = assistant.jobs().progress().into_iter();
    jobs.into_iter().find(|progress| progress.job.id == id).ok_or_else(|| Fault::not_found("id", id))
}

impl From<JobError> for Fault {
    fn from(error: JobError) -> Self {
        let conflict = |rule: String, remedy: &str| Self::new(FaultKind::Conflict, Problem::field("id", rule, remedy));
        match error {
            JobError::Unknown(id) => Self::not_found("id", &id),
            JobError::Exists(id) => {
                conflict(format!("{id:?} is taken by a job that isn't over"), "cancel it or choose another name")
            }
            JobError::Over(id) => conflict(format!("{id:?} is over"), "submit a new job"),
            JobError::Limit(rule) => conflict(rule, "wait for a job or cancel one"),
            JobError::Keep(error) => Self::internal(&error),
        }
    }
}

/// A job as the documentation shows it.
fn example(state: &str) -> serde_json::Value {
    json!({
        "job": {
            "id": "blurbs", "kind": "texts", "state": {"state": state}, "total": 500, "done": 120, "failed": 1,
            "tokens": {"prompt": 24_000, "cached": 17_900, "completion": 5_100}, "money": 0.0, "busy_ms": 96_000, "last_error": null
        },
        "running": 1, "to_the_end": {"tokens": 91_900.0, "money": 0.0, "busy_ms": 303_200.0}
    })
}
