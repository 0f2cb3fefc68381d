//! Looking inside: outcomes of decisions, cleaning, status, training, and the numbers for Prometheus.
//!
//! What reads the database or trains runs on a blocking thread.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode},
    response::Response,
};
use serde::Serialize;
use zhiyin_core::{
    Problem, limits,
    storage::{OutcomeRow, RejectedEvent},
};
use zhiyin_engine::{Engine, EngineError, Status, progress::Silent};
use zhiyin_intake::clean::counters::RuleCount;

use crate::{
    answer::{self, Answer},
    fault::{Fault, FaultKind},
    params,
    router::{App, Shared},
    telemetry::{self, Exposition},
};

/// Rows of a page of rejected events when the request doesn't say.
const REJECTED_ROWS_DEFAULT: usize = 100;

/// Runs what may block apart from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    app: &Shared,
    work: impl FnOnce(&Engine) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, Fault> {
    let engine = app.engine.clone();
    let done = tokio::task::spawn_blocking(move || work(&engine)).await;
    done.map_err(|error| Fault::internal(&error))?.map_err(Fault::from)
}

/// What decisions led to.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MetricsAnswer {
    /// Start of the window, milliseconds since 1970 UTC.
    from_ms: i64,
    /// End of the window (not in it), milliseconds since 1970 UTC.
    to_ms: i64,
    /// One row per source and per model.
    rows: Vec<MetricsRow>,
}

/// What the decisions of one source or model led to.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct MetricsRow {
    /// `source` or `model`.
    dimension: String,
    /// Name of the source or version of the model.
    name: String,
    /// Items shown.
    impressions: u64,
    /// Shown items that were clicked or viewed afterwards.
    clicks: u64,
    /// Shown items that were put into a cart.
    carts: u64,
    /// Shown items that were bought.
    purchases: u64,
    /// Money from those purchases, returns subtracted.
    revenue: f64,
    /// Clicks per impression.
    ctr: f64,
    /// Purchases per impression.
    cvr: f64,
}

impl From<OutcomeRow> for MetricsRow {
    fn from(row: OutcomeRow) -> Self {
        let (ctr, cvr) = (row.counts.ctr(), row.counts.cvr());
        let OutcomeRow { dimension, name, counts } = row;
        Self {
            dimension,
            name,
            impressions: counts.impressions,
            clicks: counts.clicks,
            carts: counts.carts,
            purchases: counts.purchases,
            revenue: counts.revenue,
            ctr,
            cvr,
        }
    }
}

/// What decisions led to
///
/// Impressions, clicks, purchases and revenue of the decisions made within the window, per source and per model. Counts are kept by the
/// hour: every hour that the window touches counts as a whole.
#[utoipa::path(get, path = "/v1/metrics", tag = "observation",
    params(("from" = Option<String>, Query, description = "Start: RFC 3339 or milliseconds since 1970; 24 hours before `to` when absent", example = "2026-11-23T08:00:00Z"),
        ("to" = Option<String>, Query, description = "End: RFC 3339 or milliseconds since 1970; now when absent", example = "2026-11-24T08:00:00Z")),
    responses((status = 200, description = "One row per source and per model", body = MetricsAnswer, example = json!({
        "from_ms": 1_795_420_800_000_i64, "to_ms": 1_795_507_200_000_i64,
        "rows": [{"dimension": "source", "name": "slist", "impressions": 1000, "clicks": 83, "carts": 20, "purchases": 11, "revenue": 184.5, "ctr": 0.083, "cvr": 0.011}]
    }))))]
pub(crate) async fn metrics(State(app): State<Shared>, RawQuery(query): RawQuery) -> Answer {
    let window = params::window(query.as_deref(), app.engine.clock().now_ms())?;
    let (from_ms, to_ms) = (window.start, window.end);
    let rows = blocking(&app, move |engine| engine.metrics(window)).await?;
    let rows = rows.into_iter().map(MetricsRow::from).collect();
    Ok(answer::json(StatusCode::OK, &MetricsAnswer { from_ms, to_ms, rows }, 2_048))
}

/// A page of rejected events.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RejectedPage {
    /// The events, newest first.
    rows: Vec<RejectedRow>,
    /// What to give as `before` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// A rejected event.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RejectedRow {
    /// Its row number.
    row: u64,
    /// The event and why it was rejected.
    #[serde(flatten)]
    event: RejectedEvent,
}

