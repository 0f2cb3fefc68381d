//! Counters and latencies of the HTTP interface, and the text in which Prometheus reads them with what the engine tells.
//!
//! Everything on the request path is an atomic addition to a place known beforehand. The labels are route templates, never paths of
//! clients, so their number is bounded.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use zhiyin_engine::request::{EventOutcome, EventStatus};

/// Upper bounds of the latency buckets in microseconds.
const BUCKETS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const STATUSES: [(EventStatus, &str); 4] = [
    (EventStatus::Accepted, "accepted"),
    (EventStatus::Duplicate, "duplicate"),
    (EventStatus::Repaired, "repaired"),
    (EventStatus::Rejected, "rejected"),
];

/// Counters of one route.
#[derive(Debug)]
pub(crate) struct RouteTelemetry {
    route: String,
    requests: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    latency: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl RouteTelemetry {
    pub(crate) fn new(route: impl Into<String>) -> Self {
        Self { route: route.into(), requests: Default::default(), latency: Histogram::default() }
    }

    /// Counts one request.
    pub(crate) fn record(&self, method: &Method, status: StatusCode, took: Duration) {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[method][class].fetch_add(1, Relaxed);
        self.latency.record(took);
    }
}

impl Histogram {
    fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(micros, Relaxed);
    }
}

/// Outcomes of events that came in over HTTP, by status.
#[derive(Debug, Default)]
pub(crate) struct IngestTelemetry([AtomicU64; STATUSES.len()]);

impl IngestTelemetry {
    /// Counts the outcomes of a batch.
    pub(crate) fn record(&self, outcomes: &[EventOutcome]) {
        for (counter, (status, _)) in self.0.iter().zip(STATUSES) {
            let count = outcomes.iter().filter(|outcome| outcome.status == status).count();
            counter.fetch_add(count as u64, Relaxed);
        }
    }
}

/// Text in the Prometheus exposition format, version 0.0.4.
#[derive(Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Starts a family of values.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a value with its labels.
    pub(crate) fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[allow(clippy::cast_precision_loss)]
fn load(counter: &AtomicU64) -> f64 {
    counter.load(Relaxed) as f64
}

/// Writes the requests and latencies of all routes.
pub(crate) fn write_routes<'r>(text: &mut Exposition, routes: impl Iterator<Item = &'r RouteTelemetry> + Clone) {
    text.family("zhiyin_http_requests_total", "counter", "Requests by route, method and status class.");
    for route in routes.clone() {
        write_requests(text, route);
    }
    text.family("zhiyin_http_request_seconds", "histogram", "Time from the head of a request to its answer, by route.");
    for route in routes {
        write_latency(text, route);
    }
}

fn write_requests(text: &mut Exposition, route: &RouteTelemetry) {
    for (method, by_class) in METHODS.iter().zip(&route.requests) {
        for (class, counter) in CLASSES.iter().zip(by_class).filter(|(_, counter)| counter.load(Relaxed) > 0) {
            let labels = [("route", route.route.as_str()), ("method", method), ("status", class)];
            text.value("zhiyin_http_requests_total", &labels, load(counter));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn write_latency(text: &mut Exposition, route: &RouteTelemetry) {
    let mut total = 0.0;
    for (at, counter) in route.latency.buckets.iter().enumerate() {
        total += load(counter);
        let bound = BUCKETS_US.get(at).map_or("+Inf".into(), |us| (*us as f64 / 1e6).to_string());
        text.value("zhiyin_http_request_seconds_bucket", &[("route", &route.route), ("le", &bound)], total);
    }
    text.value("zhiyin_http_request_seconds_sum", &[("route", &route.route)], load(&route.latency.sum_us) / 1e6);
    text.value("zhiyin_http_request_seconds_count", &[("route", &route.route)], total);
}

/// Writes the outcomes of events.
pub(crate) fn write_ingest(text: &mut Exposition, ingest: &IngestTelemetry) {
    text.family("zhiyin_ingest_events_total", "counter", "Events received over HTTP, by what became of them.");
    for ((_, status), counter) in STATUSES.iter().zip(&ingest.0) {
        text.value("zhiyin_ingest_events_total", &[("status", status)], load(counter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_lands_in_its_counter_and_its_bucket() {
        let route = RouteTelemetry::new("/v1/items/{id}");
        route.record(&Method::GET, StatusCode::OK, Duration::from_micros(300));
        route.record(&Method::GET, StatusCode::NOT_FOUND, Duration::from_secs(9));
        let mut text = Exposition::default();
        write_routes(&mut text, std::iter::once(&route));
        let text = text.finish();
        for line in [
            r#"zhiyin_http_requests_total{route="/v1/items/{id}",method="GET",status="2xx"} 1"#,
            r#"zhiyin_http_requests_total{route="/v1/items/{id}",method="GET",status="4xx"} 1"#,
            r#"zhiyin_http_request_seconds_bucket{route="/v1/items/{id}",le="0.00025"} 0"#,
            r#"zhiyin_http_request_seconds_bucket{route="/v1/items/{id}",le="0.0005"} 1"#,
            r#"zhiyin_http_request_seconds_bucket{route="/v1/items/{id}",le="+Inf"} 2"#,
            r#"zhiyin_http_request_seconds_sum{route="/v1/items/{id}"} 9.0003"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut text = Exposition::default();
        text.value("a", &[("b", "x\"y\\z\n")], 1.5);
        assert_eq!(text.finish(), "a{b=\"x\\\"y\\\\z\\n\"} 1.5\n");
    }
}