/// List rejected events
///
/// Newest first, with the rule and the reason.
#[utoipa::path(get, path = "/v1/events/rejected", tag = "events",
    params(("before" = Option<u64>, Query, description = "The `next` of the page before"),
        ("limit" = Option<usize>, Query, description = "Rows of a page, 1 to 1000; 100 when absent", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "A page", body = RejectedPage, example = json!({"rows": [{
        "row": 7, "received_ms": 1_795_507_200_000_i64, "rule": "missing-item", "reason": "item is missing; name the item of the view",
        "body": "{\"type\":\"view\",\"user\":\"user-42\"}"
    }]}))))]
pub(crate) async fn rejected(State(app): State<Shared>, RawQuery(query): RawQuery) -> Answer {
    let (before, limit) = params::page(query.as_deref(), "before", REJECTED_ROWS_DEFAULT, limits::PAGE_ROWS_MAX)?;
    let before = before.map(|text| params::row_number("before", &text)).transpose()?;
    let rows = blocking(&app, move |engine| engine.rejected(before, limit)).await?;
    let next = if rows.len() == limit { rows.last().map(|(row, _)| *row) } else { None };
    let rows = rows.into_iter().map(|(row, event)| RejectedRow { row, event }).collect();
    Ok(answer::json(StatusCode::OK, &RejectedPage { rows, next }, 4_096))
}

/// What cleaning did since the start.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CleaningAnswer {
    /// Events that reached the log.
    accepted: u64,
    /// Events that the log already had.
    duplicates: u64,
    /// What each rule did.
    rules: BTreeMap<&'static str, RuleCount>,
}

/// What each cleaning rule did since the start
#[utoipa::path(get, path = "/v1/cleaning", tag = "events",
    responses((status = 200, description = "Events by what became of them, and what each rule did", body = CleaningAnswer,
        example = json!({"accepted": 541_909, "duplicates": 12, "rules": {"outlier-quantity": {"repaired": 3, "rejected": 0}}}))))]
pub(crate) async fn cleaning(State(app): State<Shared>) -> Response {
    let counters = app.engine.cleaning();
    let body =
        CleaningAnswer { accepted: counters.accepted(), duplicates: counters.duplicates(), rules: counters.by_rule() };
    answer::json(StatusCode::OK, &body, 1_024)
}

/// What the engine holds and does
#[utoipa::path(get, path = "/v1/status", tag = "operation",
    responses((status = 200, description = "Counts, sizes, versions", body = Status)))]
pub(crate) async fn status(State(app): State<Shared>) -> Answer {
    let status = blocking(&app, |engine| Ok(engine.status())).await?;
    Ok(answer::json(StatusCode::OK, &status, 1_024))
}

/// Train the models on all events
///
/// The answer comes when the new models serve; that takes seconds to minutes. One training runs at a time, and it goes on when the client
/// hangs up.
#[utoipa::path(post, path = "/v1/train", tag = "operation",
    responses((status = 200, description = "The new models serve; what was trained", body = Object, example = json!({"version": "20261124T080000Z-1"})),
        (status = 409, description = "A training is running")))]
pub(crate) async fn train(State(app): State<Shared>) -> Answer {
    let running = Running::start(&app.training)?;
    let report = blocking(&app, move |engine| {
        let report = engine.train(&Silent);
        drop(running);
        report
    });
    Ok(answer::json(StatusCode::OK, &report.await?, 4_096))
}

/// Holds the place of the one training, also when it panics.
struct Running(Arc<AtomicBool>);

impl Running {
    fn start(flag: &Arc<AtomicBool>) -> Result<Self, Fault> {
        if flag.swap(true, Ordering::AcqRel) {
            let problem = Problem::field("train", "is running already", "wait until it is done");
            return Err(Fault::new(FaultKind::Conflict, problem));
        }
        Ok(Self(flag.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Numbers for Prometheus
///
/// Needs the scope `admin` unless the configuration opens it.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Text in the exposition format", body = String, content_type = "text/plain", example = json!("zhiyin_ingest_events_total{status=\"accepted\"} 541909\n"))))]
pub(crate) async fn prometheus(State(app): State<Shared>) -> Answer {
    let written = tokio::task::spawn_blocking(move || exposition(&app)).await;
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let text = written.map_err(|error| Fault::internal(&error))?;
    Ok(answer::with_type(media, StatusCode::OK, text.into()))
}

/// Reads how full the cache of texts is from the database.
fn exposition(app: &App) -> String {
    let mut text = Exposition::default();
    telemetry::write_routes(&mut text, app.routes.iter().map(|route| &**route));
    telemetry::write_ingest(&mut text, &app.ingest);
    write_engine(&mut text, app);
    write_language(&mut text, app);
    text.finish()
}

fn write_engine(text: &mut Exposition, app: &App) {
    write_cleaning(text, &app.engine);
    let status = app.engine.status();
    write_sizes(text, &status);
    text.family("zhiyin_decisions_dropped_total", "counter", "Decisions dropped because too many waited.");
    text.value("zhiyin_decisions_dropped_total", &[], number(status.decisions_dropped));
    text.family("zhiyin_source_failures_total", "counter", "Failures of sources while answering.");
    for (source, count) in &status.failed_sources {
        text.value("zhiyin_source_failures_total", &[("source", source)], number(*count));
    }
    text.family("zhiyin_model_info", "gauge", "The models that serve; always 1.");
    text.value("zhiyin_model_info", &[("version", &status.model)], 1.0);
    text.family("zhiyin_ready", "gauge", "Whether requests are served.");
    text.value("zhiyin_ready", &[], f64::from(u8::from(status.ready)));
}

fn write_language(text: &mut Exposition, app: &App) {
    let status = app.assistant.status();
    text.family(
        "zhiyin_language_texts_total",
        "counter",
        "Texts given by origin, and texts of models by the checker's verdict.",
    );
    let texts = status.texts;
    let counts = [
        ("template", texts.templates),
        ("model", texts.model_texts),
        ("accepted", texts.accepted),
        ("rejected", texts.rejected),
    ];
    for (result, count) in counts {
        text.value("zhiyin_language_texts_total", &[("result", result)], number(count));
    }
    text.family("zhiyin_language_requests_total", "counter", "Requests to language models by runtime and result.");
    for runtime in &status.runtimes.runtimes {
        let counts = &runtime.counts;
        let results = [("answered", counts.answered), ("failed", counts.failed), ("from_cache", counts.from_cache)];
        for (result, count) in results {
            let labels = [("runtime", runtime.name.as_str()), ("result", result)];
            text.value("zhiyin_language_requests_total", &labels, number(count));
        }
    }
    text.family("zhiyin_language_serving", "gauge", "Whether a language model answers.");
    text.value("zhiyin_language_serving", &[], f64::from(u8::from(status.runtimes.serving.is_some())));
}

fn write_cleaning(text: &mut Exposition, engine: &Engine) {
    text.family("zhiyin_cleaning_events_total", "counter", "Events that a cleaning rule repaired or rejected.");
    for (rule, count) in engine.cleaning().by_rule() {
        text.value("zhiyin_cleaning_events_total", &[("rule", rule), ("action", "repaired")], number(count.repaired));
        text.value("zhiyin_cleaning_events_total", &[("rule", rule), ("action", "rejected")], number(count.rejected));
    }
}

fn write_sizes(text: &mut Exposition, status: &Status) {
    text.family("zhiyin_rows", "gauge", "What the engine holds, by kind.");
    let rows = [("users", status.users), ("sessions", status.sessions), ("items", status.items)];
    for (kind, count) in rows {
        text.value("zhiyin_rows", &[("kind", kind)], number(count as u64));
    }
    text.value("zhiyin_rows", &[("kind", "events")], number(status.events));
    text.family("zhiyin_state_bytes", "gauge", "Memory of the online state, by part.");
    for (part, bytes) in &status.memory_bytes {
        text.value("zhiyin_state_bytes", &[("part", part)], number(*bytes as u64));
    }
    text.family("zhiyin_texts", "gauge", "Items by how far the encoding of their texts has come.");
    let texts = &status.texts;
    for (state, count) in [("encoded", texts.encoded), ("queued", texts.queued), ("failed", texts.failed)] {
        text.value("zhiyin_texts", &[("state", state)], number(count as u64));
    }
    text.family("zhiyin_queue_length", "gauge", "Events that wait for the log.");
    text.value("zhiyin_queue_length", &[("queue", "events")], number(status.queued_events as u64));
}

/// Prometheus knows only floating-point numbers.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_training_runs_at_a_time_and_gives_its_place_back() {
        let flag = Arc::default();
        let running = Running::start(&flag).unwrap();
        assert!(Running::start(&flag).is_err());
        drop(running);
        assert!(Running::start(&flag).is_ok());
    }
}
